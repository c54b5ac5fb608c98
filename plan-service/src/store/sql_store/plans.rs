//! What changes plans.

use super::{fence, read};
use crate::{
    domain::{Event, Fence, Moment, Plan, PlanId},
    store::{
        Ending, Fenced, PlanWrite, StoreError,
        connection::sql,
        database::{Database, Transaction},
    },
};

/// The primary key decides who is first.
pub(super) async fn add(
    db: &Database,
    plan: &Plan,
    fence: Fence,
    event: &Event,
) -> Result<bool, StoreError> {
    const FIRST_VERSION: u64 = 1;
    let document = document(plan, fence)?;
    let mut transaction = db.write().await?;
    let add =
        sql("INSERT INTO plans (plan_id, project, action, phase, state, document, fencing_token,
                            version, created_at, updated_at, merge)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING");
    let add = add
        .bind(plan.id.to_string())
        .bind(plan.project.as_str())
        .bind(plan.action.as_str())
        .bind(plan.phase.as_str())
        .bind(plan.state.as_str())
        .bind(document)
        .bind(fence::token(fence)?)
        .bind(FIRST_VERSION)
        .bind(plan.created_at.micros())
        .bind(plan.updated_at.micros())
        .bind(merge(plan)?);
    if transaction.execute(add).await? == 0 {
        transaction.rollback().await?;
        return Ok(false);
    }
    note(&mut transaction, plan.id, FIRST_VERSION, event).await?;
    transaction.commit().await?;
    Ok(true)
}

pub(super) async fn write(
    db: &Database,
    fence: Fence,
    write: &PlanWrite<'_>,
) -> Result<Fenced, StoreError> {
    let mut transaction = db.write().await?;
    let written = write_in(&mut transaction, fence, write, false).await?;
    settle(transaction, written).await
}

