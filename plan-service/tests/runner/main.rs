//! Commands below the real supervisor: the binary of this crate, run as
//! `plan-service supervise`.
//!
//! The commands are shell scripts, which is how a test says in one line what a
//! program does; the service itself never uses a shell.

#![allow(clippy::unwrap_used, reason = "a test may stop here")]

mod deadline;
mod descendants;
mod ends;
mod output;
mod parent;
mod supervisor;
mod support;
