//! Many contenders fight for few resources, by calls and on command streams, over
//! real server processes, while servers and databases are killed. The database itself writes down what
//! happens to every lock, and a checker reads that history.
//!
//! The seed of a run is printed; `HISTORY_SEED` and `HISTORY_SECONDS` repeat it
//! or make it longer.

#![allow(clippy::unwrap_used, reason = "a test may stop here")]
#![allow(clippy::print_stdout, reason = "the seed repeats a run that failed")]

mod caller;
mod checker;
mod contender;
mod recorder;
mod rig;

use std::time::Duration;

use rig::{Rig, Trouble};

fn seconds() -> Duration {
    let given = std::env::var("HISTORY_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(20))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_postgres() {
    Rig::postgres(2).await.run(seconds(), Trouble::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_on_sqlite() {
    Rig::sqlite().await.run(seconds(), Trouble::None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_postgres_all_of_them_killed() {
    Rig::postgres(2).await.run(seconds(), Trouble::Kills).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_on_sqlite_killed() {
    Rig::sqlite().await.run(seconds(), Trouble::Kills).await;
}
