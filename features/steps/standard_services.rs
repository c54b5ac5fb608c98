//! Health and reflection.

use cucumber::{gherkin::Step, given, then, when};
use futures::StreamExt as _;
use service_kit::testing::eventually;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::{
    vocabulary::column,
    world::{LockWorld, SOON},
};

// === health ===

async fn health(world: &LockWorld, service: &str) -> Result<&'static str, Status> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(world.channel()).check(request).await?;
    Ok(answer.into_inner().status().as_str_name())
}

#[then(expr = "the health of {string} is {word}")]
async fn health_is(world: &mut LockWorld, service: String, status: String) {
    assert_eq!(health(world, &service).await.expect("an answer"), status);
}

#[then(expr = "the health of {string} is not known")]
async fn health_is_unknown(world: &mut LockWorld, service: String) {
    let refused = health(world, &service).await.expect_err("no such service");
    assert_eq!(refused.code(), Code::NotFound);
}

#[then(expr = "within a moment the health of {string} is {word}")]
async fn health_becomes(world: &mut LockWorld, service: String, status: String) {
    let what = format!("the health of {service:?} is {status}");
    eventually(&what, SOON, async || {
        (health(world, &service).await.expect("an answer") == status).then_some(())
    })
    .await;
}

#[given(expr = "someone watches the health of {string}")]
async fn watch(world: &mut LockWorld, service: String) {
    let request = HealthCheckRequest { service };
    let answer = HealthClient::new(world.channel()).watch(request).await;
    let mut updates = answer.expect("a stream").into_inner();
    let first = updates.message().await.expect("no error").expect("the health as it is");
    assert_eq!(first.status(), ServingStatus::Serving);
    world.health = Some(updates);
}

#[then("the health turns to NOT_SERVING")]
async fn health_turns(world: &mut LockWorld) {
    let mut updates = world.health.take().expect("someone watches");
    let update = timeout(SOON, updates.message()).await.expect("an update");
    let update = update.expect("no error").expect("the watcher is told before its stream ends");
    assert_eq!(update.status(), ServingStatus::NotServing);
}

// === reflection ===

#[when("the services are asked for through reflection v1")]
async fn services_v1(world: &mut LockWorld) {
    use v1::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let answer = reflect(world, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    world.told = list.service.into_iter().map(|service| service.name).collect();
}

#[when("the services are asked for through reflection v1alpha")]
async fn services_v1alpha(world: &mut LockWorld) {
    use v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let requests = futures::stream::iter([request]);
    let mut client = ServerReflectionClient::new(world.channel());
    let answers = client.server_reflection_info(requests).await.expect("a stream");
    let answer = answers.into_inner().next().await.expect("an answer").expect("no error");
    let answer = answer.message_response.expect("a message");
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    world.told = list.service.into_iter().map(|service| service.name).collect();
}

#[when(expr = "the symbol {string} is asked for through reflection v1")]
async fn find_symbol(world: &mut LockWorld, symbol: String) {
    use v1::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let answer = reflect(world, MessageRequest::FileContainingSymbol(symbol.clone())).await;
    let found = match answer {
        MessageResponse::FileDescriptorResponse(files) => !files.file_descriptor_proto.is_empty(),
        _ => false,
    };
    world.told = Vec::from_iter(found.then_some(symbol));
}

/// One question to reflection, version 1.
async fn reflect(
    world: &LockWorld,
    question: v1::server_reflection_request::MessageRequest,
) -> v1::server_reflection_response::MessageResponse {
    use v1::{ServerReflectionRequest, server_reflection_client::ServerReflectionClient};
    let request = ServerReflectionRequest { message_request: Some(question), ..Default::default() };
    let mut client = ServerReflectionClient::new(world.channel());
    let requests = futures::stream::iter([request]);
    let answers = client.server_reflection_info(requests).await.expect("a stream");
    let answer = answers.into_inner().next().await.expect("an answer").expect("no error");
    answer.message_response.expect("a message")
}

#[then("among them are")]
async fn among_them(world: &mut LockWorld, step: &Step) {
    for service in column(step) {
        assert!(world.told.iter().any(|told| told == service), "{:?}", world.told);
    }
}

#[then("it is found")]
async fn is_found(world: &mut LockWorld) {
    assert!(!world.told.is_empty());
}
