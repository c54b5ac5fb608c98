//! Waiting in line while everything that can go wrong does: a history test that
//! many owners and a checker write, and a test for each fault by itself.
//!
//! The seed of the history is printed; `HISTORY_SEED` repeats it,
//! `WAITING_GRANTS` makes it longer or shorter.

#![allow(clippy::unwrap_used, reason = "a test may stop here")]
#![allow(clippy::print_stdout, reason = "the seed repeats a run that failed")]

mod faults;
mod history;
mod support;
