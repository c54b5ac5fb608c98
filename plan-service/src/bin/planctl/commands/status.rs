//! `planctl status`: how a plan stands, once or for as long as it works.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use proto::plan::v1::{
    GetDiagnosticsRequest, LockView, Plan, PlanDiagnostics, watch_plan_response::Event,
};
use serde_json::json;
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
    present, there,
};
use crate::{
    args::{Global, StatusArgs},
    client::Client,
    exit,
    failure::verdict,
    output::{Live, json, plan_card, summary},
};

/// How often to draw anew what time alone changes, and to look at the lock.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn execute(
    global: &Global,
    args: &StatusArgs,
    output: Output,
) -> Result<u8, Failure> {
    let plan_id = &args.plan.plan;
    if args.follow {
        let interrupt = interrupts()?;
        let client = Client::connect(global).await?;
        let plan = find(&client, plan_id).await?;
        let follower = Follower::new(client.clone(), plan_id, true);
        return match !output.is_json() && can_be_drawn_over() {
            true => draw(follower, client, &plan, interrupt, output).await,
            false => show(follower, interrupt, &plan, View::Changes, output).await,
        };
    }
    let client = Client::connect(global).await?;
    let found = look(&client, plan_id).await?;
    let plan = present(found.plan)?;
    output.answer(
        || json!({"plan": json::plan(&plan), "lock": found.lock.as_ref().map(json::lock)}),
        |style| plan_card(&plan, found.lock.as_ref(), style),
    )?;
    Ok(exit::OK)
}

/// Whether standard output is a terminal that can move its cursor.
fn can_be_drawn_over() -> bool {
    io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The plan and its lock.
async fn look(client: &Client, plan_id: &str) -> Result<PlanDiagnostics, Failure> {
    let request = GetDiagnosticsRequest { plan_id: Some(plan_id.to_owned()) };
    let answer = client.call(|mut stub| async move { stub.get_diagnostics(request).await }).await?;
    there(answer.plan, "the plan")
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
                Some(Told::Interrupted { message, .. }) => {
                    note = Some(format!("interrupted: {message}; asking again"));
                }
                // What is not to be seen needs no drawing.
                Some(Told::Event(Event::Output(_))) => continue,
                Some(Told::Event(_)) => note = None,
            },
            Ok(()) = lock.changed() => {}
            _ = tick.tick() => {}
        }
        if let Some(plan) = follower.last() {
            live.draw(plan, lock.borrow_and_update().as_ref(), note.as_deref())?;
        }
    }
    let Some(plan) = follower.last() else {
        return Err(Failure::new("INTERNAL", "plan-service told nothing of the plan"));
    };
    // It rests: nobody holds its lock any more, or not for long.
    live.draw(plan, None, None)?;
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
fn look_again(
    client: Client,
    plan_id: String,
) -> (watch::Receiver<Option<LockView>>, AbortOnDropHandle<()>) {
    let (seen, lock) = watch::channel(None);
    let looking = tokio::spawn(async move {
        loop {
            // Whatever is wrong, following the plan has the word on it.
            if let Ok(found) = look(&client, &plan_id).await {
                seen.send_replace(found.lock);
            }
            sleep(LOOK_AGAIN).await;
        }
    });
    (lock, AbortOnDropHandle::new(looking))
}
