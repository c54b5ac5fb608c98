//! Carries out batches of commands, each kind as one statement over arrays.

use std::collections::BTreeMap;

use sqlx::{Row as _, postgres::PgRow, types::Json};

use super::{PostgresStore, StoreError, rows, statements::RELEASE};
use crate::{
    domain::{Acquire, Command, FencingToken, Outcome, OwnerId, Release, Renew, Span, Timestamp},
    store::waves::waves,
};

/// How often a command that met a change by somebody else is decided on anew.
/// Each time, that somebody has got on.
const MOST_TRIES: usize = 32;

/// The commands of one kind in a wave, each with its place in the batch.
type Part<'a, C> = Vec<(usize, &'a C)>;

/// The outcomes of a batch so far.
type Outcomes = Vec<Option<Outcome>>;

impl PostgresStore {
    /// Carries out a batch, wave after wave.
    pub(super) async fn apply_batch(
        &self,
        commands: &[Command],
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes: Outcomes = vec![None; commands.len()];
        for wave in waves(commands) {
            let (mut acquires, mut renews, mut releases) = (Vec::new(), Vec::new(), Vec::new());
            for place in wave {
                match &commands[place] {
                    Command::Acquire(acquire) => acquires.push((place, acquire)),
                    Command::Renew(renew) => renews.push((place, renew)),
                    Command::Release(release) => releases.push((place, release)),
                }
            }
            self.acquire(acquires, &mut outcomes).await?;
            self.renew(renews, &mut outcomes).await?;
            self.release(releases, &mut outcomes).await?;
        }
        let decided: Option<Vec<_>> = outcomes.into_iter().collect();
        decided.ok_or(StoreError::Contended)
    }

    async fn acquire(
        &self,
        mut acquires: Part<'_, Acquire>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        for tried in 0..MOST_TRIES {
            if acquires.is_empty() {
                return Ok(());
            }
            if tried > 0 {
                // Either somebody else changed the row, or the database has a
                // new history since the last probe.
                self.check_epoch().await?;
            }
            for row in self.try_acquire(&acquires).await? {
                let lock = rows::lock(&row)?;
                let outcome = match row.try_get("what")? {
                    "conflict" => Outcome::Conflict { holder: lock },
                    // The statement took longer than the lease: not a grant
                    // that anyone could use. Decide anew.
                    _ if !lock.is_live() => continue,
                    _ => Outcome::Granted { lock, reentrant: row.try_get("reentrant")? },
                };
                outcomes[place(&row)?] = Some(outcome);
            }
            acquires.retain(|(place, _)| outcomes[*place].is_none());
        }
        if acquires.is_empty() { Ok(()) } else { Err(StoreError::Contended) }
    }

    async fn try_acquire(&self, acquires: &Part<'_, Acquire>) -> Result<Vec<PgRow>, StoreError> {
        let column = |of: fn(&Acquire) -> &str| -> Vec<&str> {
            acquires.iter().map(|(_, acquire)| of(acquire)).collect()
        };
        let types = column(|acquire| acquire.resource.kind().as_str());
        let ids = column(|acquire| acquire.resource.id());
        let owners = column(|acquire| acquire.owner.as_str());
        let ttls: Vec<_> = acquires.iter().map(|(_, acquire)| acquire.ttl.micros()).collect();
        let metadata: Vec<Json<&BTreeMap<String, String>>> =
            acquires.iter().map(|(_, acquire)| Json(acquire.metadata.entries())).collect();
        self.run_again(|| {
            sqlx::query(sqlx::AssertSqlSafe(self.acquire_sql.as_str()))
                .bind(places(acquires))
                .bind(types.clone())
                .bind(ids.clone())
                .bind(owners.clone())
                .bind(ttls.clone())
                .bind(metadata.clone())
                .bind(self.max_stall.micros())
        })
        .await
    }

    /// Renews what nobody else works on first, and then the rest: one row that
    /// somebody holds for long must not cost the others their lease.
    async fn renew(
        &self,
        renews: Part<'_, Renew>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        let mut rest = renews;
        if rest.len() > 1 {
            self.renew_part(&rest, &self.renew_or_skip_sql, outcomes).await?;
            rest.retain(|(place, _)| outcomes[*place].is_none());
        }
        if !rest.is_empty() {
            self.renew_part(&rest, &self.renew_sql, outcomes).await?;
        }
        for (place, _) in rest {
            // What has no row is not held.
            outcomes[place].get_or_insert(Outcome::NotHeld { holder: None });
        }
        Ok(())
    }

    async fn renew_part(
        &self,
        renews: &Part<'_, Renew>,
        sql: &str,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        let column = |of: fn(&Renew) -> &str| -> Vec<&str> {
            renews.iter().map(|(_, renew)| of(renew)).collect()
        };
        let types = column(|renew| renew.resource.kind().as_str());
        let ids = column(|renew| renew.resource.id());
        let owners = column(|renew| renew.owner.as_str());
        let tokens: Vec<_> = renews.iter().map(|(_, renew)| renew.token.for_table()).collect();
        let ttls: Vec<_> = renews.iter().map(|(_, renew)| renew.ttl.map(Span::micros)).collect();
        let answer = self
            .run_again(|| {
                sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
                    .bind(places(renews))
                    .bind(types.clone())
                    .bind(ids.clone())
                    .bind(owners.clone())
                    .bind(tokens.clone())
                    .bind(ttls.clone())
            })
            .await?;
        let asked: BTreeMap<usize, &Renew> = renews.iter().copied().collect();
        for row in answer {
            let place = place(&row)?;
            outcomes[place] = Some(renewal(&row, asked[&place])?);
        }
        Ok(())
    }

    async fn release(
        &self,
        releases: Part<'_, Release>,
        outcomes: &mut Outcomes,
    ) -> Result<(), StoreError> {
        if releases.is_empty() {
            return Ok(());
        }
        for (place, _) in &releases {
            // What has no row is free.
            outcomes[*place] = Some(Outcome::Released { ended: false });
        }
        let column = |of: fn(&Release) -> &str| -> Vec<&str> {
            releases.iter().map(|(_, release)| of(release)).collect()
        };
        let types = column(|release| release.resource.kind().as_str());
        let ids = column(|release| release.resource.id());
        let owners = column(|release| release.owner.as_str());
        let tokens: Vec<_> = releases
            .iter()
            .map(|(_, release)| release.token.map(FencingToken::for_table))
            .collect();
        let answer = self
            .run_again(|| {
                sqlx::query(RELEASE)
                    .bind(places(&releases))
                    .bind(types.clone())
                    .bind(ids.clone())
                    .bind(owners.clone())
                    .bind(tokens.clone())
            })
            .await?;
        let asked: BTreeMap<usize, &Release> = releases.into_iter().collect();
        for row in answer {
            let place = place(&row)?;
            outcomes[place] = Some(release_outcome(&row, asked[&place])?);
        }
        Ok(())
    }

    /// Runs a statement, again when the database made it give way to another.
    async fn run_again<'q>(
        &self,
        query: impl Fn() -> super::Query<'q>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.run(query()).await {
                Err(error) if error.gave_way() && tried < MOST_TRIES => {
                    tracing::debug!(%error, tried, "the statement gave way to another one");
                }
                result => return result,
            }
        }
    }
}

