//! An instance that is killed with SIGKILL at random moments while it applies
//! plans: each is merged once, and no work tree is left half written.

use std::time::Duration;

use futures::future::join_all;
use proto::plan::v1::{PlanPhase, PlanState};

use super::support::{Instance, Repo, Scene, Template, sh};

const ROUNDS: usize = 10;
const PROJECTS: usize = 3;
/// About as long as an Apply takes.
const LONGEST_MILLIS: u64 = 700;

/// Many files, so that writing the work tree takes a while.
const STEP: &str = r#"
mkdir -p "d/$PLAN_ID"
for n in 0 1 2 3 4 5 6 7 8 9; do
    for m in 0 1 2 3 4 5 6 7 8 9; do echo "$PLAN_ID" > "d/$PLAN_ID/$n$m"; done
done
echo "$PLAN_ID" > last.txt
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_plan_is_merged_once_and_whole() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let scene = Scene::on_postgres("2s").await;
    let mut killed = scene.instance("killed", &[]).await;
    let other = scene.instance("other", &["--recovery-interval", "100ms"]).await;
    let repos: Vec<_> = (0..PROJECTS).map(|at| scene.repo(&format!("project{at}"))).collect();
    for repo in &repos {
        other.plans().register(repo).await;
    }
    let template = Template::new("test/many").step(sh("write", STEP)).check(sh("check", "true"));
    other.plans().create(template).await;
    let mut found = Vec::new();
    for round in 0..ROUNDS {
        let ids = join_all(repos.iter().map(async |repo| {
            let id = other.plans().make("test/many", repo).await;
            let executed = (PlanPhase::Execute, PlanState::Complete);
            other.plans().execute_when_free(&id).await;
            other.plans().until(&id, executed).await;
            id
        }))
        .await;
        for id in &ids {
            killed.plans().apply_when_free(id).await;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..LONGEST_MILLIS))).await;
        killed.kill();
        let carried = ids.iter().zip(&repos).map(|(id, repo)| carried_on(&other, id, repo, round));
        found.extend(join_all(carried).await);
        killed.start_again().await;
    }
    let interrupted = found.iter().filter(|was| **was).count();
    eprintln!("{interrupted} of {} had to be retried", found.len());
    for repo in &repos {
        assert_eq!(repo.merges(), ROUNDS);
        repo.assert_no_traces();
    }
}

/// Waits for the recovery, retries where it says that one can, and returns
/// whether that was needed.
async fn carried_on(other: &Instance, id: &str, repo: &Repo, round: usize) -> bool {
    let plans = other.plans();
    let mut retried = false;
    loop {
        let plan = plans.at_rest(id).await;
        match (plan.phase(), plan.state()) {
            (PlanPhase::Apply, PlanState::Applied) => break,
            (PlanPhase::Apply, PlanState::Errored) => {
                // On a busy machine, the lease of a retry may run out, too.
                let reason = plan.problem.as_ref().unwrap().reason.as_str();
                let expected = if retried { "LOCK_LOST" } else { "INTERRUPTED" };
                assert_eq!(reason, expected, "round {round}: {plan:#?}");
                repo.assert_clean();
                assert_eq!(repo.merges_of(id), 0, "round {round}");
                plans.retry_when_free(id).await;
                retried = true;
            }
            _ => panic!("round {round}: {plan:#?}"),
        }
    }
    assert_eq!(repo.merges_of(id), 1, "round {round}");
    assert_eq!(repo.merges(), round + 1);
    repo.assert_clean();
    retried
}
