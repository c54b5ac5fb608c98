//! One move after the other, as scripts make them.

use proto::plan::v1::{self as wire, PlanState};

use super::support::{Plans, Scene, Template, sh};

const PLANS: usize = 15;

/// Asks without a pause until nobody works on the plan.
async fn at_rest_without_pause(plans: &Plans, id: &str) -> PlanState {
    loop {
        let plan = plans.get(id).await.unwrap();
        if ![PlanState::Processing, PlanState::Queued].contains(&plan.state()) {
            return plan.state();
        }
    }
}

/// Whoever sees that a phase is over can make the next move at once: neither the
/// lock of the run that is over nor the recovery is in the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_at_rest_can_make_its_next_move() {
    let scene = Scene::on_postgres("20s").await;
    // The recovery, which takes locks too, looks all the time.
    let flags = ["--recovery-interval", "100ms"];
    let one = scene.instance("one", &flags).await;
    let other = scene.instance("other", &flags).await;
    let repo = scene.repo("project");
    one.plans().register(&repo).await;
    one.plans().create(Template::new("test/quick").step(sh("write", "echo x > $PLAN_ID"))).await;
    let mut refused = Vec::new();
    for _ in 0..PLANS {
        let request = wire::UseActionRequest {
            action: "test/quick".to_owned(),
            project: repo.name.clone(),
            ..Default::default()
        };
        let plan = one.plans().raw().use_action(request).await.unwrap().into_inner().plan.unwrap();
        let id = plan.plan_id;
        at_rest_without_pause(&other.plans(), &id).await;
        if let Err(status) = other.plans().execute(&id).await {
            refused.push(format!("execute: {status:?}"));
            other.plans().execute(&id).await.unwrap();
        }
        at_rest_without_pause(&one.plans(), &id).await;
        if let Err(status) = one.plans().apply(&id).await {
            refused.push(format!("apply: {status:?}"));
            one.plans().apply(&id).await.unwrap();
        }
        assert_eq!(at_rest_without_pause(&other.plans(), &id).await, PlanState::Applied);
    }
    assert!(refused.is_empty(), "{} of {}: {}", refused.len(), 2 * PLANS, refused[0]);
}
