//! What steps write, and watches.

use cucumber::{given, then, when};

use super::projects::lines;
use crate::world::plans::{PlanWorld, Watch};

#[given(regex = "^someone watches the plan( until it rests)?$")]
#[when(regex = "^someone watches the plan( until it rests)?$")]
async fn watches(world: &mut PlanWorld, until_rest: String) {
    let id = world.plan_id("the plan");
    world.watch(&id, !until_rest.is_empty()).await;
}

fn watch(world: &mut PlanWorld) -> &mut Watch {
    world.watch.as_mut().expect("someone watches")
}

#[then(regex = r#"^the watch tells that (\w+) wrote "(.+)"$"#)]
async fn tells_that_it_wrote(world: &mut PlanWorld, name: String, text: String) {
    watch(world).wrote(&name, &lines(&text)).await;
}

#[then(regex = r"^the watch tells of a plan that is (\w+ \w+)$")]
async fn tells_of_a_plan(world: &mut PlanWorld, wanted: String) {
    watch(world).stands(&wanted).await;
}

#[then("the watch ends by itself")]
async fn ends(world: &mut PlanWorld) {
    watch(world).ends().await;
}

#[then(
    regex = r#"^(\w+) wrote (\d+) bytes, of which at most (\d+) are kept, and the last are "(.+)"$"#
)]
async fn wrote(world: &mut PlanWorld, name: String, total: u64, most: usize, end: String) {
    let near = world.near_view(&world.plan_id("the plan")).await;
    let plan = near.plan.expect("the plan");
    let told = plan.steps.iter().find(|one| one.name == name).expect("the step");
    assert_eq!(told.output_bytes, total);
    let tail = near.tails.iter().find(|tail| tail.step == name).expect("its tail");
    assert_eq!(tail.skipped_bytes + tail.data.len() as u64, total);
    assert!(tail.data.len() <= most, "{} bytes", tail.data.len());
    let last = String::from_utf8_lossy(&tail.data);
    assert!(last.ends_with(&lines(&end)), "it ends otherwise");
}
