//! What steps and checks have written.

use std::collections::BTreeMap;

use super::fence;
use crate::{
    domain::{Fence, Name, PlanId},
    store::{Fenced, OutputKey, OutputTail, StoreError, connection::sql, database::Database},
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
    let set = sql("INSERT INTO step_outputs (plan_id, is_check, name, total_bytes, tail)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (plan_id, is_check, name)
         DO UPDATE SET total_bytes = excluded.total_bytes, tail = excluded.tail");
    let set = set
        .bind(fence.plan.to_string())
        .bind(key.check)
        .bind(key.name.as_str())
        .bind(output.total_bytes)
        .bind(output.tail.as_slice());
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
        let name: String = row.get("name")?;
        let name = Name::parse(&name).map_err(|error| {
            StoreError::Unreadable(format!("plan {plan}: the step {name:?} {error}"))
        })?;
        let output = OutputTail { total_bytes: row.count("total_bytes")?, tail: row.get("tail")? };
        outputs.insert(OutputKey { check: row.get("is_check")?, name }, output);
    }
    Ok(outputs)
}
