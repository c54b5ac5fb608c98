//! How long a statement may run and may wait for a row, at the database.
//!
//! Somebody may hold a row for long: a forgotten transaction in psql, say.
//! Requests for that row then fail, each after a while. What must not happen is
//! that they take all connections, and that they wait on at the database when
//! their caller has given up.

use std::time::Duration;

/// The settings of a connection, or of a transaction behind a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// A little less than what the caller gives the statement, so that the
    /// database is the first to say that it took too long.
    statement: Duration,
    /// For how long a row may be waited for.
    lock: Duration,
    /// Whether a statement's plan is made once for whatever it is given.
    generic: bool,
}

impl Limits {
    /// The limits for a caller that gives up after this time. A row is waited
    /// for for a fraction of it, so that those who wait for one row leave
    /// connections to the others.
    pub(super) fn of(timeout: Duration) -> Self {
        let margin = (timeout / 10).min(Duration::from_millis(250));
        Self { statement: timeout - margin, lock: timeout / 5, generic: false }
    }

    /// The limits for a batch of commands: a row that somebody has locked is
    /// waited for only as long as another server's batch may take, because
    /// everybody in the batch waits for it.
    pub(super) fn of_batch(timeout: Duration) -> Self {
        const PATIENCE: Duration = Duration::from_millis(100);
        let limits = Self::of(timeout);
        Self { lock: limits.lock.min(PATIENCE), generic: true, ..limits }
    }

    /// As startup parameters.
    pub(super) fn parameters(self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            (STATEMENT_TIMEOUT, milliseconds(self.statement)),
            ("lock_timeout", milliseconds(self.lock)),
            (ISOLATION, "read committed".to_owned()),
        ];
        if self.generic {
            parameters.extend(PLANS.map(|(name, value)| (name, value.to_owned())));
        }
        parameters
    }

    /// How a transaction begins that has them to itself.
    pub(super) fn begin(self) -> String {
        let mut begin = "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned();
        for (name, value) in self.parameters() {
            if name != ISOLATION {
                begin.push_str(&format!("; SET LOCAL {name} = '{value}'"));
            }
        }
        // A server that is stopped in the middle of it must not keep its rows.
        let idle = milliseconds(self.statement);
        begin.push_str(&format!("; SET LOCAL idle_in_transaction_session_timeout = '{idle}'"));
        begin
    }

    /// Whether this is what `current_setting('statement_timeout')` says, in
    /// milliseconds, where they are in force.
    pub(super) fn are_in_force(self, statement_timeout_ms: i64) -> bool {
        u128::try_from(statement_timeout_ms) == Ok(self.statement.as_millis().max(1))
    }
}

/// How long it takes at most to notice that something is over, where nothing is
/// in the way.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

const STATEMENT_TIMEOUT: &str = "statement_timeout";
const ISOLATION: &str = "default_transaction_isolation";

/// How the statements of commands are planned. What they do never depends on
/// how many commands there are or on what is in the table: for each command, a
/// row is looked up by its key. To plan them anew each time, as Postgres would,
/// takes longer than to carry out a small batch; and a plan that was made for
/// an empty table would read all of a full one.
const PLANS: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

fn milliseconds(span: Duration) -> String {
    format!("{}ms", span.as_millis().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_gives_up_before_the_caller() {
        let limits = Limits::of(Duration::from_secs(5));
        assert_eq!(limits.parameters()[0].1, "4750ms");
        assert_eq!(limits.parameters()[1].1, "1000ms");
        assert!(limits.are_in_force(4750));
        assert!(!limits.are_in_force(0));
        let batch = Limits::of_batch(Duration::from_secs(5));
        assert_eq!(batch.parameters()[1].1, "100ms");
        assert!(batch.begin().contains("SET LOCAL plan_cache_mode = 'force_generic_plan'"));
        let short = Limits::of(Duration::from_millis(10));
        assert_eq!(short.parameters()[0].1, "9ms");
        assert!(short.begin().contains("SET LOCAL lock_timeout = '2ms'"));
    }
}
