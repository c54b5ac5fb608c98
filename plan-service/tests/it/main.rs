//! The service as its users meet it: several instances as real processes, over
//! gRPC and `planctl`, on real git projects; killed, stopped and restarted in the
//! middle, and given commands that behave badly.
#![allow(clippy::unwrap_used, reason = "a test may stop here")]

mod actions_from_files;
mod bad_steps;
mod cancelling;
mod changed_files;
mod database_away;
mod database_restarted;
mod frozen;
mod frozen_in_apply;
mod killed;
mod killed_in_apply;
mod left_behind;
mod lock_server_away;
mod manners;
mod merge_race;
mod moves;
mod parallel;
mod planctl;
mod run_again;
mod shutdown;
mod storm;
mod support;
mod unfinished_merges;
