//! What reads plans.

use std::collections::HashMap;

use serde::{Deserialize, de::DeserializeOwned, de::IntoDeserializer as _};

use crate::{
    domain::{Event, Merge, Moment, Name, Phase, Plan, PlanId, State},
    store::{
        PlanFilter, StoreError,
        connection::{Row, Statement, sql},
        database::{Database, Engine, Transaction},
    },
};

/// How much each step (false) and check (true) of each plan has written.
type Written = HashMap<(String, bool, String), u64>;

const COLUMNS: &str =
    "SELECT plan_id, document, fencing_token, version, cancel_requested, updated_at FROM plans";

/// Asks for what is always there. In Postgres as one who writes would: a server
/// that has become a standby refuses it.
pub(super) async fn probe(db: &Database) -> Result<(), StoreError> {
    let mut transaction = match db.engine() {
        Engine::Postgres => db.write().await?,
        Engine::Sqlite => db.read().await?,
    };
    transaction.rows(sql("SELECT plan_id FROM plans LIMIT 1")).await?;
    transaction.rollback().await
}

pub(super) async fn plan(db: &Database, id: PlanId) -> Result<Option<Plan>, StoreError> {
    let mut transaction = db.read().await?;
    let mut get = sql(COLUMNS);
    get.push(" WHERE plan_id = ");
    get.push_value(id.to_string());
    let plans = plans(&mut transaction, get).await?;
    transaction.commit().await?;
    Ok(plans.into_iter().next())
}

pub(super) async fn version(db: &Database, id: PlanId) -> Result<Option<u64>, StoreError> {
    let mut transaction = db.read().await?;
    let get = sql("SELECT version FROM plans WHERE plan_id = $1");
    let row = transaction.row(get.bind(id.to_string())).await?;
    transaction.commit().await?;
    row.map(|row| row.count("version")).transpose()
}

pub(super) async fn list(
    db: &Database,
    filter: &PlanFilter,
    before: Option<PlanId>,
    limit: u32,
) -> Result<Vec<Plan>, StoreError> {
    let mut transaction = db.read().await?;
    let mut list = sql(COLUMNS);
    // What follows is one condition or more.
    list.push(" WHERE plan_id IS NOT NULL");
    for (column, value) in [
        (" AND project = ", filter.project.as_ref().map(|name| name.as_str())),
        (" AND action = ", filter.action.as_ref().map(|name| name.as_str())),
        (" AND phase = ", filter.phase.map(Phase::as_str)),
        (" AND state = ", filter.state.map(State::as_str)),
    ] {
        if let Some(value) = value {
            list.push(column);
            list.push_value(value);
        }
    }
    if let Some(before) = before {
        let when = sql("SELECT created_at FROM plans WHERE plan_id = $1");
        let Some(row) = transaction.row(when.bind(before.to_string())).await? else {
            transaction.commit().await?;
            return Ok(Vec::new());
        };
        list.push(" AND (created_at, plan_id) < (");
        list.push_value(row.get::<i64>("created_at")?);
        list.push(", ");
        list.push_value(before.to_string());
        list.push(")");
    }
    list.push(" ORDER BY created_at DESC, plan_id DESC LIMIT ");
    list.push_value(limit);
    let plans = plans(&mut transaction, list).await?;
    transaction.commit().await?;
    Ok(plans)
}

pub(super) async fn processing(db: &Database) -> Result<Vec<PlanId>, StoreError> {
    let mut transaction = db.read().await?;
    let list = sql("SELECT plan_id FROM plans WHERE state = 'PROCESSING' ORDER BY plan_id");
    let rows = transaction.rows(list).await?;
    transaction.commit().await?;
    rows.iter().map(plan_id).collect()
}

fn plan_id(row: &Row) -> Result<PlanId, StoreError> {
    let id: String = row.get("plan_id")?;
    PlanId::parse(&id)
        .map_err(|error| StoreError::Unreadable(format!("plan {id:?}: its id {error}")))
}

