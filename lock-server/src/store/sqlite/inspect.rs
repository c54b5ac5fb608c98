//! Reading locks.

use std::sync::LazyLock;

use sqlx::AssertSqlSafe;

use super::{
    SqliteStore, StoreError,
    rows::{self, NOW},
};
use crate::domain::{
    ListFilter, Lock, LockPage, Resource, ResourceType, StaleFilter, StalePage, Timestamp,
};

static GET: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {NOW} AS now, l.* FROM locks l
         WHERE l.resource_type = ?1 AND l.resource_id = ?2 AND l.expires_at IS NOT NULL"
    )
});

/// The comparison with the prefix as a text narrows the range of the key that
/// is read; `substr`, by bytes, is what decides.
static LIST: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {NOW} AS now, l.* FROM locks l
         WHERE l.expires_at > {NOW}
           AND (?1 IS NULL OR l.resource_type = ?1)
           AND (?2 = '' OR (l.resource_id >= ?2
                AND substr(CAST(l.resource_id AS BLOB), 1, length(CAST(?2 AS BLOB)))
                    = CAST(?2 AS BLOB)))
           AND (?3 IS NULL OR l.owner_id = ?3)
           AND (?4 IS NULL OR (l.resource_type, l.resource_id) > (?4, ?5))
         ORDER BY l.resource_type, l.resource_id
         LIMIT ?6"
    )
});

static LIST_STALE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {NOW} AS now, l.* FROM locks l
         WHERE l.expires_at <= {NOW} - ?2
           AND (?1 IS NULL OR l.resource_type = ?1)
           AND (?3 IS NULL OR (l.expires_at, l.resource_type, l.resource_id) > (?3, ?4, ?5))
         ORDER BY l.expires_at, l.resource_type, l.resource_id
         LIMIT ?6"
    )
});

static COUNT_STALE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT count(*) FROM locks l
         WHERE l.expires_at <= {NOW} - ?2 AND (?1 IS NULL OR l.resource_type = ?1)"
    )
});

impl SqliteStore {
    pub(super) async fn read_lock(&self, resource: &Resource) -> Result<Option<Lock>, StoreError> {
        let mut reader = self.reader().await?;
        let row = sqlx::query(AssertSqlSafe(GET.as_str()))
            .bind(resource.kind().as_str())
            .bind(resource.id())
            .fetch_optional(reader.connection())
            .await?;
        reader.done();
        row.as_ref().map(rows::lock).transpose()
    }

    pub(super) async fn read_live(
        &self,
        filter: &ListFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<LockPage, StoreError> {
        let mut reader = self.reader().await?;
        let rows = sqlx::query(AssertSqlSafe(LIST.as_str()))
            .bind(filter.kind.as_ref().map(ResourceType::as_str))
            .bind(filter.id_prefix.as_str())
            .bind(filter.owner.as_ref().map(|owner| owner.as_str()))
            .bind(after.map(|resource| resource.kind().as_str()))
            .bind(after.map(Resource::id))
            .bind(i64::from(size) + 1)
            .fetch_all(reader.connection())
            .await?;
        reader.done();
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
        let older_than = filter.older_than.micros();
        let mut reader = self.reader().await?;
        let rows = sqlx::query(AssertSqlSafe(LIST_STALE.as_str()))
            .bind(kind)
            .bind(older_than)
            .bind(after.map(|(expiry, _)| expiry.micros()))
            .bind(after.map(|(_, resource)| resource.kind().as_str()))
            .bind(after.map(|(_, resource)| resource.id()))
            .bind(i64::from(size) + 1)
            .fetch_all(reader.connection())
            .await?;
        let locks = rows.iter().map(rows::lock).collect::<Result<_, _>>()?;
        let total: i64 = sqlx::query_scalar(AssertSqlSafe(COUNT_STALE.as_str()))
            .bind(kind)
            .bind(older_than)
            .fetch_one(reader.connection())
            .await?;
        reader.done();
        Ok(StalePage::cut(locks, size as usize, total.unsigned_abs()))
    }
}
