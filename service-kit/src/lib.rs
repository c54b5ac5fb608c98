//! What every server of this workspace does the same way.
//!
//! - [`settings`]: flags, environment, configuration file, defaults, in that order;
//! - [`telemetry`]: structured logs on standard error;
//! - [`shutdown`]: SIGTERM and SIGINT, and the tasks that must end before the process does;
//! - `testing` (feature `testing`): a private Postgres, started binaries, a proxy that fails on
//!   request, and waiting with a deadline.

pub mod settings;
pub mod shutdown;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
