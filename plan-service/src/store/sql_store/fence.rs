//! The fence: what every write of a run goes through first.

use crate::{
    domain::Fence,
    store::{StoreError, connection::sql, database::Transaction},
};

/// The token as the database keeps it.
///
/// # Errors
/// When the lock server cannot have given it.
pub(super) fn token(fence: Fence) -> Result<i64, StoreError> {
    i64::try_from(fence.token).ok().filter(|token| *token > 0).ok_or_else(|| {
        StoreError::wrong(format!(
            "the fencing token {} is none: tokens are from 1 to {}",
            fence.token,
            i64::MAX
        ))
    })
}

/// Lets a write pass unless a run with a greater token has written: the plan's
/// version then. The first statement of a transaction, so that whatever else it
/// writes is written under the plan's row lock.
pub(super) async fn pass(
    transaction: &mut Transaction<'_>,
    fence: Fence,
) -> Result<Option<u64>, StoreError> {
    let passed = sql("UPDATE plans SET fencing_token = $2, version = version + 1
         WHERE plan_id = $1 AND fencing_token <= $2
         RETURNING version");
    let passed = passed.bind(fence.plan.to_string()).bind(token(fence)?);
    transaction.row(passed).await?.map(|row| row.count("version")).transpose()
}
