//! Requests described field by field.

use cucumber::{gherkin::Step, then, when};
use proto::lock::v1 as wire;

use crate::{
    draft::Draft,
    vocabulary::{pairs, text},
    world::LockWorld,
};

#[when(expr = "{word} is asked for with")]
async fn asked_for(world: &mut LockWorld, rpc: String, step: &Step) {
    let mut draft = Draft::default();
    for (field, cell) in pairs(step) {
        draft.set(field, cell);
    }
    draft.send(&rpc, world).await;
}

#[when("Acquire is asked for with the metadata")]
async fn asked_for_with_metadata(world: &mut LockWorld, step: &Step) {
    let mut draft = Draft::default();
    for (key, value) in pairs(step) {
        draft.metadata(&text(key), &text(value));
    }
    draft.send("Acquire", world).await;
}

/// The next request works, whatever the last one was.
#[then("the server goes on")]
async fn goes_on(world: &mut LockWorld) {
    let request = wire::AcquireRequest {
        resource: Some(wire::Resource::new("plan", "after")),
        owner_id: "Zoe".to_owned(),
        ..Default::default()
    };
    let answer = world.ask(async |mut client| client.acquire(request).await).await;
    answer.expect("granted");
}
