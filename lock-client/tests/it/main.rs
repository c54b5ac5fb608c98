//! The client against servers that behave, and against one that does not.
#![allow(clippy::unwrap_used, reason = "a test may stop here")]

mod audit;
mod behind_the_guard;
mod calls;
mod cancel;
mod fake;
mod fenced;
mod guard;
mod lost_lease;
mod reconnect;
mod renewal;
mod session;
mod session_server;
mod unsettled;
mod waiting;
mod waiting_server;
mod watching;
mod watching_server;
mod with_lock;
