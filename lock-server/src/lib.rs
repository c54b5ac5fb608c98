//! A lock coordination service: leases on named resources over gRPC, kept in
//! Postgres or in an embedded SQLite file.
//!
//! The way of a request, and of a reader:
//!
//! 1. [`grpc`] turns messages into checked values and errors into statuses.
//!    Nothing else knows of gRPC.
//! 2. [`engine`] bounds how much is under way and hands commands to a store.
//! 3. [`store`] is the seam; [`store::postgres`] and [`store::sqlite`] stand
//!    behind it. Nothing else knows of SQL.
//! 4. [`domain`] has the rules, without I/O.
//!
//! [`Config`] and [`Server`] put it together; `main.rs` only calls them.

pub mod config;
pub mod domain;
pub mod engine;
mod error;
pub mod grpc;
mod server;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::Config;
pub use error::LockError;
pub use server::{Server, StartError, open_store};
