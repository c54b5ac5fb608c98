//! 50 steps beside each other, each of which changes 200 files: every change in
//! its own step's changeset, in order.

use std::collections::BTreeSet;

use proto::plan::v1::ChangeKind;

use super::support::{Scene, Template, sh};

const STEPS: usize = 50;
const FILES: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_in_its_own_changeset() {
    let scene = Scene::alone_on_postgres("20s").await;
    let instance = scene.instance("only", &[]).await;
    let repo = scene.repo("project");
    let plans = instance.plans();
    plans.register(&repo).await;
    let script = format!(
        "mkdir $PLAN_STEP; n=0; while [ $n -lt {FILES} ]; do \
         echo $PLAN_STEP > $PLAN_STEP/$(printf %03d $n); n=$((n + 1)); done"
    );
    let mut template = Template::new("test/wide");
    for at in 0..STEPS {
        let step = sh(&format!("step{at:02}"), &script);
        template = template.step(proto::plan::v1::StepTemplate { group: "all".to_owned(), ..step });
    }
    let id = plans.plan_of(template, &repo).await;
    let plan = plans.execute_whole(&id).await;
    let changesets = plans.changesets(&id).await;
    assert_eq!(changesets.len(), STEPS);
    let mut commits = BTreeSet::new();
    for (at, changeset) in changesets.iter().enumerate() {
        let step = format!("step{at:02}");
        assert_eq!(changeset.step, step);
        let paths: Vec<_> = changeset.changes.iter().map(|change| change.path.clone()).collect();
        let expected: Vec<_> = (0..FILES).map(|n| format!("{step}/{n:03}")).collect();
        assert_eq!(paths, expected);
        assert!(changeset.changes.iter().all(|change| change.kind() == ChangeKind::Added));
        assert_eq!(changeset.change_count, FILES as u64);
        assert_eq!(changeset.commit, plan.steps[at].commit);
        let message = repo.git(&["log", "-1", "--format=%B", &changeset.commit]);
        assert!(message.contains(&step) && message.contains(&id), "{message}");
        // The commit holds what the changeset says, and no more.
        let range = format!("{0}^..{0}", changeset.commit);
        let names = repo.git(&["diff", "--name-only", &range]);
        assert_eq!(names.lines().collect::<Vec<_>>(), expected);
        commits.insert(changeset.commit.clone());
    }
    assert_eq!(commits.len(), STEPS);
    plans.apply_whole(&id).await;
    repo.assert_clean();
    repo.assert_no_traces();
    let files = repo.git(&["ls-files", "step*"]);
    assert_eq!(files.lines().count(), STEPS * FILES);
}
