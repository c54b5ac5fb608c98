//! Servers that start, stop and die, and databases that go away.

use std::time::Duration;

use cucumber::{given, then, when};
use service_kit::testing::PostgresServer;
use tokio::time::timeout;

use crate::world::{LockWorld, SOON};

/// The only server of most scenarios.
const THE_SERVER: &str = "the server";

/// Leases as short as this let a scenario wait for their end.
const SHORT_LEASES: [&str; 2] = ["--min-ttl", "100ms"];

#[given("a lock server")]
async fn a_server(world: &mut LockWorld) {
    world.start(THE_SERVER, &SHORT_LEASES).await;
}

#[given("a lock server with its default settings")]
async fn a_default_server(world: &mut LockWorld) {
    world.start(THE_SERVER, &[]).await;
}

#[given(expr = "a lock server with {string}")]
async fn a_server_with(world: &mut LockWorld, flags: String) {
    world.start(THE_SERVER, &with_short_leases(&flags)).await;
}

#[given(expr = "a lock server whose database can be taken away, with {string}")]
async fn a_server_on_its_own_database(world: &mut LockWorld, flags: String) {
    world.own_postgres().await;
    world.start(THE_SERVER, &with_short_leases(&flags)).await;
}

#[given(expr = "two lock servers, {word} and {word}, on one database")]
async fn two_servers(world: &mut LockWorld, one: String, other: String) {
    world.start(one.trim_end_matches(','), &SHORT_LEASES).await;
    world.start(other.trim_end_matches(','), &SHORT_LEASES).await;
}

#[given(expr = "two lock servers, {word} and {word}, on one database, with {string}")]
async fn two_servers_with(world: &mut LockWorld, one: String, other: String, flags: String) {
    world.start(&one, &with_short_leases(&flags)).await;
    world.start(other.trim_end_matches(','), &with_short_leases(&flags)).await;
}

#[given(expr = "three lock servers, {word} {word} and {word}, on one database")]
async fn three_servers(world: &mut LockWorld, one: String, other: String, third: String) {
    for name in [one, other, third] {
        world.start(name.trim_end_matches(','), &SHORT_LEASES).await;
    }
}

#[when(expr = "a third server {word} starts on the same database")]
async fn a_third_server(world: &mut LockWorld, name: String) {
    world.start(&name, &SHORT_LEASES).await;
}

#[when("a second server is started on the same database")]
async fn a_second_server(world: &mut LockWorld) {
    match world.try_start("another").await {
        Ok(_) => panic!("it started"),
        Err(why) => world.told = vec![why],
    }
}

#[then("it refuses to start and says that another server uses the file")]
async fn refuses_to_start(world: &mut LockWorld) {
    let why = &world.told[0];
    assert!(why.contains("another") && why.contains("locks.db"), "{why}");
}

#[given(expr = "callers turn to {word}")]
#[when(expr = "callers turn to {word}")]
async fn turn_to(world: &mut LockWorld, name: String) {
    world.turn_to(&name);
}

#[when("the server stops")]
#[then("the server ends by itself")]
async fn stop(world: &mut LockWorld) {
    let stopped = world.take_server().stop();
    timeout(SOON, stopped).await.expect("the server stops before its grace is over");
}

#[when("the server is told to stop")]
async fn begin_stop(world: &mut LockWorld) {
    world.begin_stop();
}

#[when("the server is killed")]
async fn kill(world: &mut LockWorld) {
    world.take_server().kill();
}

#[when("the server starts again")]
async fn start_again(world: &mut LockWorld) {
    world.start_again(THE_SERVER).await;
}

#[when(regex = "^the database (stops|crashes|freezes|starts|wakes up)$")]
async fn the_database(world: &mut LockWorld, action: String) {
    let action: fn(&PostgresServer) = match action.as_str() {
        "stops" => PostgresServer::stop_fast,
        "crashes" => PostgresServer::kill,
        "freezes" => PostgresServer::pause,
        "starts" => PostgresServer::start_again,
        _ => PostgresServer::resume,
    };
    world.postgres(action).await;
}

#[then(regex = r"^the answer came within (\d+) s$")]
async fn answered_within(world: &mut LockWorld, seconds: u64) {
    assert!(world.took < Duration::from_secs(seconds), "it took {:?}", world.took);
}

fn with_short_leases(flags: &str) -> Vec<&str> {
    let given = flags.split(' ');
    let short = SHORT_LEASES.into_iter().filter(|_| !flags.contains(SHORT_LEASES[0]));
    given.chain(short).collect()
}
