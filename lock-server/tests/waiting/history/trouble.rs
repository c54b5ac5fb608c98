//! What happens to servers during a run.

use std::time::Duration;

use service_kit::testing::{Signal, eventually};

use super::{
    checker::Outage,
    clock::Clock,
    rig::{GRACE, Rig},
};
use crate::support::{DEADLINE, Queue};

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A server is killed and started again.
    Kill,
    /// The same, and it stays away until its places are given up.
    KillForLong,
    /// A server stands still for a moment.
    Pause,
    /// A server stands still until its places are given up.
    PauseForLong,
    /// A server is asked to stop, and started again.
    Stop,
    /// No server can listen.
    Deafen,
}

/// What is over soon.
const SHORT: [Trouble; 4] = [Trouble::Kill, Trouble::Pause, Trouble::Stop, Trouble::Deafen];

/// All that happens at least once.
const ALL: [Trouble; 12] = [
    Trouble::Kill,
    Trouble::Kill,
    Trouble::KillForLong,
    Trouble::Pause,
    Trouble::Pause,
    Trouble::Pause,
    Trouble::PauseForLong,
    Trouble::Stop,
    Trouble::Stop,
    Trouble::Deafen,
    Trouble::Deafen,
    Trouble::Deafen,
];

/// Everything in an order of the seed's, and then, for so long as there are not
/// enough grants, what is over soon: what happened, and when servers were not
/// there.
pub(crate) async fn make(
    rig: &mut Rig,
    random: &mut fastrand::Rng,
    clock: Clock,
    is_enough: impl Fn() -> bool,
) -> (Vec<Trouble>, Vec<Outage>) {
    let (mut happened, mut outages) = (Vec::new(), Vec::new());
    let mut all = ALL;
    random.shuffle(&mut all);
    loop {
        let is_first = happened.len() < all.len();
        let trouble = match all.get(happened.len()) {
            Some(trouble) => *trouble,
            None if is_enough() => return (happened, outages),
            None => random.choice(SHORT).unwrap(),
        };
        // The time between two is the load, not a wait for something.
        let (least, most) = if is_first { (200, 600) } else { (600, 1_800) };
        sleep(random, least, most).await;
        let server = random.usize(..rig.servers.len());
        let from = clock.now();
        happen(trouble, server, rig, random).await;
        happened.push(trouble);
        if trouble != Trouble::Deafen {
            outages.push(Outage { server, from, to: clock.now() });
        }
    }
}

async fn happen(trouble: Trouble, victim: usize, rig: &mut Rig, random: &mut fastrand::Rng) {
    let beyond_grace = u64::try_from(GRACE.as_millis()).unwrap() + 500;
    match trouble {
        Trouble::Kill => {
            rig.servers[victim].process.kill();
            rig.start_again(victim).await;
        }
        Trouble::KillForLong => {
            rig.servers[victim].process.kill();
            sleep(random, beyond_grace, beyond_grace + 500).await;
            rig.start_again(victim).await;
        }
        Trouble::Pause | Trouble::PauseForLong => {
            let is_long = trouble == Trouble::PauseForLong;
            let (least, most) =
                if is_long { (beyond_grace, beyond_grace + 500) } else { (50, 1_500) };
            rig.servers[victim].process.signal(Signal::SIGSTOP);
            sleep(random, least, most).await;
            rig.servers[victim].process.signal(Signal::SIGCONT);
        }
        Trouble::Stop => {
            rig.servers[victim].process.signal(Signal::SIGTERM);
            rig.servers[victim].assert_ends_well(DEADLINE).await;
            rig.start_again(victim).await;
        }
        Trouble::Deafen => {
            let queue = Queue::of(rig.url());
            eventually("a server listens", DEADLINE, async || {
                (queue.cut_listeners().await > 0).then_some(())
            })
            .await;
        }
    }
}

async fn sleep(random: &mut fastrand::Rng, least: u64, most: u64) {
    tokio::time::sleep(Duration::from_millis(random.u64(least..most))).await;
}
