//! Two instances, one Postgres, one lock server, 200 plans on 5 projects, and
//! every move sent to both instances at once.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt as _, future::join, stream};
use proto::plan::v1::{self as wire, PlanPhase, PlanState};
use tonic::Status;

use super::support::{Plans, Repo, Scene, Template, is_conflict, sh};

const PLANS: usize = 200;
const PROJECTS: usize = 5;
/// Plans that are worked on at a time.
const AT_ONCE: usize = 12;

/// The step and the check last until both instances have answered, so that the
/// loser always meets the winner at work.
const STEP: &str = r#"
. "$GATE/words.sh"
echo "execute $PLAN_ID" >> "$GATE/tally"
pass "execute.$PLAN_ID"
echo "$PLAN_ID" > "$PLAN_ID.txt"
"#;
const CHECK: &str = r#"
. "$GATE/words.sh"
echo "apply $PLAN_ID" >> "$GATE/tally"
pass "apply.$PLAN_ID"
"#;

/// Two callers of one move: exactly one wins, and the other is told who has the
/// lock.
fn one_wins(answers: (Result<wire::Plan, Status>, Result<wire::Plan, Status>)) -> usize {
    let (winner, loser) = match answers {
        (Ok(plan), Err(status)) | (Err(status), Ok(plan)) => (plan, status),
        other => panic!("one wins and one loses: {other:#?}"),
    };
    assert_eq!(winner.state(), PlanState::Processing);
    usize::from(is_conflict(&loser))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_200_plans_runs_once_whoever_is_asked() {
    let scene = Scene::alone_on_postgres("20s").await;
    let flags = ["--max-runs", "32"];
    let (one, other) = join(scene.instance("one", &flags), scene.instance("other", &flags)).await;
    let instances = [one.plans(), other.plans()];
    let repos: Vec<_> = (0..PROJECTS).map(|at| scene.repo(&format!("project{at}"))).collect();
    for repo in &repos {
        instances[0].register(repo).await;
    }
    let template = Template::new("storm/append").step(sh("write", STEP)).check(sh("ask", CHECK));
    instances[1].create(scene.gate.on(template)).await;
    let conflicts = AtomicUsize::new(0);
    let plans: BTreeMap<String, usize> = stream::iter(0..PLANS)
        .map(|at| life(&scene, &instances, &repos, at, &conflicts))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    // Every loser of both moves was told of the lock.
    assert_eq!(conflicts.into_inner(), 2 * PLANS);
    each_ran_once(&scene, &repos, &plans);
    for repo in &repos {
        repo.assert_clean();
        repo.assert_no_traces();
    }
    for instance in [&one, &other] {
        instance.plans().idle().await;
        assert!(instance.worktrees().is_empty(), "{:?}", instance.worktrees());
    }
    assert_eq!(scene.locks.held().await, Vec::<String>::new());
}

/// Takes one plan through its life, with every move sent to both instances.
async fn life(
    scene: &Scene,
    instances: &[Plans; 2],
    repos: &[Repo],
    at: usize,
    conflicts: &AtomicUsize,
) -> (String, usize) {
    let [one, other] = instances;
    let project = at % repos.len();
    let id = instances[at % 2].make("storm/append", &repos[project]).await;
    let lost = one_wins(join(one.execute(&id), other.execute(&id)).await);
    conflicts.fetch_add(lost, Ordering::Relaxed);
    scene.gate.open(&format!("execute.{id}"));
    one.until(&id, (PlanPhase::Execute, PlanState::Complete)).await;
    let lost = one_wins(join(one.apply(&id), other.apply(&id)).await);
    conflicts.fetch_add(lost, Ordering::Relaxed);
    scene.gate.open(&format!("apply.{id}"));
    other.until(&id, (PlanPhase::Apply, PlanState::Applied)).await;
    (id, project)
}

fn each_ran_once(scene: &Scene, repos: &[Repo], plans: &BTreeMap<String, usize>) {
    let mut tally = scene.gate.lines("tally");
    tally.sort();
    let mut expected: Vec<_> =
        plans.keys().flat_map(|id| [format!("execute {id}"), format!("apply {id}")]).collect();
    expected.sort();
    assert_eq!(tally, expected, "every command of every plan ran once");
    for (id, project) in plans {
        let repo = &repos[*project];
        assert_eq!(repo.merges_of(id), 1, "{id} in {}", repo.name);
        let text = std::fs::read_to_string(repo.path().join(format!("{id}.txt"))).unwrap();
        assert_eq!(text.trim(), id);
    }
    let merges: Vec<_> = repos.iter().map(Repo::merges).collect();
    assert_eq!(merges, [PLANS / PROJECTS; PROJECTS]);
}
