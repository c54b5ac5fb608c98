//! Plan services that start, stop, die and are paused, and their lock server.

use cucumber::{gherkin::Step, given, then, when};
use proto::plan::v1 as wire;
use service_kit::testing::{Signal, eventually};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    answer::shown,
    world::plans::{LockSide, PlanWorld, SOON, THE_SERVICE, verb},
};

fn words(flags: &str) -> Vec<&str> {
    flags.split(' ').filter(|word| !word.is_empty()).collect()
}

// === the lock server ===

async fn start_locks(world: &mut PlanWorld, flags: &str, can_be_away: bool) {
    world.locks = Some(LockSide::start(world.store(), &words(flags), can_be_away).await);
}

#[given("a lock server")]
async fn a_lock_server(world: &mut PlanWorld) {
    start_locks(world, "", false).await;
}

#[given(expr = "a lock server with {string}")]
async fn a_lock_server_with(world: &mut PlanWorld, flags: String) {
    start_locks(world, &flags, false).await;
}

#[given("a lock server that can be taken away")]
async fn a_lock_server_to_take(world: &mut PlanWorld) {
    start_locks(world, "", true).await;
}

#[given(expr = "a lock server that can be taken away, with {string}")]
async fn a_lock_server_to_take_with(world: &mut PlanWorld, flags: String) {
    start_locks(world, &flags, true).await;
}

#[when(regex = "^the lock server is (away|back)$")]
async fn lock_server_is(world: &mut PlanWorld, away: String) {
    world.locks.as_mut().expect("a lock server").set_away(away == "away").await;
}

// === starting ===

#[given("a plan service")]
async fn a_service(world: &mut PlanWorld) {
    world.start(THE_SERVICE, &[]).await;
}

#[given(expr = "a plan service with {string}")]
async fn a_service_with(world: &mut PlanWorld, flags: String) {
    world.start(THE_SERVICE, &words(&flags)).await;
}

#[given("a plan service in memory")]
async fn a_service_in_memory(world: &mut PlanWorld) {
    world.start(THE_SERVICE, &["--database-url", "sqlite::memory:"]).await;
}

#[given(expr = "a plan service in memory, with {string}")]
async fn a_service_in_memory_with(world: &mut PlanWorld, flags: String) {
    let mut flags = words(&flags);
    flags.extend(["--database-url", "sqlite::memory:"]);
    world.start(THE_SERVICE, &flags).await;
}

#[given(expr = "another plan service {word}")]
async fn another_service(world: &mut PlanWorld, name: String) {
    let current = world.current().to_owned();
    world.start(&name, &[]).await;
    world.turn_to(&current);
}

#[given(expr = "another plan service {word} with {string}")]
async fn another_service_with(world: &mut PlanWorld, name: String, flags: String) {
    let current = world.current().to_owned();
    world.start(&name, &words(&flags)).await;
    world.turn_to(&current);
}

#[given(expr = "two plan services, East and West")]
async fn two_services(world: &mut PlanWorld) {
    for name in ["East", "West"] {
        world.start(name, &[]).await;
    }
}

#[given(expr = "two plan services, East and West, with {string}")]
async fn two_services_with(world: &mut PlanWorld, flags: String) {
    for name in ["East", "West"] {
        world.start(name, &words(&flags)).await;
    }
}

#[given(expr = "two plan services as processes, East and West, with {string}")]
async fn two_processes(world: &mut PlanWorld, flags: String) {
    for name in ["East", "West"] {
        world.start_process(name, &words(&flags)).await;
    }
}

#[given(expr = "a plan service as a process, East, with {string}")]
async fn a_process(world: &mut PlanWorld, flags: String) {
    world.start_process("East", &words(&flags)).await;
}

#[given("a plan service whose actions come from files, with")]
async fn a_service_with_files(world: &mut PlanWorld, step: &Step) {
    let folder = world.scratch.at("actions");
    std::fs::create_dir(&folder).expect("a folder");
    let text = step.docstring.as_deref().expect("the text of a file");
    std::fs::write(folder.join("action.toml"), text).expect("write the file");
    let folder = folder.to_str().expect("a path of text").to_owned();
    world.start("from files", &["--allow-actions-from", &folder]).await;
}

