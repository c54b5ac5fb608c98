//! The server as its users meet it: over gRPC and as a process, with bad input,
//! with its database away, with every limit reached.
#![allow(clippy::unwrap_used, reason = "a test may stop here")]

mod bad_input;
mod batches;
mod commit_unknown;
mod config;
mod database_away;
mod database_refused;
mod deadlock;
mod disk_full;
mod errors_on_the_wire;
mod events;
mod forced_release;
mod health;
mod keep_alive;
mod layering;
mod limits;
mod logs;
mod odd_names;
mod paging;
mod pgbouncer;
mod process;
mod python_client;
mod row_locked;
mod session;
mod several_servers;
mod shutdown;
mod support;
mod waiting;
mod watch;
