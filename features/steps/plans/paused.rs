//! What a run that was paused has written before and after.

use cucumber::{given, then};
use service_kit::testing::eventually;

use crate::world::plans::{PlanWorld, SOON};

#[given("everything that the plan has written is noted")]
async fn is_noted(world: &mut PlanWorld) {
    let id = world.plan_id("the plan");
    world.written = Some(world.all_written(&id).await);
}

#[then(regex = r"^(\w+) has no run any more$")]
async fn has_no_run(world: &mut PlanWorld, name: String) {
    let current = world.current().to_owned();
    world.turn_to(&name);
    eventually("its runs have ended", SOON, async || {
        (world.diagnostics(None).await.active_runs == 0).then_some(())
    })
    .await;
    world.turn_to(&current);
}

#[then("nothing more of the plan was written")]
async fn nothing_more(world: &mut PlanWorld) {
    let id = world.plan_id("the plan");
    let now = world.all_written(&id).await;
    assert_eq!(Some(now), world.written.take());
}
