//! `lockctl` as its users meet it: the built binary against a real server, and
//! what it prints, ends with and does to the commands that it runs.

mod diagnostics;
mod events;
mod failing;
mod force_release;
mod help;
mod holding;
mod listing;
mod run;
mod run_lost;
mod run_owner;
mod run_signals;
mod run_terminal;
mod support;
mod terminal;
mod waiting;
mod watch;
