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
    /// For how long a row may be waited for: a fraction, so that the callers
    /// who wait for one row leave connections to the others.
    lock: Duration,
}

impl Limits {
    /// The limits for a caller that gives up after this time.
    pub(super) fn of(timeout: Duration) -> Self {
        let margin = (timeout / 10).min(Duration::from_millis(250));
        Self { statement: timeout - margin, lock: timeout / 5 }
    }

    /// As startup parameters.
    pub(super) fn parameters(self) -> [(&'static str, String); 3] {
        [
            (STATEMENT_TIMEOUT, milliseconds(self.statement)),
            ("lock_timeout", milliseconds(self.lock)),
            ("default_transaction_isolation", "read committed".to_owned()),
        ]
    }

    /// How a transaction begins that has them to itself.
    pub(super) fn begin(self) -> String {
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL {STATEMENT_TIMEOUT} = '{}'; \
             SET LOCAL lock_timeout = '{}'",
            milliseconds(self.statement),
            milliseconds(self.lock)
        )
    }

    /// Whether this is what `current_setting('statement_timeout')` says, in
    /// milliseconds, where they are in force.
    pub(super) fn are_in_force(self, statement_timeout_ms: i64) -> bool {
        u128::try_from(statement_timeout_ms) == Ok(self.statement.as_millis().max(1))
    }
}

const STATEMENT_TIMEOUT: &str = "statement_timeout";

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
        let short = Limits::of(Duration::from_millis(10));
        assert_eq!(short.parameters()[0].1, "9ms");
        assert!(short.begin().contains("SET LOCAL lock_timeout = '2ms'"));
    }
}
