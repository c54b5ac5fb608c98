//! 16 owners over three servers wait for one lock, again and again, while servers
//! are killed, paused and stopped and cannot listen. The database writes down
//! what happens to the lock and to its queue, each owner what it asked and what
//! it was told, and a checker reads both.

mod checker;
mod clock;
mod contender;
mod recorder;
mod rig;
mod trouble;

use rig::Rig;

fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_over_three_servers_wait_for_one_lock() {
    let seed = given("HISTORY_SEED").unwrap_or_else(|| fastrand::u64(..));
    let grants = given("WAITING_GRANTS").unwrap_or(2_000);
    println!("HISTORY_SEED={seed} WAITING_GRANTS={grants}");
    Rig::start().await.run(seed, usize::try_from(grants).unwrap()).await;
}
