//! What a caller does, step by step.

use std::time::{Duration, Instant};

use super::{Phase, Tally};
use crate::{
    caller::{Caller, Grant},
    trouble::{Result, Trouble},
};

/// Longer than any turn takes to come.
pub(crate) const WAIT: Duration = Duration::from_secs(60);

/// What all callers of a run do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Acquire and release one's own locks. The rate is in pairs, the latency that of the acquires.
    Pairs,
    /// Try to take locks that everybody wants, give back what is granted. The rate is in attempts.
    Contended,
    /// Renew one's own locks.
    Renewals,
    /// 80 % renewals, 15 % pairs, 5 % attempts at the neighbour's lock, which is held. The rate and
    /// the latency are those of single commands.
    Mixed,
    /// Wait in line for a lock that all want, and hand it on at once. The rate is in turns, the
    /// latency that of the waits.
    HandOffs,
}

impl Script {
    /// What the rate counts.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Pairs => "pairs/s",
            Self::Contended => "attempts/s",
            Self::Renewals => "renewals/s",
            Self::Mixed => "commands/s",
            Self::HandOffs => "hand-offs/s",
        }
    }

    /// How many locks, from the first on, are held all the time.
    fn held(self, locks: usize) -> usize {
        match self {
            Self::Pairs | Self::Contended | Self::HandOffs => 0,
            Self::Renewals => locks,
            // The last one is the neighbour's.
            Self::Mixed => (locks - 1) / 2,
        }
    }

    /// Takes what is held all the time.
    pub(super) async fn prepare(self, caller: &mut Caller) -> Result<()> {
        for lock in 0..self.held(caller.locks()) {
            granted(caller.acquire(lock).await?)?;
        }
        Ok(())
    }

    /// Gives that back.
    pub(super) async fn finish(self, caller: &mut Caller) -> Result<()> {
        for lock in 0..self.held(caller.locks()) {
            caller.release(lock).await?;
        }
        Ok(())
    }

    /// Goes one step, and counts it if the time for that has come.
    pub(super) async fn step(
        self,
        caller: &mut Caller,
        turn: usize,
        tally: &mut Tally,
        phase: &Phase,
    ) -> Result<()> {
        let locks = caller.locks();
        match self {
            Self::Pairs => pair(caller, turn % locks, tally, phase).await,
            Self::Contended => attempt(caller, fastrand::usize(..locks), tally, phase).await,
            Self::Renewals => renew(caller, turn % locks, tally, phase).await,
            Self::HandOffs => hand_off(caller, turn % locks, tally, phase).await,
            Self::Mixed => {
                let held = self.held(locks);
                match fastrand::u32(..100) {
                    0..80 => renew(caller, turn % held, tally, phase).await,
                    80..95 => {
                        let free = held + turn % (locks - 1 - held);
                        pair(caller, free, tally, phase).await?;
                        // The release is a command, too.
                        tally.steps += u64::from(phase.counting());
                        Ok(())
                    }
                    _ => conflict(caller, locks - 1, tally, phase).await,
                }
            }
        }
    }
}

async fn pair(caller: &mut Caller, lock: usize, tally: &mut Tally, phase: &Phase) -> Result<()> {
    let start = Instant::now();
    granted(caller.acquire(lock).await?)?;
    let time = start.elapsed();
    caller.release(lock).await?;
    if phase.counting() {
        tally.took(time);
        tally.steps += caller.weight();
    }
    Ok(())
}

async fn attempt(caller: &mut Caller, lock: usize, tally: &mut Tally, phase: &Phase) -> Result<()> {
    let start = Instant::now();
    let grant = caller.acquire(lock).await?;
    if phase.counting() {
        tally.took(start.elapsed());
        tally.steps += 1;
        match grant {
            Grant::Granted => tally.grants += 1,
            Grant::Conflict => tally.conflicts += 1,
        }
    }
    match grant {
        Grant::Granted => caller.release(lock).await,
        Grant::Conflict => Ok(()),
    }
}

async fn renew(caller: &mut Caller, lock: usize, tally: &mut Tally, phase: &Phase) -> Result<()> {
    let start = Instant::now();
    caller.renew(lock).await?;
    if phase.counting() {
        tally.took(start.elapsed());
        tally.steps += 1;
    }
    Ok(())
}

async fn hand_off(
    caller: &mut Caller,
    lock: usize,
    tally: &mut Tally,
    phase: &Phase,
) -> Result<()> {
    let start = Instant::now();
    caller.wait_for(lock, WAIT).await?;
    let time = start.elapsed();
    caller.release(lock).await?;
    if phase.counting() {
        tally.took(time);
        tally.steps += 1;
    }
    Ok(())
}

async fn conflict(
    caller: &mut Caller,
    lock: usize,
    tally: &mut Tally,
    phase: &Phase,
) -> Result<()> {
    let start = Instant::now();
    let grant = caller.acquire(lock).await?;
    if phase.counting() {
        tally.took(start.elapsed());
        tally.steps += 1;
        tally.conflicts += u64::from(grant == Grant::Conflict);
    }
    Ok(())
}

/// Where nobody else asks for a lock, an attempt succeeds.
pub(super) fn granted(grant: Grant) -> Result<()> {
    match grant {
        Grant::Granted => Ok(()),
        Grant::Conflict => Err(Trouble::failed("a conflict where nobody else asks")),
    }
}
