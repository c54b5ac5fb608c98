//! Saying that somebody watches, and from when on everybody knows.

use std::time::Duration;

use sqlx::{Row as _, postgres::PgRow};
use tokio::time::Instant;

use super::sql::{HEAD, OLDER, SAY};
use crate::{
    domain::Timestamp,
    store::{
        StoreError,
        postgres::{For, PostgresStore, limits, rows},
    },
};

/// For how long it is said that somebody watches, and how often that is said.
pub(super) const WATCHED_FOR: Duration = Duration::from_secs(15);
const SAID_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether older statements are over.
const OLDER_EVERY: Duration = Duration::from_millis(10);

/// That somebody watches, as it is said again and again.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) renewals: bool,
    /// Until when it is said, as far as has been seen.
    until: Timestamp,
    again_at: Instant,
}

/// What stands at the head of a look.
pub(super) struct Head {
    pub(super) snapshot: String,
    pub(super) now: Timestamp,
    watched_until: Timestamp,
    renewals_until: Timestamp,
    /// Which part of the database's history this is.
    pub(super) epoch: i64,
}

impl PostgresStore {
    /// Says that somebody watches, and waits until all statements under way know
    /// it: until the head's snapshot, and on from there.
    pub(super) async fn begin_to_say(&self, renewals: bool) -> Result<(Said, Head), StoreError> {
        self.say(For::One, renewals).await?;
        let again_at = Instant::now() + SAID_EVERY;
        let until = self.head().await?.until(renewals);
        let mut said = Said { renewals, until, again_at };
        self.outwait_older(&mut said).await?;
        let head = self.head().await?;
        said.goes_on(&head)?;
        Ok((said, head))
    }

    /// Says it again when it is time: whether it was. A table that somebody has
    /// locked is left for the next time.
    pub(super) async fn say_again(&self, said: &mut Said) -> Result<bool, StoreError> {
        if Instant::now() < said.again_at {
            return Ok(false);
        }
        match self.say(For::Watching, said.renewals).await {
            Err(error) if error.met_a_locked_row() => return Ok(false),
            done => done?,
        }
        said.again_at = Instant::now() + SAID_EVERY;
        Ok(true)
    }

    async fn say(&self, what: For, renewals: bool) -> Result<(), StoreError> {
        let query =
            sqlx::query(SAY).bind(WATCHED_FOR).bind(renewals).bind(WATCHED_FOR - SAID_EVERY);
        self.run_for(what, query).await?;
        Ok(())
    }

    pub(super) async fn head(&self) -> Result<Head, StoreError> {
        let rows = self.run_for(For::Watching, sqlx::query(HEAD)).await?;
        Ok(Head::of(rows.first().ok_or(StoreError::ChangesLost)?)?)
    }

    /// Waits for the statements that may not know that somebody watches.
    async fn outwait_older(&self, said: &mut Said) -> Result<(), StoreError> {
        let end = Instant::now() + self.timeout + limits::MOMENT;
        let mut older: Option<Vec<String>> = None;
        loop {
            let rows = self.run(sqlx::query(OLDER).bind(&older)).await?;
            let left: Vec<String> =
                rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                tracing::warn!(
                    transactions = left.len(),
                    "somebody keeps a transaction open that has looked at fencing_epoch; if it \
                     changes locks, those who watch are not told"
                );
                return Ok(());
            }
            older = Some(left);
            if self.say_again(said).await? {
                said.goes_on(&self.head().await?)?;
            }
            tokio::time::sleep(OLDER_EVERY).await;
        }
    }
}

// === impl Said ===

impl Said {
    /// It was said without a gap until this head, which tells until when it is.
    ///
    /// # Errors
    /// When it may not have been said for a while.
    pub(super) fn goes_on(&mut self, head: &Head) -> Result<(), StoreError> {
        if head.now >= self.until {
            return Err(StoreError::ChangesLost);
        }
        self.until = head.until(self.renewals);
        Ok(())
    }
}

// === impl Head ===

impl Head {
    /// How many columns it has.
    pub(super) const WIDTH: usize = 5;

    pub(super) fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            snapshot: row.try_get(0)?,
            now: rows::timestamp(row, 1)?,
            watched_until: rows::timestamp(row, 2)?,
            renewals_until: rows::timestamp(row, 3)?,
            epoch: row.try_get(4)?,
        })
    }

    fn until(&self, renewals: bool) -> Timestamp {
        if renewals { self.watched_until.min(self.renewals_until) } else { self.watched_until }
    }
}
