//! Runs plans on git projects: Action → Strategize → Execute → Apply, every
//! transition under a lock of the lock server.
//!
//! The way of a request, and of a reader:
//!
//! 1. [`grpc`] turns messages into checked values and errors into statuses.
//!    Nothing else knows of the contract.
//! 2. [`engine`] carries moves out as runs under the plan's lock.
//! 3. [`git`] works on projects, [`runner`] runs commands, each under a
//!    [`supervisor`].
//! 4. [`store`] keeps projects, actions, plans and changesets.
//! 5. [`domain`] has the rules, without I/O: names, templates, the table of
//!    moves.
//!
//! [`Config`] and [`Server`] put it together; `main.rs` only calls them.

pub mod config;
pub mod domain;
pub mod engine;
mod environment;
mod error;
pub mod git;
pub mod grpc;
pub mod runner;
pub mod server;
pub mod store;
pub mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::Config;
pub use error::PlanError;
pub use server::{Server, StartError};