#[given(expr = "callers turn to {word}")]
#[when(expr = "callers turn to {word}")]
async fn turn_to(world: &mut PlanWorld, name: String) {
    world.turn_to(&name);
}

// === ending ===

#[when("the service stops and starts again")]
async fn stops_and_starts(world: &mut PlanWorld) {
    world.stop(THE_SERVICE).await;
    world.start_again(THE_SERVICE).await;
}

#[when(expr = "{word} starts again")]
async fn starts_again(world: &mut PlanWorld, name: String) {
    world.start_again(&name).await;
}

#[when(expr = "{word} is told to stop")]
async fn is_told_to_stop(world: &mut PlanWorld, name: String) {
    world.signal(&name, Signal::SIGTERM);
}

#[then(expr = "{word} ends with the exit code {int}")]
async fn ends_with(world: &mut PlanWorld, name: String, code: i32) {
    assert_eq!(world.exit_code(&name).await, Some(code));
}

#[when(expr = "{word} is killed")]
async fn is_killed(world: &mut PlanWorld, name: String) {
    world.kill(&name);
}

#[when(expr = "{word} is paused")]
async fn is_paused(world: &mut PlanWorld, name: String) {
    world.signal(&name, Signal::SIGSTOP);
}

#[when(expr = "{word} goes on")]
async fn goes_on(world: &mut PlanWorld, name: String) {
    world.signal(&name, Signal::SIGCONT);
}

/// The health is told first, so that nobody sends new work.
#[then(expr = "{word} takes no new work")]
async fn takes_no_work(world: &mut PlanWorld, name: String) {
    eventually("it says that it does not serve", SOON, async || {
        match health(world, &name, "plan.v1.PlanService").await {
            Ok("SERVING") => None,
            _ => Some(()),
        }
    })
    .await;
    let plan_id = world.plan_id("plan B");
    for asked in ["execute", "revert", "cancel"] {
        let asked = verb(asked);
        let mut client = world.client_of(&name);
        let plan_id = plan_id.clone();
        let refused = match asked {
            "execute" => client.execute_plan(wire::ExecutePlanRequest { plan_id }).await.err(),
            "revert" => client.revert_plan(wire::RevertPlanRequest { plan_id }).await.err(),
            _ => {
                let request = wire::CancelPlanRequest { plan_id, ..Default::default() };
                client.cancel_plan(request).await.err()
            }
        };
        let refused = refused.unwrap_or_else(|| panic!("{asked} is begun"));
        assert_eq!(refused.code(), Code::Unavailable, "{}", shown(&refused));
    }
}

// === the standard services ===

async fn health(
    world: &PlanWorld,
    instance: &str,
    service: &str,
) -> Result<&'static str, tonic::Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(world.channel_of(instance)).check(request).await?;
    Ok(answer.into_inner().status().as_str_name())
}

#[then(expr = "the health of {string} is {word}")]
async fn health_is(world: &mut PlanWorld, service: String, status: String) {
    let told = health(world, world.current(), &service).await.expect("an answer");
    assert_eq!(told, status);
}

#[then(expr = "reflection tells of {string}")]
async fn reflection_tells(world: &mut PlanWorld, service: String) {
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = ServerReflectionClient::new(world.channel());
    let answers = client.server_reflection_info(futures::stream::iter([request])).await;
    let answer = answers.expect("a stream").into_inner().message().await.expect("no error");
    let answer = answer.and_then(|answer| answer.message_response).expect("an answer");
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.into_iter().map(|one| one.name).collect();
    assert!(names.contains(&service), "{names:?}");
}

#[then("the diagnostics say that the lock server is away")]
async fn says_lock_server_is_away(world: &mut PlanWorld) {
    let told = world.diagnostics(None).await.lock_server.expect("about the lock server");
    assert!(!told.reachable && !told.error.is_empty(), "{told:?}");
}
