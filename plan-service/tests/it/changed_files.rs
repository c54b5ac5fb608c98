//! What commands may do to their worktree: every kind of file, and the worktree
//! itself.

use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
};

use proto::plan::v1::{self as wire, ChangeKind, PlanPhase, PlanState};

use super::support::{Plans, Repo, Scene, Template, sh};

async fn site() -> (Scene, super::support::Instance, Repo, Plans) {
    let scene = Scene::on_sqlite("20s").await;
    let instance = scene.instance("only", &[]).await;
    let repo = scene.repo("project");
    repo.commit("old name", &"a line that is long enough to be known again\n".repeat(20));
    repo.commit("deleted", "it goes\n");
    repo.commit("script", "#!/bin/sh\n");
    let plans = instance.plans();
    plans.register(&repo).await;
    (scene, instance, repo, plans)
}

const EVERY_KIND: &str = r#"
head -c 4096 /dev/urandom > binary
mv 'old name' 'new name'
rm deleted
chmod +x script
ln -s script link
printf x > "$(printf 'bad\377name')"
printf x > "$(printf 'line\nbreak')"
mkdir -p 'dir with space/ä'
echo ü > 'dir with space/ä/ö'
: > empty
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_kind_are_recorded_and_merged() {
    let (_scene, _instance, repo, plans) = site().await;
    let id = plans.plan_of(Template::new("test/kinds").step(sh("kinds", EVERY_KIND)), &repo).await;
    plans.execute_whole(&id).await;
    let changesets = plans.changesets(&id).await;
    let find = |path: &str| {
        let found = changesets[0].changes.iter().find(|change| change.path == path);
        found.unwrap_or_else(|| panic!("{path} in {changesets:#?}"))
    };
    assert_eq!(find("binary").kind(), ChangeKind::Added);
    assert!(find("binary").binary);
    assert_eq!(find("new name").kind(), ChangeKind::Renamed);
    assert_eq!(find("new name").old_path, "old name");
    assert_eq!(find("deleted").kind(), ChangeKind::Deleted);
    let script = find("script");
    assert_eq!(script.kind(), ChangeKind::ModeChanged);
    assert_eq!((script.old_mode.as_str(), script.new_mode.as_str()), ("100644", "100755"));
    assert_eq!(find("link").new_mode, "120000");
    assert_eq!(find("bad\\377name").raw_path, b"bad\xffname");
    assert_eq!(find("line\\012break").kind(), ChangeKind::Added);
    assert_eq!(find("dir with space/ä/ö").added_lines, 1);
    assert_eq!(changesets[0].change_count, 9);
    let diff = wire::GetDiffRequest { plan_id: id.clone(), max_bytes: 0 };
    let diff = plans.raw().get_diff(diff).await.unwrap().into_inner();
    assert_eq!(diff.files.len(), 9);
    assert!(diff.patch.contains("rename to new name"), "{}", diff.patch);
    plans.apply_whole(&id).await;
    repo.assert_clean();
    let path = |name: &[u8]| repo.path().join(std::ffi::OsStr::from_bytes(name));
    assert_eq!(fs::read(path(b"bad\xffname")).unwrap(), b"x");
    assert_eq!(fs::read(path(b"binary")).unwrap().len(), 4096);
    assert!(fs::metadata(path(b"script")).unwrap().permissions().mode() & 0o111 != 0);
    assert!(!path(b"deleted").exists() && !path(b"old name").exists());
    assert_eq!(fs::read_link(path(b"link")).unwrap().to_str(), Some("script"));
}

