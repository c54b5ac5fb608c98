//! Reading locks.

use std::fmt::Write as _;

use rusqlite::{Connection, ToSql, types::Value};

use super::{
    SqliteStore, StoreError,
    rows::{self, NOW, STANDING},
};
use crate::domain::{ListFilter, Lock, LockPage, Resource, StaleFilter, StalePage, Timestamp};

/// A query that says only what is asked for, so that an index can be used.
pub(super) struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    /// All locks; the conditions say which.
    pub(super) fn locks() -> Self {
        let columns = format!("{NOW}, l.resource_type, l.resource_id, {STANDING}");
        Self { sql: format!("SELECT {columns} FROM locks l WHERE true"), values: Vec::new() }
    }

    /// Adds a condition; each `?` in it stands for one of the values.
    pub(super) fn and<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        // Writing to a string cannot fail.
        let _ = write!(self.sql, " AND {condition}");
        self.values.extend(values);
    }

    /// The locks in this order, at most so many.
    pub(super) fn page(
        mut self,
        db: &Connection,
        order: &str,
        size: u32,
    ) -> rusqlite::Result<Vec<Lock>> {
        let _ = write!(self.sql, " ORDER BY {order} LIMIT ?");
        self.values.push(Value::from(i64::from(size)));
        self.read(db)
    }

    fn read(&self, db: &Connection) -> rusqlite::Result<Vec<Lock>> {
        db.prepare_cached(&self.sql)?.query_map(self.parameters().as_slice(), rows::lock)?.collect()
    }

    /// How many there are.
    fn count(&self, db: &Connection) -> rusqlite::Result<u64> {
        let sql = format!("SELECT count(*) FROM ({})", self.sql);
        let count: i64 =
            db.prepare_cached(&sql)?.query_one(self.parameters().as_slice(), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    fn parameters(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql).collect()
    }
}

fn text(text: &str) -> Value {
    Value::from(text.to_owned())
}

pub(super) fn key(resource: &Resource) -> [Value; 2] {
    [text(resource.kind().as_str()), text(resource.id())]
}

/// Live locks after a resource.
fn live(filter: &ListFilter, after: Option<&Resource>) -> Query {
    let mut query = matching(filter, after);
    query.and(&format!("l.expires_at > {NOW}"), []);
    query
}

/// Locks after a resource, whether they are live or not.
pub(super) fn matching(filter: &ListFilter, after: Option<&Resource>) -> Query {
    let mut query = Query::locks();
    if let Some(kind) = &filter.kind {
        query.and("l.resource_type = ?", [text(kind.as_str())]);
    }
    let prefix = filter.id_prefix.as_str();
    if !prefix.is_empty() {
        // The comparison as a text narrows the range of the key that is read;
        // that of bytes is what decides.
        query.and("l.resource_id >= ?", [text(prefix)]);
        query.and(
            "substr(CAST(l.resource_id AS BLOB), 1, ?) = CAST(? AS BLOB)",
            [Value::from(prefix.len() as i64), text(prefix)],
        );
    }
    if let Some(owner) = &filter.owner {
        query.and("l.owner_id = ? AND l.freed_at IS NULL", [text(owner.as_str())]);
    }
    if let Some(after) = after {
        query.and("(l.resource_type, l.resource_id) > (?, ?)", key(after));
    }
    query
}

/// Stale locks.
fn stale(filter: &StaleFilter) -> Query {
    let mut query = Query::locks();
    let older_than = Value::from(filter.older_than.micros());
    query.and(&format!("l.expires_at <= {NOW} - ?"), [older_than]);
    if let Some(kind) = &filter.kind {
        query.and("l.resource_type = ?", [text(kind.as_str())]);
    }
    query
}

impl SqliteStore {
    pub(super) async fn read_lock(&self, resource: &Resource) -> Result<Option<Lock>, StoreError> {
        let mut query = Query::locks();
        let is_it = "(l.resource_type, l.resource_id) = (?, ?) AND l.expires_at IS NOT NULL";
        query.and(is_it, key(resource));
        let mut found = self.readers().run(move |db| query.read(db)).await?;
        Ok(found.pop())
    }

    pub(super) async fn read_live(
        &self,
        filter: &ListFilter,
        after: Option<&Resource>,
        size: u32,
    ) -> Result<LockPage, StoreError> {
        let query = live(filter, after);
        let order = "l.resource_type, l.resource_id";
        let locks = self.readers().run(move |db| query.page(db, order, size + 1)).await?;
        Ok(LockPage::cut(locks, size as usize))
    }

    pub(super) async fn read_stale(
        &self,
        filter: &StaleFilter,
        after: Option<&(Timestamp, Resource)>,
        size: u32,
    ) -> Result<StalePage, StoreError> {
        let all = stale(filter);
        let mut rest = stale(filter);
        if let Some((expiry, resource)) = after {
            let [kind, id] = key(resource);
            rest.and(
                "(l.expires_at, l.resource_type, l.resource_id) > (?, ?, ?)",
                [Value::from(expiry.micros()), kind, id],
            );
        }
        let order = "l.expires_at, l.resource_type, l.resource_id";
        let read = move |db: &mut Connection| Ok((rest.page(db, order, size + 1)?, all.count(db)?));
        let (locks, total) = self.readers().run(read).await?;
        Ok(StalePage::cut(locks, size as usize, total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{OwnerId, Span},
        store::migrations,
    };

    /// How SQLite goes about a page of a query.
    fn plan(query: &Query, order: &str) -> String {
        let db = Connection::open_in_memory().unwrap();
        for migration in migrations::sqlite().iter() {
            db.execute_batch(migration.sql.as_str()).unwrap();
        }
        let sql = format!("EXPLAIN QUERY PLAN {} ORDER BY {order} LIMIT 100", query.sql);
        let mut explain = db.prepare(&sql).unwrap();
        let values = query.parameters();
        let lines = explain.query_map(values.as_slice(), |row| row.get::<_, String>(3)).unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn lists_use_the_indexes() {
        let key = "l.resource_type, l.resource_id";
        let after = Resource::stored("plan".into(), "42".into());
        let page = plan(&live(&ListFilter::default(), Some(&after)), key);
        assert!(page.contains("SEARCH l USING INDEX sqlite_autoindex_locks_1"), "{page}");
        let owner = Some(OwnerId::stored("me".into()));
        let owned = plan(&live(&ListFilter { owner, ..ListFilter::default() }, None), key);
        assert!(owned.contains("SEARCH l USING INDEX locks_by_owner (owner_id=?)"), "{owned}");
        let filter = StaleFilter { kind: None, older_than: Span::ZERO };
        let oldest = plan(&stale(&filter), "l.expires_at, l.resource_type, l.resource_id");
        assert!(oldest.contains("SEARCH l USING INDEX locks_by_expiry (expires_at<?)"), "{oldest}");
    }
}
