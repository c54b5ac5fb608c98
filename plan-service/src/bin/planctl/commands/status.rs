//! `planctl status`: how a plan stands, once or for as long as it works.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use proto::plan::v1::{
    GetPlanRequest, GetPlanResponse, Plan, PlanState, watch_plan_response::Event,
};
use serde_json::{Value, json};
use service_kit::cli::{Failure, Output, Style};
use tokio::{
    signal::unix::Signal,
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    find,
    following::{Follower, Told, View, interrupted, interrupts, show},
    there,
};
use crate::{
    args::{Global, StatusArgs},
    client::Client,
    exit,
    failure::verdict,
    output::{Live, Lock, json, plan_card, summary},
};

/// How often to draw anew what time alone changes, and to look at the lock.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn execute(
    global: &Global,
    args: &StatusArgs,
    output: Output,
) -> Result<u8, Failure> {
    let plan_id = &args.plan.plan;
    let drawn = !output.is_json() && can_be_drawn_over();
    if args.once || !(args.follow || drawn) {
        return card(&Client::connect(global).await?, plan_id, output).await;
    }
    let client = Client::connect(global).await?;
    let plan = find(&client, plan_id).await?;
    if !args.follow && plan.state() != PlanState::Processing {
        return card(&client, plan_id, output).await;
    }
    // Up to here Ctrl-C ends it as it ends anything.
    let interrupt = interrupts()?;
    let follower = Follower::new(client.clone(), plan_id, true);
    match drawn {
        true => draw(follower, client, &plan, interrupt, output).await,
        false => show(follower, interrupt, &plan, View::Changes, output).await,
    }
}

/// How it stands now.
async fn card(client: &Client, plan_id: &str, output: Output) -> Result<u8, Failure> {
    let found = look(client, plan_id).await?;
    let (plan, lock) = (there(found.plan.as_ref(), "a plan")?, Lock::of(&found));
    output.answer(|| document(plan, &found), |style| plan_card(plan, &lock, style))?;
    Ok(exit::OK)
}

fn document(plan: &Plan, found: &GetPlanResponse) -> Value {
    let error = Some(&found.lock_error).filter(|error| !error.is_empty());
    json!({
        "plan": json::plan(plan),
        "lock": found.lock.as_ref().map(json::lock),
        "lock_error": error,
    })
}

/// Whether standard output is a terminal that can move its cursor.
fn can_be_drawn_over() -> bool {
    io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The plan and its lock.
async fn look(client: &Client, plan_id: &str) -> Result<GetPlanResponse, Failure> {
    let request = GetPlanRequest { plan_id: plan_id.to_owned(), with_lock: true };
    client.call(|mut stub| async move { stub.get_plan(request).await }).await
}

/// Draws it over and over, until the plan rests.
async fn draw(
    mut follower: Follower,
    client: Client,
    begun: &Plan,
    mut interrupt: Signal,
    output: Output,
) -> Result<u8, Failure> {
    let (mut lock, _looking) = look_again(client, begun.plan_id.clone());
    let mut tick = interval(LOOK_AGAIN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut live = Live::new();
    let mut note = None;
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => return Ok(interrupted(follower.last().unwrap_or(begun), output)),
            told = follower.next() => match told? {
                None => break,
                Some(Told::Interrupted { words, .. }) => {
                    note = Some(words);
                }
                // What is not to be seen needs no drawing.
                Some(Told::Event(Event::Output(_))) => continue,
                Some(Told::Event(_)) => note = None,
            },
            Ok(()) = lock.changed() => {}
            _ = tick.tick() => {}
        }
        if let Some(plan) = follower.last() {
            // At its end it gives the lock back: what was seen of it is old.
            let lock = match plan.state() {
                PlanState::Processing => lock.borrow_and_update().clone(),
                _ => Lock::Unasked,
            };
            live.draw(plan, &lock, note.as_deref())?;
        }
    }
    let Some(plan) = follower.last() else {
        return Err(Failure::new("INTERNAL", "plan-service told nothing of the plan"));
    };
    live.draw(plan, &Lock::Unasked, None)?;
    rests(plan)
}

fn rests(plan: &Plan) -> Result<u8, Failure> {
    let code = verdict(plan)?;
    let text = summary(plan, Style::of(&io::stdout()));
    // Its first line says what is drawn already.
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    io::stdout().lock().write_all(rest.as_bytes())?;
    Ok(code)
}

/// Looks at the plan's lock for as long as the handle lives.
fn look_again(client: Client, plan_id: String) -> (watch::Receiver<Lock>, AbortOnDropHandle<()>) {
    let (seen, lock) = watch::channel(Lock::Unasked);
    let looking = tokio::spawn(async move {
        loop {
            // Whatever is wrong, following the plan has the word on it.
            let found = look(&client, &plan_id).await;
            seen.send_replace(found.map_or(Lock::Unasked, |found| Lock::of(&found)));
            sleep(LOOK_AGAIN).await;
        }
    });
    (lock, AbortOnDropHandle::new(looking))
}
