//! The database's clock, as a test that runs on its machine knows it.

use std::time::Instant;

use sqlx::{Connection as _, PgConnection};

/// Counts on from a moment of the database's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
    micros: i64,
}

impl Clock {
    /// Asks the database a few times, and trusts the quickest answer.
    pub(crate) async fn of(url: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let mut best = None;
        for _ in 0..10 {
            let asked = Instant::now();
            let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
            let micros: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
            let took = asked.elapsed();
            if best.is_none_or(|(quickest, _)| took < quickest) {
                best = Some((took, Self { began: asked + took / 2, micros }));
            }
        }
        best.unwrap().1
    }

    /// Now, in microseconds.
    pub(crate) fn now(&self) -> i64 {
        self.micros + i64::try_from(self.began.elapsed().as_micros()).unwrap()
    }
}
