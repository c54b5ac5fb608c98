//! Postgres is killed and started again, under plans that run on two instances.

use futures::future::join_all;
use proto::plan::v1::{self as wire, PlanPhase, PlanState};
use service_kit::testing::{PostgresServer, eventually};

use super::support::{DEADLINE, Repo, Scene, Template, sh};

const PLANS: usize = 6;
const STEPS: usize = 12;

/// Steps that begin and end all the time, and write.
fn busy(scene: &Scene) -> Template {
    let script = r#"
. "$GATE/words.sh"
echo "$PLAN_ID $PLAN_STEP" >> "$GATE/steps"
for n in 1 2 3 4 5 6 7 8 9 10; do echo "$PLAN_STEP writes $n"; sleep 0.02; done
echo "$PLAN_ID" > "$PLAN_ID.$PLAN_STEP"
"#;
    let mut template = Template::new("test/busy");
    for at in 0..STEPS {
        template = template.step(sh(&format!("s{at}"), script));
    }
    scene.gate.on(template.check(sh("check", "echo checking; sleep 0.3")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_and_nothing_is_lost() {
    let server = PostgresServer::start();
    let (plans, locks) = (server.database().await, server.database().await);
    let scene = Scene::on(plans.url().to_owned(), locks.url(), "20s").await;
    let flags = ["--recovery-interval", "300ms"];
    let instances = [scene.instance("one", &flags).await, scene.instance("other", &flags).await];
    let callers = [instances[0].plans(), instances[1].plans()];
    let repo = scene.repo("project");
    callers[0].register(&repo).await;
    callers[0].create(busy(&scene)).await;
    let mut ids = Vec::new();
    for at in 0..PLANS {
        ids.push(callers[at % 2].make("test/busy", &repo).await);
    }
    for (at, id) in ids.iter().enumerate() {
        callers[at % 2].execute(id).await.unwrap();
    }
    for round in 1..=3 {
        scene.gate.has_lines("steps", round * PLANS).await;
        server.restart();
    }
    let executed = (PlanPhase::Execute, PlanState::Complete);
    let done = join_all(ids.iter().map(|id| callers[0].until(id, executed))).await;
    each_step_is_there(&repo, &done);
    apply_under_restarts(&server, &callers, &ids).await;
    assert_eq!(repo.merges(), PLANS);
    repo.assert_clean();
    repo.assert_no_traces();
    // A step may run again whose end was not written; none may be lost.
    assert!(scene.gate.lines("steps").len() >= PLANS * STEPS);
    eventually("no lock is held", DEADLINE, async || {
        scene.locks.held().await.is_empty().then_some(())
    })
    .await;
    let counts = callers[0].diagnose(None).await.plans;
    let expected = wire::StateCount {
        phase: PlanPhase::Apply.into(),
        state: PlanState::Applied.into(),
        count: PLANS as u64,
    };
    assert_eq!(counts, [expected]);
}

fn each_step_is_there(repo: &Repo, plans: &[wire::Plan]) {
    for plan in plans {
        let files = repo.git(&["ls-tree", "-r", "--name-only", &plan.head_commit]);
        let own = files.lines().filter(|file| file.starts_with(&plan.plan_id)).count();
        assert_eq!(own, STEPS, "{files}");
        let base = &plan.strategy.as_ref().unwrap().base_commit;
        let range = format!("{base}..{}", plan.head_commit);
        assert_eq!(repo.git(&["rev-list", "--count", &range]), STEPS.to_string());
    }
}

/// One after the other, with the database restarted under every other one.
async fn apply_under_restarts(
    server: &PostgresServer,
    callers: &[super::support::Plans; 2],
    ids: &[String],
) {
    for (at, id) in ids.iter().enumerate() {
        let caller = &callers[at % 2];
        eventually("the plan can be applied", DEADLINE, async || match caller.apply(id).await {
            Ok(_) => Some(()),
            Err(status) if status.code() == tonic::Code::Unavailable => None,
            // A call whose answer was lost had begun all the same.
            Err(_) if begun(caller, id).await => Some(()),
            Err(status) if super::support::is_conflict(&status) => None,
            Err(status) => panic!("{status:?}"),
        })
        .await;
        if at % 2 == 0 {
            server.restart();
        }
        let plan = caller.at_rest(id).await;
        assert_eq!(plan.state(), PlanState::Applied, "{plan:#?}");
    }
}

async fn begun(caller: &super::support::Plans, id: &str) -> bool {
    caller.get(id).await.is_ok_and(|plan| plan.phase() == PlanPhase::Apply)
}
