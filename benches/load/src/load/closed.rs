//! The closed loop: each caller sends its next command when it has the answer to the one before.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Meter, Phase, Run, Script, Span, Tally};
use crate::{
    caller::Caller,
    trouble::{During, Result, Trouble},
};

/// How long the last commands of a run may take.
const LAST_ANSWERS: Duration = Duration::from_secs(30);
/// A caller gives up after so many errors: the run is invalid with the first.
const ENOUGH_ERRORS: u64 = 20;

/// Lets the callers follow the script for a time, and returns them.
pub(crate) async fn closed(
    callers: Vec<Caller>,
    script: Script,
    span: Span,
    meter: Meter,
) -> Result<(Vec<Caller>, Run)> {
    let callers = each(callers, move |mut caller| async move {
        script.prepare(&mut caller).await?;
        Ok(caller)
    })
    .await?;
    let phase = Phase::default();
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn(go_round(caller, script, phase.clone()));
    }
    let (seconds, cpu) = phase.play(span, meter).await;
    let mut tally = Tally::default();
    let mut each_caller = Vec::with_capacity(tasks.len());
    let mut callers = Vec::with_capacity(tasks.len());
    for (caller, counted) in all(tasks).await? {
        tally.add(&counted);
        each_caller.push(counted.steps);
        callers.push(caller);
    }
    let callers = each(callers, move |mut caller| async move {
        script.finish(&mut caller).await?;
        Ok(caller)
    })
    .await?;
    Ok((callers, Run { seconds, tally, each: each_caller, cpu }))
}

/// Lets the callers make so many pairs in all, and says how long that took. Ends at the limit, too.
pub(crate) async fn counted(
    callers: Vec<Caller>,
    pairs: u64,
    limit: Duration,
    meter: Meter,
) -> Result<(Vec<Caller>, Run)> {
    let phase = Phase::default();
    phase.set(Phase::COUNTING);
    let each = pairs.div_ceil(callers.len() as u64);
    let start = Instant::now();
    let before = meter.read();
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let phase = phase.clone();
        tasks.spawn(async move {
            let mut tally = Tally::default();
            let mut turn = 0;
            while tally.steps < each && tally.errors == 0 && start.elapsed() < limit {
                if let Err(trouble) =
                    Script::Pairs.step(&mut caller, turn, &mut tally, &phase).await
                {
                    tally.fail(&trouble);
                }
                turn += 1;
            }
            (caller, tally)
        });
    }
    let mut tally = Tally::default();
    let mut callers = Vec::with_capacity(tasks.len());
    while let Some(done) = tasks.join_next().await {
        let (caller, counted) = done.during("go on")?;
        tally.add(&counted);
        callers.push(caller);
    }
    let cpu = meter.read().since(before);
    let seconds = start.elapsed().as_secs_f64();
    Ok((callers, Run { seconds, tally, each: Vec::new(), cpu }))
}

async fn go_round(mut caller: Caller, script: Script, phase: Phase) -> (Caller, Tally) {
    let mut tally = Tally::default();
    // Not all callers at the same place of their lists.
    let mut turn = fastrand::usize(..caller.locks());
    while !phase.over() && tally.errors < ENOUGH_ERRORS {
        if let Err(trouble) = script.step(&mut caller, turn, &mut tally, &phase).await {
            tally.fail(&trouble);
        }
        turn += 1;
    }
    (caller, tally)
}

/// Does something with all callers at once.
async fn each<F>(callers: Vec<Caller>, mut work: impl FnMut(Caller) -> F) -> Result<Vec<Caller>>
where
    F: Future<Output = Result<Caller>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for caller in callers {
        tasks.spawn(work(caller));
    }
    all(tasks).await?.into_iter().collect()
}

/// Waits for all tasks, but not for ever.
pub(super) async fn all<T: 'static>(mut tasks: JoinSet<T>) -> Result<Vec<T>> {
    let mut results = Vec::with_capacity(tasks.len());
    let collect = async {
        while let Some(result) = tasks.join_next().await {
            results.push(result.during("go on")?);
        }
        Ok(())
    };
    match tokio::time::timeout(LAST_ANSWERS, collect).await {
        Ok(done) => done.map(|()| results),
        Err(_) => Err(Trouble::failed(format!("a caller had no answer for {LAST_ANSWERS:?}"))),
    }
}
