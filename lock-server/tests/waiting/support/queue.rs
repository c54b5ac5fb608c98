//! The queue as it stands in the tables of Postgres.

use std::time::Duration;

use service_kit::testing::eventually;
use sqlx::{Connection as _, PgConnection};

use super::{DEADLINE, LONG, WANTED};

/// The queue of what everybody wants.
#[derive(Debug)]
pub(crate) struct Queue {
    url: String,
}

/// A place in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) place: i64,
    pub(crate) owner_id: String,
    /// Where its calls are.
    pub(crate) servers: Vec<String>,
}

impl Queue {
    pub(crate) fn of(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Who waits, in order.
    pub(crate) async fn places(&self) -> Vec<Place> {
        let rows: Vec<(i64, String, Vec<String>)> = sqlx::query_as(
            "SELECT place, owner_id, servers::text[] FROM lock_waiters
             WHERE resource_type = $1 AND resource_id = $2
               AND granted_token IS NULL AND NOT cancelled
             ORDER BY place",
        )
        .bind(WANTED.0)
        .bind(WANTED.1)
        .fetch_all(&mut self.connect().await)
        .await
        .unwrap();
        let place = |(place, owner_id, servers)| Place { place, owner_id, servers };
        rows.into_iter().map(place).collect()
    }

    /// Their names.
    pub(crate) async fn owners(&self) -> Vec<String> {
        self.places().await.into_iter().map(|place| place.owner_id).collect()
    }

    /// Waits until so many are in line.
    pub(crate) async fn until(&self, count: usize) {
        let count = i64::try_from(count).unwrap();
        let what = format!("{count} are in line");
        eventually(&what, DEADLINE, async || (self.count().await.0 == count).then_some(())).await;
    }

    /// Waits until an owner's place is at so many servers.
    pub(crate) async fn until_at_servers(&self, owner: &str, count: usize) {
        let what = format!("{owner} waits at {count} servers");
        eventually(&what, DEADLINE, async || {
            let places = self.places().await;
            let place = places.iter().find(|place| place.owner_id == owner);
            place.is_some_and(|place| place.servers.len() == count).then_some(())
        })
        .await;
    }

    /// How many places there are, of any kind, and how many the locks count.
    pub(crate) async fn count(&self) -> (i64, i64) {
        sqlx::query_as(
            "SELECT (SELECT count(*) FROM lock_waiters),
                    (SELECT coalesce(sum(waiters), 0)::bigint FROM locks)",
        )
        .fetch_one(&mut self.connect().await)
        .await
        .unwrap()
    }

    /// Panics unless nothing is left of anybody who waited by then.
    pub(crate) async fn assert_empty_within(&self, bound: Duration) {
        let mut last = (0, 0);
        let emptied = eventually("no place is left, and none is counted", LONG, async || {
            last = self.count().await;
            (last == (0, 0)).then_some(())
        });
        let is_empty = tokio::time::timeout(bound, emptied).await.is_ok();
        assert!(is_empty, "after {bound:?} {} places are left, and {} are counted", last.0, last.1);
    }

    /// Ends the connections on which servers listen: how many.
    pub(crate) async fn cut_listeners(&self) -> usize {
        let cut: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND (query ILIKE 'listen%' OR application_name = 'lock-server listen')",
        )
        .fetch_all(&mut self.connect().await)
        .await
        .unwrap();
        cut.len()
    }
}