pub(super) async fn end(
    db: &Database,
    fence: Fence,
    write: &PlanWrite<'_>,
) -> Result<Ending, StoreError> {
    let mut transaction = db.write().await?;
    let written = write_in(&mut transaction, fence, write, true).await?;
    if written == Fenced::Refused {
        // Tokens and wishes only grow while a run lasts: what refused it is there still.
        let wish = sql("SELECT plan_id, cancel_requested FROM plans
             WHERE plan_id = $1 AND fencing_token <= $2 AND cancel_requested IS NOT NULL");
        let wish = wish.bind(fence.plan.to_string()).bind(fence::token(fence)?);
        if let Some(row) = transaction.row(wish).await?
            && let Some(reason) = read::optional(&row, "cancel_requested")?
        {
            transaction.rollback().await?;
            return Ok(Ending::CancelRequested(reason));
        }
    }
    Ok(settle(transaction, written).await?.into())
}

async fn settle(transaction: Transaction<'_>, written: Fenced) -> Result<Fenced, StoreError> {
    match written {
        Fenced::Written(_) => transaction.commit().await?,
        Fenced::Refused => transaction.rollback().await?,
    }
    Ok(written)
}

/// The plan's row comes first: what else there is to write is written under its
/// lock, and not at all where the fence refuses, or the wish that the plan be
/// cancelled does.
async fn write_in(
    transaction: &mut Transaction<'_>,
    fence: Fence,
    write: &PlanWrite<'_>,
    unless_cancelled: bool,
) -> Result<Fenced, StoreError> {
    let plan = write.plan;
    let document = document(plan, fence)?;
    let mut update =
        sql("UPDATE plans SET fencing_token = $2, version = version + 1, phase = $3, state = $4,
                          document = $5, updated_at = $6, merge = $7");
    if write.forget_cancel {
        update.push(", cancel_requested = NULL");
    }
    update.push(" WHERE plan_id = $1 AND fencing_token <= $2");
    if unless_cancelled {
        update.push(" AND cancel_requested IS NULL");
    }
    update.push(" RETURNING version");
    let update = update
        .bind(plan.id.to_string())
        .bind(fence::token(fence)?)
        .bind(plan.phase.as_str())
        .bind(plan.state.as_str())
        .bind(document)
        .bind(plan.updated_at.micros())
        .bind(merge(plan)?);
    let Some(row) = transaction.row(update).await? else { return Ok(Fenced::Refused) };
    let version = row.count("version")?;
    if !with_plan(transaction, plan.id, write).await? {
        return Ok(Fenced::Refused);
    }
    if let Some(event) = &write.event {
        note(transaction, plan.id, version, event).await?;
    }
    Ok(Fenced::Written(version))
}

/// Writes what belongs to a plan: false when a changeset that is to be finished
/// is not there any more.
async fn with_plan(
    transaction: &mut Transaction<'_>,
    id: PlanId,
    write: &PlanWrite<'_>,
) -> Result<bool, StoreError> {
    for (changeset, commit) in &write.finished {
        // To be told again of the same commit is no harm.
        let finish = sql("UPDATE changesets SET commit_id = $3
             WHERE changeset_id = $1 AND plan_id = $2 AND (commit_id IS NULL OR commit_id = $3)");
        let finish =
            finish.bind(changeset.id().to_string()).bind(id.to_string()).bind(commit.as_str());
        if transaction.execute(finish).await? == 0 {
            return Ok(false);
        }
    }
    if write.begin_anew {
        let drop = sql("DELETE FROM changesets WHERE plan_id = $1");
        transaction.execute(drop.bind(id.to_string())).await?;
        let drop = sql("DELETE FROM step_outputs WHERE plan_id = $1");
        transaction.execute(drop.bind(id.to_string())).await?;
    } else if write.drop_unfinished {
        let drop = sql("DELETE FROM changesets WHERE plan_id = $1 AND commit_id IS NULL");
        transaction.execute(drop.bind(id.to_string())).await?;
    }
    for check in [false, true] {
        let names = write.drop_outputs.iter().filter(|key| key.check == check);
        let names: Vec<_> = names.map(|key| key.name.as_str()).collect();
        if !names.is_empty() {
            let mut drop = sql("DELETE FROM step_outputs WHERE plan_id = ");
            drop.push_value(id.to_string());
            drop.push(" AND is_check = ");
            drop.push_value(check);
            drop.push(" AND name IN ");
            drop.push_list(names);
            transaction.execute(drop).await?;
        }
    }
    Ok(true)
}

/// Whoever asked first gave the reason.
pub(super) async fn request_cancel(
    db: &Database,
    id: PlanId,
    reason: &str,
    at: Moment,
) -> Result<bool, StoreError> {
    // As JSON, because text in Postgres cannot hold a NUL.
    let reason = serde_json::Value::from(reason).to_string();
    let mut transaction = db.write().await?;
    let request = sql(
        "UPDATE plans SET cancel_requested = coalesce(cancel_requested, $2), version = version + 1,
                updated_at = CASE WHEN updated_at < $3 THEN $3 ELSE updated_at END
         WHERE plan_id = $1 AND state = 'PROCESSING'",
    );
    let request = request.bind(id.to_string()).bind(reason).bind(at.micros());
    let is_processing = transaction.execute(request).await? == 1;
    transaction.commit().await?;
    Ok(is_processing)
}

/// Appends to the history. A write that is repeated, because its outcome was
/// not known, is one event.
async fn note(
    transaction: &mut Transaction<'_>,
    id: PlanId,
    version: u64,
    event: &Event,
) -> Result<(), StoreError> {
    let problem = event.problem.as_ref().map(serde_json::to_string).transpose();
    let problem = problem.map_err(|error| StoreError::wrong(format!("plan {id}: {error}")))?;
    let note = sql("INSERT INTO plan_events (plan_id, version, event_time, phase, state, problem,
                                  fencing_token, instance)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING");
    let note = note
        .bind(id.to_string())
        .bind(version)
        .bind(event.at.micros())
        .bind(event.phase.as_str())
        .bind(event.state.as_str())
        .bind(problem)
        .bind(event.fencing_token)
        .bind(event.instance.as_str());
    transaction.execute(note).await.map(drop)
}

/// The merge that a plan has noted.
fn merge(plan: &Plan) -> Result<Option<String>, StoreError> {
    let merge = plan.merge.as_ref().map(serde_json::to_string).transpose();
    merge.map_err(|error| StoreError::wrong(format!("plan {}: {error}", plan.id)))
}

fn document(plan: &Plan, fence: Fence) -> Result<String, StoreError> {
    if plan.id != fence.plan {
        let problem =
            format!("plan {} cannot be written under the lock of {}", plan.id, fence.plan);
        return Err(StoreError::wrong(problem));
    }
    serde_json::to_string(plan)
        .map_err(|error| StoreError::wrong(format!("plan {}: {error}", plan.id)))
}