/// Whatever a command did with git itself, what it has changed is what counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_use_git_themselves() {
    let (_scene, _instance, repo, plans) = site().await;
    let me = "export GIT_AUTHOR_NAME=me GIT_AUTHOR_EMAIL=me@x GIT_COMMITTER_NAME=me \
              GIT_COMMITTER_EMAIL=me@x;";
    let before = repo.refs();
    let cases = [
        ("commits", "echo 1 > mine.txt; git add -A; git commit -qm mine; echo 2 > rest.txt"),
        ("switches", "echo 1 > mine.txt; git checkout -q --detach; echo 2 > rest.txt"),
        ("leaves", "git checkout -q --orphan none; echo 1 > mine.txt; echo 2 > rest.txt"),
        ("stages", "echo 1 > mine.txt; git add mine.txt; echo 2 > rest.txt"),
        ("unborn", "rm .git; echo 1 > mine.txt; echo 2 > rest.txt"),
        ("fifo", "mkfifo pipe; echo 1 > mine.txt; echo 2 > rest.txt"),
        ("closed", "mkdir ro; echo 1 > mine.txt; echo 2 > rest.txt; echo 3 > ro/in; chmod 500 ro"),
        (
            "locked",
            ": > \"$(git rev-parse --git-dir)/index.lock\"; echo 1 > mine.txt; echo 2 > rest.txt",
        ),
    ];
    for (name, script) in cases {
        let next = sh("next", "test -e mine.txt; echo 3 > next.txt");
        let step = sh(name, &format!("{me} {script}"));
        let template = Template::new(&format!("git/{name}")).step(step).step(next);
        let id = plans.plan_of(template, &repo).await;
        plans.execute(&id).await.unwrap();
        let plan = plans.at_rest(&id).await;
        assert_eq!(
            (plan.phase(), plan.state()),
            (PlanPhase::Execute, PlanState::Complete),
            "{name}: {plan:#?}"
        );
        let changesets = plans.changesets(&id).await;
        let paths = |at: usize| -> Vec<&str> {
            let changes = changesets[at].changes.iter();
            changes.map(|change| change.path.as_str()).filter(|path| *path != "ro/in").collect()
        };
        assert_eq!(
            (paths(0), paths(1)),
            (vec!["mine.txt", "rest.txt"], vec!["next.txt"]),
            "{name}"
        );
        let base = &plan.strategy.as_ref().unwrap().base_commit;
        let range = format!("{base}..{}", plan.head_commit);
        assert_eq!(
            repo.git(&["rev-list", "--count", &range]),
            "2",
            "{name}: a commit for each step"
        );
        let authors = repo.git(&["log", "--format=%an", &range]);
        assert!(!authors.contains("me"), "{name}: {authors}");
        let cancel = wire::CancelPlanRequest { plan_id: id, reason: String::new() };
        plans.raw().cancel_plan(cancel).await.unwrap();
        assert_eq!(repo.refs(), before, "{name}: nothing else has moved");
        repo.assert_clean();
    }
}

/// A worktree that is gone is a step's own problem.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_removes_its_worktree() {
    let (_scene, instance, repo, plans) = site().await;
    let gone = r#"here="$PWD"; cd /; chmod -R u+w "$here"; rm -rf "$here""#;
    let id = plans.plan_of(Template::new("test/gone").step(sh("gone", gone)), &repo).await;
    plans.execute(&id).await.unwrap();
    let plan = plans.at_rest(&id).await;
    assert_eq!((plan.phase(), plan.state()), (PlanPhase::Execute, PlanState::Errored), "{plan:#?}");
    let problem = plan.problem.unwrap();
    assert_ne!(problem.reason, "INTERNAL", "{problem:?}");
    assert_eq!(problem.step, "gone", "{problem:?}");
    // Everything else goes on.
    let next = Template::new("test/next").step(sh("next", "echo next > next.txt"));
    let next = plans.plan_of(next, &repo).await;
    plans.execute_whole(&next).await;
    plans.apply_whole(&next).await;
    repo.assert_clean();
    plans.idle().await;
    assert!(instance.worktrees().is_empty(), "{:?}", instance.worktrees());
    assert_eq!(repo.git(&["worktree", "list"]).lines().count(), 1);
}

/// A file outside the worktree, reached by a link, is not part of a plan; and a
/// link that leads out does not get into the project.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_lead_out() {
    let (scene, _instance, repo, plans) = site().await;
    let outside = scene.path("outside");
    fs::create_dir_all(&outside).unwrap();
    let script = format!("ln -s '{}' out; echo x > out/x", outside.display());
    let id = plans.plan_of(Template::new("test/out").step(sh("out", &script)), &repo).await;
    plans.execute(&id).await.unwrap();
    let plan = plans.at_rest(&id).await;
    let problem = plan.problem.as_ref().unwrap_or_else(|| panic!("{plan:#?}"));
    assert_eq!(problem.reason, "LINK_LEADS_OUT", "{problem:?}");
    assert_eq!(problem.files, ["out"]);
    assert!(outside.exists());
    repo.assert_clean();
}

/// What is said of many files names some and counts the rest; the list has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_in_many_files_is_told_in_few_words() {
    const FILES: usize = 300;
    let scene = Scene::on_sqlite("20s").await;
    let instance = scene.instance("one", &[]).await;
    let repo = scene.repo("project");
    instance.plans().register(&repo).await;
    let name = |number: usize| format!("{number:0>180}.txt");
    let script =
        format!("for n in $(seq {FILES}); do printf new > $(printf '%0180d' $n).txt; done");
    let id =
        instance.plans().plan_of(Template::new("test/many").step(sh("x", &script)), &repo).await;
    instance.plans().execute_whole(&id).await;
    for number in 1..=FILES {
        std::fs::write(repo.path().join(name(number)), "other").unwrap();
    }
    repo.git(&["add", "--all"]);
    repo.git(&["commit", "--quiet", "-m", "the same files"]);
    instance.plans().apply(&id).await.unwrap();
    let plan = instance.plans().until(&id, (PlanPhase::Apply, PlanState::Constrained)).await;
    let problem = plan.problem.unwrap();
    assert_eq!(problem.files.len(), FILES);
    for words in [&*name(5), "and 295 more", "revert the plan"] {
        assert!(problem.message.contains(words), "{words}: {}", problem.message);
    }
    assert!(problem.message.len() < 2_000, "{}", problem.message);
}
