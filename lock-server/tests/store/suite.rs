//! What every store does.

pub(crate) mod acquire;
pub(crate) mod batch;
pub(crate) mod events;
pub(crate) mod lease;
pub(crate) mod pages;
pub(crate) mod sweep;
pub(crate) mod waiting;
pub(crate) mod watch;
