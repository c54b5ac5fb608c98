//! Reads a history of one lock and its queue, and says what is wrong with it.
//!
//! Two witnesses: the database, which wrote down every change in order, and the
//! owners, who wrote down what they asked and what they were told. The database
//! alone cannot tell a lease that its owner gave back from one that was taken
//! away; the owners alone cannot tell in which order they came.
//!
//! Where a history allows two readings (whether a server that was silent was
//! still thought to be there), the checker takes the harmless one.

mod reader;
#[cfg(test)]
mod tests;
mod told;

pub(crate) use told::{Call, End, Ending, Outage, Told};

/// Microseconds of the database's clock.
pub(crate) type Micros = i64;

pub(crate) const SECOND: Micros = 1_000_000;

/// What the database wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// In which transaction.
    pub(crate) tx: i64,
    /// After the change was decided on, and before it was committed.
    pub(crate) at: Micros,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The lock's row, as it was from then on.
    Lock(Row),
    /// Somebody came into line.
    Arrived(Place),
    /// A place, as it was from then on.
    Changed(Place),
    /// A place, as it was before it went.
    Left(Place),
    /// A server said until when it is there.
    Alive { server: String, until: Micros },
}

/// The row of the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) owner: String,
    pub(crate) token: i64,
    pub(crate) acquired_at: Micros,
    /// None when it is free.
    pub(crate) expires_at: Option<Micros>,
    /// How many wait, as the row says.
    pub(crate) waiters: i32,
}

/// A place in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) place: i64,
    pub(crate) owner: String,
    pub(crate) waits_until: Micros,
    /// Where its calls are.
    pub(crate) servers: Vec<String>,
    /// The token under which it was granted and not taken yet.
    pub(crate) granted: Option<i64>,
    pub(crate) cancelled: bool,
}

impl Row {
    fn is_live_at(&self, moment: Micros) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at > moment)
    }
}

impl Place {
    /// Neither granted nor cancelled.
    fn is_in_line(&self) -> bool {
        self.granted.is_none() && !self.cancelled
    }
}

/// Everything that is wrong: nothing, hopefully.
pub(crate) fn check(history: &[Entry], told: &Told) -> Vec<String> {
    let mut wrong = reader::read(history, told);
    wrong.extend(told::check(history, told));
    wrong
}
