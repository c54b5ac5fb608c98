//! Changesets and their changes.

use std::collections::HashMap;

use super::fence;
use crate::{
    domain::{
        Change, ChangeKind, Changeset, ChangesetId, Fence, Moment, Name, Oid, PlanId, RepoPath,
    },
    store::{
        ChangesetHandle, Fenced, StoreError,
        connection::{Row, Value, sql},
        database::{Database, Transaction},
    },
};

/// How many changes stand in one statement: their values are far from the limit
/// of either engine.
const AT_ONCE: usize = 500;

pub(super) async fn start(
    db: &Database,
    fence: Fence,
    step: &Name,
    at: Moment,
) -> Result<Option<ChangesetHandle>, StoreError> {
    let mut transaction = db.write().await?;
    if fence::pass(&mut transaction, fence).await?.is_none() {
        transaction.rollback().await?;
        return Ok(None);
    }
    // Made under the plan's row lock, so that the ids have the order of the starts.
    let id = ChangesetId::new();
    let start =
        sql("INSERT INTO changesets (changeset_id, plan_id, step, fencing_token, created_at)
         VALUES ($1, $2, $3, $4, $5)");
    let start = start
        .bind(id.to_string())
        .bind(fence.plan.to_string())
        .bind(step.as_str())
        .bind(fence::token(fence)?)
        .bind(at.micros());
    transaction.execute(start).await?;
    transaction.commit().await?;
    Ok(Some(ChangesetHandle { id, fence }))
}

/// A changeset that is finished, or dropped, takes no more: that is refused, too.
pub(super) async fn record(
    db: &Database,
    changeset: &ChangesetHandle,
    changes: &[Change],
) -> Result<Fenced, StoreError> {
    let mut transaction = db.write().await?;
    let Some(version) = fence::pass(&mut transaction, changeset.fence).await? else {
        transaction.rollback().await?;
        return Ok(Fenced::Refused);
    };
    let count = u64::try_from(changes.len()).unwrap_or(u64::MAX);
    let grow = sql("UPDATE changesets SET change_count = change_count + $3
         WHERE changeset_id = $1 AND plan_id = $2 AND commit_id IS NULL
         RETURNING change_count");
    let grow =
        grow.bind(changeset.id.to_string()).bind(changeset.fence.plan.to_string()).bind(count);
    let Some(row) = transaction.row(grow).await? else {
        transaction.rollback().await?;
        return Ok(Fenced::Refused);
    };
    let first = row.count("change_count")?.saturating_sub(count);
    append(&mut transaction, changeset.id, first, changes).await?;
    transaction.commit().await?;
    Ok(Fenced::Written(version))
}

async fn append(
    transaction: &mut Transaction<'_>,
    id: ChangesetId,
    first: u64,
    changes: &[Change],
) -> Result<(), StoreError> {
    let id = id.to_string();
    let mut position = first;
    for changes in changes.chunks(AT_ONCE) {
        let mut insert =
            sql("INSERT INTO changes (changeset_id, position, kind, path, old_path, old_mode,
                                  new_mode, is_binary, added_lines, removed_lines)
             VALUES ");
        for (at, change) in changes.iter().enumerate() {
            insert.push(if at == 0 { "(" } else { ", (" });
            insert.push_value(id.as_str());
            let values: [Value; 9] = [
                position.into(),
                change.kind.as_str().into(),
                change.path.0.as_slice().into(),
                change.old_path.as_ref().map(|path| path.0.as_slice()).into(),
                change.old_mode.as_str().into(),
                change.new_mode.as_str().into(),
                change.binary.into(),
                change.added_lines.into(),
                change.removed_lines.into(),
            ];
            for value in values {
                insert.push(", ");
                insert.push_value(value);
            }
            insert.push(")");
            position += 1;
        }
        transaction.execute(insert).await?;
    }
    Ok(())
}

pub(super) async fn list(
    db: &Database,
    plan: PlanId,
    after: Option<ChangesetId>,
    limit: u32,
    most_changes: u32,
) -> Result<Vec<Changeset>, StoreError> {
    let mut transaction = db.read().await?;
    let list = sql("SELECT changeset_id, step, commit_id, change_count, created_at FROM changesets
         WHERE plan_id = $1 AND changeset_id > $2 ORDER BY changeset_id LIMIT $3");
    // Every id is greater than none.
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = transaction.rows(list.bind(plan.to_string()).bind(after).bind(limit)).await?;
    let mut changesets =
        rows.iter().map(|row| changeset(row, plan)).collect::<Result<Vec<_>, _>>()?;
    for changesets in changesets.chunks_mut(AT_ONCE) {
        changes(&mut transaction, changesets, most_changes).await?;
    }
    transaction.commit().await?;
    Ok(changesets)
}

/// Reads the first changes of changesets: their positions have no gaps.
async fn changes(
    transaction: &mut Transaction<'_>,
    changesets: &mut [Changeset],
    most: u32,
) -> Result<(), StoreError> {
    let mut list = sql("SELECT * FROM changes WHERE changeset_id IN ");
    list.push_list(changesets.iter().map(|changeset| changeset.id.to_string()));
    list.push(" AND position < ");
    list.push_value(most);
    list.push(" ORDER BY changeset_id, position");
    let mut of: HashMap<String, &mut Vec<Change>> = changesets
        .iter_mut()
        .map(|changeset| (changeset.id.to_string(), &mut changeset.changes))
        .collect();
    for row in transaction.rows(list).await? {
        if let Some(changes) = of.get_mut(&row.get::<String>("changeset_id")?) {
            changes.push(change(&row)?);
        }
    }
    Ok(())
}

fn changeset(row: &Row, plan: PlanId) -> Result<Changeset, StoreError> {
    let (id, commit): (String, Option<String>) = (row.get("changeset_id")?, row.get("commit_id")?);
    let unreadable =
        |error| StoreError::Unreadable(format!("plan {plan}: changeset {id:?}: {error}"));
    Ok(Changeset {
        id: ChangesetId::parse(&id).map_err(unreadable)?,
        plan,
        step: row.get("step")?,
        commit: commit.as_deref().map(Oid::parse).transpose().map_err(unreadable)?,
        created_at: Moment::from_micros(row.get("created_at")?),
        changes: Vec::new(),
        change_count: row.count("change_count")?,
    })
}

fn change(row: &Row) -> Result<Change, StoreError> {
    let kind: String = row.get("kind")?;
    let kind = ChangeKind::parse(&kind)
        .ok_or_else(|| StoreError::Unreadable(format!("{kind:?} is no kind of change")))?;
    Ok(Change {
        kind,
        path: RepoPath(row.get("path")?),
        old_path: row.get::<Option<Vec<u8>>>("old_path")?.map(RepoPath),
        old_mode: row.get("old_mode")?,
        new_mode: row.get("new_mode")?,
        binary: row.get("is_binary")?,
        added_lines: row.count("added_lines")?,
        removed_lines: row.count("removed_lines")?,
    })
}
