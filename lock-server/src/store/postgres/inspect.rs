//! Reading locks. Reads take no row locks and change nothing.
//!
//! The clock stands in a subquery of its own: it is read once, and the index
//! on `sweep_at` can be used. A bare `clock_timestamp()` in a condition is
//! called for every row of the table.

use sqlx::{AssertSqlSafe, Row as _};

use super::{
    PostgresStore, StoreError,
    rows::{self, LOCK_COLUMNS},
};
use crate::domain::{
    ListFilter, Lock, LockPage, Resource, ResourceType, StaleFilter, StalePage, Timestamp,
};

/// The live or stale lock of a resource.
fn get_sql() -> String {
    format!(
        "SELECT {LOCK_COLUMNS}, clock_timestamp() AS now
         FROM locks l
         WHERE l.resource_type = $1 AND l.resource_id = $2 AND l.expires_at IS NOT NULL"
    )
}

/// A page of live locks. The comparison with the prefix as a text narrows the
/// range of the key that is read; `starts_with` is what decides.
fn list_sql() -> String {
    format!(
        "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
         SELECT {LOCK_COLUMNS}, (SELECT now FROM clock) AS now
         FROM locks l
         WHERE l.expires_at > (SELECT now FROM clock)
           AND ($1::text IS NULL OR l.resource_type = $1)
           AND ($2 = '' OR (l.resource_id >= $2 AND starts_with(l.resource_id, $2)))
           AND ($3::text IS NULL OR l.owner_id = $3)
           AND ($4::text IS NULL OR (l.resource_type, l.resource_id) > ($4, $5))
         ORDER BY l.resource_type, l.resource_id
         LIMIT $6"
    )
}

/// A page of stale locks. They are found by `sweep_at`, which is never later
/// than the expiry.
fn list_stale_sql() -> String {
    format!(
        "WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
         SELECT {LOCK_COLUMNS}, (SELECT now FROM clock) AS now
         FROM locks l
         WHERE l.sweep_at <= (SELECT now FROM clock) - $2 * interval '1 microsecond'
           AND l.expires_at <= (SELECT now FROM clock) - $2 * interval '1 microsecond'
           AND ($1::text IS NULL OR l.resource_type = $1)
           AND ($3::timestamptz IS NULL
                OR (l.expires_at, l.resource_type, l.resource_id) > ($3, $4, $5))
         ORDER BY l.expires_at, l.resource_type, l.resource_id
         LIMIT $6"
    )
}

/// How many stale locks there are.
const COUNT_STALE: &str = "
    SELECT count(*) AS total
    FROM locks l
    WHERE l.sweep_at <= (SELECT clock_timestamp()) - $2 * interval '1 microsecond'
      AND l.expires_at <= (SELECT clock_timestamp()) - $2 * interval '1 microsecond'
      AND ($1::text IS NULL OR l.resource_type = $1)";

impl PostgresStore {
    pub(super) async fn read_lock(&self, resource: &Resource) -> Result<Option<Lock>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(get_sql()))
            .bind(resource.kind().as_str())
            .bind(resource.id());
        let rows = self.run(query).await?;
        Ok(rows.first().map(rows::lock).transpose()?)
    }

    pub(super) async fn read_live(
        &self,
        filter: &ListFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<LockPage, StoreError> {
        let query = sqlx::query(AssertSqlSafe(list_sql()))
            .bind(filter.kind.as_ref().map(ResourceType::as_str))
            .bind(filter.id_prefix.as_str())
            .bind(filter.owner.as_ref().map(|owner| owner.as_str()))
            .bind(after.map(|resource| resource.kind().as_str()))
            .bind(after.map(Resource::id))
            .bind(i64::from(size) + 1);
        let rows = self.run(query).await?;
        let locks = rows.iter().map(rows::lock).collect::<Result<_, _>>()?;
        Ok(LockPage::cut(locks, size as usize))
    }

    pub(super) async fn read_stale(
        &self,
        filter: &StaleFilter,
        after: Option<&(Timestamp, Resource)>,
        size: u32,
    ) -> Result<StalePage, StoreError> {
        let kind = filter.kind.as_ref().map(ResourceType::as_str);
        let older_than = rows::ago(filter.older_than);
        let query = sqlx::query(AssertSqlSafe(list_stale_sql()))
            .bind(kind)
            .bind(older_than)
            .bind(after.map(|(expiry, _)| rows::to_database(*expiry)))
            .bind(after.map(|(_, resource)| resource.kind().as_str()))
            .bind(after.map(|(_, resource)| resource.id()))
            .bind(i64::from(size) + 1);
        let rows = self.run(query).await?;
        let locks = rows.iter().map(rows::lock).collect::<Result<_, _>>()?;
        let counted = self.run(sqlx::query(COUNT_STALE).bind(kind).bind(older_than)).await?;
        let total: i64 = match counted.first() {
            Some(row) => row.try_get("total")?,
            None => 0,
        };
        Ok(StalePage::cut(locks, size as usize, total.unsigned_abs()))
    }
}