pub(super) async fn noted_merges(
    db: &Database,
    project: &Name,
) -> Result<Vec<(PlanId, Merge)>, StoreError> {
    let mut transaction = db.read().await?;
    // The words of the index, so that it is used.
    let list = sql("SELECT plan_id, merge FROM plans WHERE project = $1
         AND merge IS NOT NULL AND state IN ('PROCESSING', 'ERRORED') ORDER BY plan_id");
    let rows = transaction.rows(list.bind(project.as_str())).await?;
    transaction.commit().await?;
    let merges = rows.iter().map(|row| Ok((plan_id(row)?, optional(row, "merge")?)));
    let merges = merges.collect::<Result<Vec<_>, StoreError>>()?;
    Ok(merges.into_iter().filter_map(|(id, merge)| Some((id, merge?))).collect())
}

pub(super) async fn count(db: &Database) -> Result<Vec<(Phase, State, u64)>, StoreError> {
    let mut transaction = db.read().await?;
    let count = sql("SELECT phase, state, count(*) AS plans FROM plans GROUP BY phase, state");
    let rows = transaction.rows(count).await?;
    transaction.commit().await?;
    let mut counts = rows
        .iter()
        .map(|row| Ok((constant(row, "phase")?, constant(row, "state")?, row.count("plans")?)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    counts.sort_unstable();
    Ok(counts)
}

pub(super) async fn cancel_requested(
    db: &Database,
    id: PlanId,
) -> Result<Option<String>, StoreError> {
    let mut transaction = db.read().await?;
    let get = sql("SELECT plan_id, cancel_requested FROM plans WHERE plan_id = $1");
    let row = transaction.row(get.bind(id.to_string())).await?;
    transaction.commit().await?;
    row.as_ref().map_or(Ok(None), |row| optional(row, "cancel_requested"))
}

pub(super) async fn events(db: &Database, plan: PlanId) -> Result<Vec<Event>, StoreError> {
    let mut transaction = db.read().await?;
    let list = sql("SELECT plan_id, event_time, phase, state, problem, fencing_token, instance
         FROM plan_events WHERE plan_id = $1 ORDER BY version");
    let rows = transaction.rows(list.bind(plan.to_string())).await?;
    transaction.commit().await?;
    rows.iter()
        .map(|row| {
            Ok(Event {
                at: Moment::from_micros(row.get("event_time")?),
                phase: constant(row, "phase")?,
                state: constant(row, "state")?,
                problem: optional(row, "problem")?,
                fencing_token: row.count("fencing_token")?,
                instance: row.get("instance")?,
            })
        })
        .collect()
}

/// The plans that a statement finds, in its order, with what their steps have
/// written.
async fn plans(
    transaction: &mut Transaction<'_>,
    statement: Statement,
) -> Result<Vec<Plan>, StoreError> {
    let rows = transaction.rows(statement).await?;
    let ids = rows.iter().map(|row| row.get("plan_id")).collect::<Result<Vec<String>, _>>()?;
    let written = written(transaction, &ids).await?;
    rows.iter().zip(&ids).map(|(row, id)| of(row, id, &written)).collect()
}

async fn written(
    transaction: &mut Transaction<'_>,
    plans: &[String],
) -> Result<Written, StoreError> {
    let mut written = Written::new();
    // So many that no engine's limit of values is near.
    for plans in plans.chunks(1_000) {
        let mut list =
            sql("SELECT plan_id, is_check, name, total_bytes FROM step_outputs WHERE plan_id IN ");
        list.push_list(plans.iter().map(String::as_str));
        for row in transaction.rows(list).await? {
            let key = (row.get("plan_id")?, row.get("is_check")?, row.get("name")?);
            written.insert(key, row.count("total_bytes")?);
        }
    }
    Ok(written)
}

fn of(row: &Row, id: &str, written: &Written) -> Result<Plan, StoreError> {
    let document: String = row.get("document")?;
    let mut plan: Plan = serde_json::from_str(&document)
        .map_err(|error| StoreError::Unreadable(format!("plan {id}: {error}")))?;
    plan.fencing_token = row.count("fencing_token")?;
    plan.version = row.count("version")?;
    plan.cancel_requested = optional(row, "cancel_requested")?;
    // Later than the document's, if somebody has noted a wish since.
    plan.updated_at = Moment::from_micros(row.get("updated_at")?);
    let steps = plan.steps.iter_mut().map(|step| (false, step));
    let checks = plan.checks.iter_mut().map(|check| (true, check));
    for (is_check, step) in steps.chain(checks) {
        let key = (id.to_owned(), is_check, step.name.as_str().to_owned());
        step.output_bytes = written.get(&key).copied().unwrap_or(0);
    }
    Ok(plan)
}

/// A JSON document that may not be there.
pub(super) fn optional<T: DeserializeOwned>(
    row: &Row,
    column: &str,
) -> Result<Option<T>, StoreError> {
    let Some(document) = row.get::<Option<String>>(column)? else { return Ok(None) };
    match serde_json::from_str(&document) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(unreadable(row, column, &error)),
    }
}

/// A phase or a state, as the contract writes it.
fn constant<T: for<'de> Deserialize<'de>>(row: &Row, column: &str) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    let read: Result<T, serde::de::value::Error> =
        T::deserialize(text.as_str().into_deserializer());
    read.map_err(|error| unreadable(row, column, &error))
}

fn unreadable(row: &Row, column: &str, error: &dyn std::error::Error) -> StoreError {
    let id: String = row.get("plan_id").unwrap_or_else(|_| "of some id".to_owned());
    StoreError::Unreadable(format!("plan {id}: its {column}: {error}"))
}
