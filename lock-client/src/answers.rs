//! What the calls that need no guard answer, with the doubt that a repeated
//! attempt leaves.
//!
//! A call that gets no answer is made again, and the answer is then that of the
//! last attempt: it speaks of what the ones before it left. `retried` says so.

/// What came of [`LockClient::release`](crate::LockClient::release).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// A live lease ended by the attempt that was answered.
    pub released: bool,
    /// An attempt before that one may have taken effect without an answer: if
    /// `released` is false, the lease was ended by that one, or there was none.
    pub retried: bool,
}

/// How many locks a call ended or freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// How many it was in the attempt that was answered.
    pub count: u64,
    /// An attempt before that one may have taken effect without an answer:
    /// `count` is then the least that it was.
    pub retried: bool,
}
