//! The service as its users meet it: several instances as real processes, over
//! gRPC and `planctl`, on real git projects; killed, stopped and restarted in the
//! middle, and given commands that behave badly.
#![allow(clippy::unwrap_used, reason = "a test may stop here")]

mod bad_steps;
mod changed_files;
mod database_restarted;
mod frozen;
mod frozen_in_apply;
mod killed;
mod killed_in_apply;
mod lock_server_away;
mod manners;
mod moves;
mod parallel;
mod planctl;
mod shutdown;
mod storm;
mod support;
