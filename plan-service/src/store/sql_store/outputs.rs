//! What steps and checks have written.

use std::collections::BTreeMap;

use super::fence;
use crate::{
    domain::{Fence, Name, PlanId},
    store::{
        Fenced, OutputKey, OutputMark, OutputTail, StoreError,
        connection::{Row, sql},
        database::Database,
    },
};

pub(super) async fn write(
    db: &Database,
    fence: Fence,
    key: &OutputKey,
    output: &OutputTail,
) -> Result<Fenced, StoreError> {
    let mut transaction = db.write().await?;
    let Some(version) = fence::pass(&mut transaction, fence).await? else {
        transaction.rollback().await?;
        return Ok(Fenced::Refused);
    };
    let set =
        sql("INSERT INTO step_outputs (plan_id, is_check, name, total_bytes, tail, fencing_token)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (plan_id, is_check, name)
         DO UPDATE SET total_bytes = excluded.total_bytes, tail = excluded.tail,
                       fencing_token = excluded.fencing_token");
    let set = set
        .bind(fence.plan.to_string())
        .bind(key.check)
        .bind(key.name.as_str())
        .bind(output.total_bytes)
        .bind(output.tail.as_slice())
        .bind(fence::token(fence)?);
    transaction.execute(set).await?;
    transaction.commit().await?;
    Ok(Fenced::Written(version))
}

pub(super) async fn get(
    db: &Database,
    plan: PlanId,
) -> Result<BTreeMap<OutputKey, OutputTail>, StoreError> {
    let mut transaction = db.read().await?;
    let get = sql("SELECT is_check, name, total_bytes, tail FROM step_outputs WHERE plan_id = $1");
    let rows = transaction.rows(get.bind(plan.to_string())).await?;
    transaction.commit().await?;
    let mut outputs = BTreeMap::new();
    for row in rows {
        let output = OutputTail { total_bytes: row.count("total_bytes")?, tail: row.get("tail")? };
        outputs.insert(key(plan, &row)?, output);
    }
    Ok(outputs)
}

pub(super) async fn marks(
    db: &Database,
    plan: PlanId,
) -> Result<BTreeMap<OutputKey, OutputMark>, StoreError> {
    let mut transaction = db.read().await?;
    let list = sql(
        "SELECT is_check, name, total_bytes, fencing_token FROM step_outputs WHERE plan_id = $1",
    );
    let rows = transaction.rows(list.bind(plan.to_string())).await?;
    transaction.commit().await?;
    rows.iter()
        .map(|row| {
            let mark = OutputMark {
                fencing_token: row.count("fencing_token")?,
                total_bytes: row.count("total_bytes")?,
            };
            Ok((key(plan, row)?, mark))
        })
        .collect()
}

pub(super) async fn get_one(
    db: &Database,
    plan: PlanId,
    key: &OutputKey,
) -> Result<Option<(u64, OutputTail)>, StoreError> {
    let mut transaction = db.read().await?;
    let get = sql("SELECT total_bytes, tail, fencing_token FROM step_outputs
         WHERE plan_id = $1 AND is_check = $2 AND name = $3");
    let get = get.bind(plan.to_string()).bind(key.check).bind(key.name.as_str());
    let row = transaction.row(get).await?;
    transaction.commit().await?;
    row.map(|row| {
        let output = OutputTail { total_bytes: row.count("total_bytes")?, tail: row.get("tail")? };
        Ok((row.count("fencing_token")?, output))
    })
    .transpose()
}

fn key(plan: PlanId, row: &Row) -> Result<OutputKey, StoreError> {
    let name: String = row.get("name")?;
    let name = Name::parse(&name).map_err(|error| {
        StoreError::Unreadable(format!("plan {plan}: the step {name:?} {error}"))
    })?;
    Ok(OutputKey { check: row.get("is_check")?, name })
}
