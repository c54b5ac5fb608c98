//! The test harness: real dependencies that a test can start, break and watch.
//!
//! Everything here panics with a clear message instead of returning errors, and everything it
//! starts is gone after the test process, however that ends.

mod answer;
mod eventually;
mod in_process;
mod migrations;
mod pgbouncer;
mod port;
pub mod postgres;
mod process;
mod proxy;
mod terminal;

pub use answer::Answer;
pub use eventually::eventually;
pub use in_process::InProcess;
pub use migrations::assert_migrations;
pub use nix::sys::signal::Signal;
pub use pgbouncer::PgBouncer;
pub use port::free_port;
pub use postgres::{PostgresServer, TestDatabase};
pub use process::Process;
pub use proxy::TcpProxy;
pub use terminal::Terminal;
