//! Readers beside those who write.

use cucumber::{then, when};

use crate::world::plans::{PlanWorld, SOON};

#[when(regex = r"^(\d+) readers look at all plans again and again$")]
async fn readers(world: &mut PlanWorld, count: usize) {
    world.begin_to_read(count);
}

#[when(regex = r"^(\d+) plans of (\S+) on (\w+) are executed, and one after the other applied$")]
async fn are_executed(world: &mut PlanWorld, count: usize, action: String, project: String) {
    let instances = world.instances();
    let mut plans = Vec::new();
    for n in 0..count {
        world.turn_to(&instances[n % instances.len()]);
        world.use_action("the plan", &action, &project, &[]).await;
        plans.push(world.answered_plan().plan_id.clone());
    }
    for id in &plans {
        world.becomes(id, "STRATEGIZE COMPLETE", SOON).await;
        world.make_move("execute", id).await;
        world.answered_plan();
    }
    // They write the same files with the same text, so none is in another's way.
    for id in &plans {
        world.becomes(id, "EXECUTE COMPLETE", SOON).await;
        world.make_move("apply", id).await;
        world.answered_plan();
        world.becomes(id, "APPLY APPLIED", SOON).await;
    }
}

#[then("every plan that a reader saw was whole")]
async fn all_were_whole(world: &mut PlanWorld) {
    let seen = world.readers.take().expect("readers").end().await;
    assert!(seen > 100, "they saw {seen} plans");
}
