//! From where tokens start when the resource's row is not there.
//!
//! A token is the greatest of: the row's last token + 1; the clock in
//! microseconds, a day later for each epoch; the greatest pruned token + 1.
//!
//! The clock alone would do while rows are only pruned: a resource starts
//! above every token that it had, since those were at most as late as the
//! clock was then. It does not do when grants are lost, because an asynchronous
//! standby took over or a backup was restored, and the clock of the new primary
//! is behind the old one's. So every change of the write-ahead log's timeline
//! starts an epoch, which lifts tokens by a day: more than two clocks may
//! differ. The statement that grants compares the timeline itself, so that no
//! grant slips in between the failover and its discovery, not even behind a
//! proxy that hides it. A move to another cluster (a dump that is restored
//! there) starts many epochs. It is found at the next start or probe: a server
//! does not move to another cluster without one or the other.
//!
//! A database that has no timelines (one that replicates by consensus loses no
//! acknowledged grant) has one epoch for ever.

use sqlx::{Connection as _, PgConnection};

use super::{PostgresStore, Query, StoreError};

/// A day in microseconds: by how much an epoch lifts tokens.
pub(super) const EPOCH_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// Whether the database can tell its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeline {
    /// It is Postgres, and this role may ask.
    Known,
    /// It is something else, or this role may not ask.
    Unknown,
}

/// The timeline, a number that grows with every promotion: it is in the name
/// of the log file that is written now.
const NUMBER: &str = "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint";

/// What tells one cluster from another.
const CLUSTER: &str = "(SELECT system_identifier::text FROM pg_control_system())";

/// How many epochs another cluster starts: more than the failovers that a
/// backup taken before them may have forgotten.
const EPOCHS_A_CLUSTER: i64 = 1_000;

const UNDEFINED_FUNCTION: &str = "42883";
const UNDEFINED_OBJECT: &str = "42704";
const INSUFFICIENT_PRIVILEGE: &str = "42501";
const FEATURE_NOT_SUPPORTED: &str = "0A000";

impl Timeline {
    /// What this database can tell.
    pub(super) async fn find(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let asked = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {NUMBER}, {CLUSTER}")));
        let answer = asked.persistent(false).fetch_one(&mut *transaction).await;
        transaction.rollback().await?;
        match answer {
            Ok(_row) => Ok(Self::Known),
            Err(sqlx::Error::Database(error))
                if [
                    UNDEFINED_FUNCTION,
                    UNDEFINED_OBJECT,
                    INSUFFICIENT_PRIVILEGE,
                    FEATURE_NOT_SUPPORTED,
                ]
                .contains(&error.code().as_deref().unwrap_or_default()) =>
            {
                tracing::warn!(
                    reason = %error,
                    "this database does not tell its timeline: after a failover that loses \
                     grants, tokens rely on the new primary's clock alone"
                );
                Ok(Self::Unknown)
            }
            Err(error) => Err(error),
        }
    }

    /// As a literal, for the functions of the schema.
    pub(super) fn is_known(self) -> bool {
        self == Self::Known
    }

    /// The condition under which the epoch `e` is the one to grant in.
    pub(super) fn is_that_of_epoch(self) -> String {
        match self {
            Self::Known => format!("e.timeline = {NUMBER}"),
            // Nothing tells, so nothing contradicts.
            Self::Unknown => "true".to_owned(),
        }
    }
}

/// Starts an epoch where the database's history is not the one that the
/// current epoch belongs to. A restored table may have forgotten epochs: the
/// timeline's number is the least that the epoch may be, and another cluster,
/// whose timelines begin anew, starts many at once.
///
/// What was written down for those who watched in another cluster is of
/// transactions that this one has not had, and may have yet.
fn advance_sql() -> String {
    format!(
        "WITH advanced AS (
            UPDATE fencing_epoch SET
                epoch = CASE WHEN cluster = '' AND timeline = 0 THEN epoch
                             WHEN cluster <> {CLUSTER}
                             THEN greatest(epoch + {EPOCHS_A_CLUSTER}, {NUMBER})
                             ELSE greatest(epoch + 1, {NUMBER}) END,
                cluster = {CLUSTER},
                timeline = {NUMBER}
            WHERE cluster <> {CLUSTER} OR timeline <> {NUMBER}
            RETURNING epoch
         ), forgotten AS (
            DELETE FROM lock_changes
            WHERE EXISTS (SELECT FROM advanced)
              AND EXISTS (SELECT FROM fencing_epoch e WHERE e.cluster <> {CLUSTER})
         )
         SELECT epoch FROM advanced"
    )
}

impl PostgresStore {
    /// Makes sure that the epoch belongs to the database's history, where that
    /// can be told; that the database answers in any case.
    pub(super) async fn check_epoch(&self) -> Result<(), StoreError> {
        let sql = match self.timeline {
            Timeline::Known => advance_sql(),
            Timeline::Unknown => "SELECT epoch FROM fencing_epoch WHERE false".to_owned(),
        };
        let query: Query<'_> = sqlx::query(sqlx::AssertSqlSafe(sql));
        for row in self.run(query).await? {
            let epoch: i64 = sqlx::Row::try_get(&row, "epoch")?;
            tracing::info!(epoch, "the fencing epoch belongs to this database's history now");
        }
        Ok(())
    }
}
