//! What every server of this workspace does the same way.
//!
//! - [`settings`]: flags, environment, configuration file, defaults, in that order;
//! - [`telemetry`]: structured logs on standard error;
//! - [`shutdown`]: SIGTERM and SIGINT, and the tasks that must end before the process does;
//! - [`database`]: the URL of a database, and whether to migrate it; its migrations (feature
//!   `migrations`);
//! - [`readiness`]: whether the database answers, asked again and again;
//! - [`check`]: all that is wrong with a request, at once;
//! - [`text`]: text of others in messages and logs, and errors with their causes;
//! - `grpc` (feature `grpc`): health, reflection, page tokens, the status of a wrong request;
//! - `cli` (feature `cli`): tables, JSON, escaping, failures and exit codes of command lines;
//! - `testing` (feature `testing`): a private Postgres, started binaries, what an ended one
//!   said, a server inside the test, a proxy that fails on request, and waiting with a deadline.

pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod database;
#[cfg(feature = "grpc")]
pub mod grpc;
pub mod readiness;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