fn renewal(row: &PgRow, asked: &Renew) -> Result<Outcome, sqlx::Error> {
    if row.try_get("done")? {
        return Ok(Outcome::Renewed(rows::lock(row)?));
    }
    let standing = Standing::read(row)?;
    Ok(match standing.expires_at {
        Some(expired_at) if standing.owner == asked.owner && standing.token == asked.token => {
            Outcome::Expired { expired_at }
        }
        _ => Outcome::NotHeld { holder: standing.other_holder(&asked.owner) },
    })
}

fn release_outcome(row: &PgRow, asked: &Release) -> Result<Outcome, sqlx::Error> {
    let standing = Standing::read(row)?;
    let done: bool = row.try_get("done")?;
    Ok(match (done, standing.is_live()) {
        (true, ended) => Outcome::Released { ended },
        (false, false) => Outcome::Released { ended: false },
        (false, true) => Outcome::NotHeld { holder: standing.other_holder(&asked.owner) },
    })
}

/// A row as it stood when a command for it was decided on.
struct Standing {
    owner: OwnerId,
    token: FencingToken,
    expires_at: Option<Timestamp>,
    now: Timestamp,
}

impl Standing {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            owner: OwnerId::stored(row.try_get("owner_id")?),
            token: FencingToken::stored(row.try_get("fencing_token")?),
            expires_at: rows::maybe_timestamp(row, "expires_at")?,
            now: rows::timestamp(row, "now")?,
        })
    }

    fn is_live(&self) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at > self.now)
    }

    /// Who holds it, if that is somebody else.
    fn other_holder(&self, owner: &OwnerId) -> Option<OwnerId> {
        (self.is_live() && self.owner != *owner).then(|| self.owner.clone())
    }
}

/// The places of commands as the database takes them.
fn places<C>(commands: &Part<'_, C>) -> Vec<i64> {
    commands.iter().map(|(place, _)| i64::try_from(*place).unwrap_or(i64::MAX)).collect()
}

/// The place of the command that a row answers.
fn place(row: &PgRow) -> Result<usize, sqlx::Error> {
    let place: i64 = row.try_get("place")?;
    usize::try_from(place).map_err(|error| sqlx::Error::Decode(error.into()))
}
