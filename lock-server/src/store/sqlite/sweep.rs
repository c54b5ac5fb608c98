//! Freeing many locks at once, in bounded steps.

use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Connection as _};

use super::{SqliteStore, StoreError, rows::NOW};
use crate::{
    domain::{OwnerId, ResourceType, Span, StaleFilter},
    store::Freed,
};

static PURGE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE locks SET expires_at = NULL, freed_at = {NOW}, metadata = '{{}}'
         WHERE (resource_type, resource_id) IN (
             SELECT l.resource_type, l.resource_id FROM locks l
             WHERE l.expires_at <= {NOW} - ?2 AND (?1 IS NULL OR l.resource_type = ?1)
             ORDER BY l.expires_at
             LIMIT ?3)"
    )
});

/// The expiry as it was says which leases were live, so it is read first, in
/// the same transaction.
static OWNED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT count(*), count(*) FILTER (WHERE expires_at > {NOW}) FROM (
             SELECT l.expires_at FROM locks l
             WHERE l.owner_id = ?1 AND l.expires_at IS NOT NULL
             ORDER BY l.resource_type, l.resource_id
             LIMIT ?2)"
    )
});

static RELEASE_OWNER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE locks SET expires_at = NULL, freed_at = {NOW}, metadata = '{{}}'
         WHERE (resource_type, resource_id) IN (
             SELECT l.resource_type, l.resource_id FROM locks l
             WHERE l.owner_id = ?1 AND l.expires_at IS NOT NULL
             ORDER BY l.resource_type, l.resource_id
             LIMIT ?2)"
    )
});

/// The rows to forget, and the greatest token among them.
static PRUNABLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE fencing_epoch SET token_floor = max(token_floor, coalesce((
             SELECT max(fencing_token) FROM (
                 SELECT l.fencing_token FROM locks l WHERE l.freed_at < {NOW} - ?1
                 ORDER BY l.freed_at, l.resource_type, l.resource_id
                 LIMIT ?2)), 0))"
    )
});

static PRUNE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "DELETE FROM locks WHERE (resource_type, resource_id) IN (
             SELECT l.resource_type, l.resource_id FROM locks l WHERE l.freed_at < {NOW} - ?1
             ORDER BY l.freed_at, l.resource_type, l.resource_id
             LIMIT ?2)
         AND fencing_token <= (SELECT token_floor FROM fencing_epoch)"
    )
});

impl SqliteStore {
    pub(super) async fn free_stale(
        &self,
        filter: &StaleFilter,
        most: u32,
    ) -> Result<u64, StoreError> {
        let mut writer = self.writer().await?;
        let freed = sqlx::query(AssertSqlSafe(PURGE.as_str()))
            .bind(filter.kind.as_ref().map(ResourceType::as_str))
            .bind(filter.older_than.micros())
            .bind(most)
            .execute(&mut *writer)
            .await?;
        writer.done();
        Ok(freed.rows_affected())
    }

    pub(super) async fn free_locks_of(
        &self,
        owner: &OwnerId,
        most: u32,
    ) -> Result<Freed, StoreError> {
        let mut writer = self.writer().await?;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let (rows, live): (i64, i64) = sqlx::query_as(AssertSqlSafe(OWNED.as_str()))
            .bind(owner.as_str())
            .bind(most)
            .fetch_one(&mut *transaction)
            .await?;
        if rows > 0 {
            sqlx::query(AssertSqlSafe(RELEASE_OWNER.as_str()))
                .bind(owner.as_str())
                .bind(most)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        writer.done();
        Ok(Freed { rows: rows.unsigned_abs(), live: live.unsigned_abs() })
    }

    pub(super) async fn forget_free(&self, free_for: Span, most: u32) -> Result<u64, StoreError> {
        let mut writer = self.writer().await?;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let parts = [PRUNABLE.as_str(), PRUNE.as_str()];
        let mut pruned = 0;
        for part in parts {
            let done = sqlx::query(AssertSqlSafe(part))
                .bind(free_for.micros())
                .bind(most)
                .execute(&mut *transaction)
                .await?;
            // The last part is the one that deletes.
            pruned = done.rows_affected();
        }
        transaction.commit().await?;
        writer.done();
        Ok(pruned)
    }

    pub(super) async fn check_writable(&self) -> Result<(), StoreError> {
        let mut writer = self.writer().await?;
        let transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        transaction.rollback().await?;
        writer.done();
        Ok(())
    }
}
