//! What a plan has changed, as a patch.

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use cucumber::{given, then, when};
use proto::plan::v1 as wire;
use service_kit::testing::eventually;

use super::changes::{changes, listed};
use crate::{
    answer::shown,
    world::plans::{PlanWorld, SOON, git_with},
};

type Told = Result<wire::GetDiffResponse, tonic::Status>;

async fn diff(world: &PlanWorld) -> Told {
    let request = wire::GetDiffRequest { plan_id: world.plan_id("the plan"), ..Default::default() };
    world.ask(async |mut client| client.get_diff(request).await).await
}

fn given(told: Told) -> wire::GetDiffResponse {
    told.unwrap_or_else(|status| panic!("{}", shown(&status)))
}

/// The path of a file, in bytes.
fn path(file: &wire::Change) -> Vec<u8> {
    if file.raw_path.is_empty() { file.path.clone().into_bytes() } else { file.raw_path.clone() }
}

#[then("the diff is what git shows between the plan's base and its branch")]
async fn diff_is(world: &mut PlanWorld) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let told = given(diff(world).await);
    let base = plan.strategy.expect("a strategy").base_commit;
    assert_eq!((&told.base_commit, &told.head_commit), (&base, &plan.head_commit));
    let project = world.project(&plan.project);
    let names = ["diff", "-z", "--name-only", &base, &plan.head_commit];
    let names = git_with(&project.path, &names).stdout;
    let names: BTreeSet<_> =
        names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    let told_names: Vec<_> = told.files.iter().map(path).collect();
    assert_eq!(told_names.iter().map(Vec::as_slice).collect::<BTreeSet<_>>(), names);
    assert_eq!(told.file_count, names.len() as u64);
    assert!(!told.truncated && told.patch.starts_with("diff --git "), "{}", told.patch);
    let bytes = match told.raw_patch.is_empty() {
        true => told.patch.into_bytes(),
        false => {
            assert_eq!(String::from_utf8_lossy(&told.raw_patch), told.patch);
            assert!(str::from_utf8(&told.raw_patch).is_err(), "it is sent twice for nothing");
            told.raw_patch
        }
    };
    // What the patch says is what the branch has.
    let copy = world.scratch.at("patched");
    let _ = fs::remove_dir_all(&copy);
    let copy = copy.to_str().expect("a path of text").to_owned();
    project.git(&["worktree", "add", "-q", "--detach", &copy, &base]);
    let patch = world.scratch.at("the.patch");
    fs::write(&patch, &bytes).expect("write the patch");
    let apply = ["-C", &copy, "apply", "--index", patch.to_str().expect("a path of text")];
    project.git(&apply);
    assert_eq!(project.git(&["-C", &copy, "diff", "--cached", &plan.head_commit]), "");
    project.git(&["worktree", "remove", "--force", &copy]);
}

#[then("the diff tells of the same changes")]
async fn diff_tells_the_same(world: &mut PlanWorld) {
    let told = given(diff(world).await);
    assert_eq!(listed(&told.files), listed(&changes(world).await));
}

#[then(regex = r"^the diff tells of ([A-Z_]+ \S+)$")]
async fn diff_tells_of(world: &mut PlanWorld, wanted: String) {
    let told = given(diff(world).await);
    assert_eq!((listed(&told.files), told.file_count), (wanted, 1));
}

#[then(regex = r"^the diff names (\d+) files of (\d+)$")]
async fn diff_names(world: &mut PlanWorld, named: usize, count: u64) {
    let told = given(diff(world).await);
    assert_eq!((told.files.len(), told.file_count), (named, count));
}

#[then(regex = r"^the diff is refused with (\w+)$")]
async fn diff_is_refused(world: &mut PlanWorld, reason: String) {
    let refused = diff(world).await.expect_err("no diff");
    world.answer = Some(Err(refused));
    assert_eq!(world.refusal().reason, reason);
}

// === many at the same moment ===

/// Where a git that waits notes the patches that it makes.
const PATCHES: &str = "patches";

#[given(
    regex = r#"^another plan service (\w+), whose git makes no patch before "(\w+)" is given$"#
)]
async fn whose_git_waits(world: &mut PlanWorld, name: String, mark: String) {
    let out = world.scratch.out();
    let out = out.to_str().expect("a path of text");
    let script = format!(
        r#"#!/bin/sh
case " $* " in
*" --binary "*)
    echo begin >> '{out}/{PATCHES}'
    until [ -e '{out}/{mark}' ]; do sleep 0.03; done
    git "$@"
    code=$?
    echo end >> '{out}/{PATCHES}'
    exit $code
    ;;
esac
exec git "$@"
"#
    );
    let program = world.scratch.at("git-that-waits");
    fs::write(&program, script).expect("write a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("an executable file");
    let current = world.current().to_owned();
    world.start(&name, &["--git", program.to_str().expect("a path of text")]).await;
    world.turn_to(&current);
}

#[when(regex = r"^(\d+) ask for the diff at the same moment$")]
async fn many_ask(world: &mut PlanWorld, count: usize) {
    let request = wire::GetDiffRequest { plan_id: world.plan_id("the plan"), ..Default::default() };
    let ask = |mut client: wire::plan_service_client::PlanServiceClient<_>| {
        let request = request.clone();
        tokio::spawn(async move { client.get_diff(request).await.map(tonic::Response::into_inner) })
    };
    world.diffs = (0..count).map(|_| ask(world.client())).collect();
}

#[when(regex = r"^(\d+) patches are begun$")]
async fn are_begun(world: &mut PlanWorld, count: usize) {
    eventually(&format!("{count} patches are begun"), SOON, async || {
        (world.scratch.lines(PATCHES).len() >= count).then_some(())
    })
    .await;
}

#[then("all of them get the same diff")]
async fn all_get_it(world: &mut PlanWorld) {
    let wanted = given(diff(world).await);
    for asked in std::mem::take(&mut world.diffs) {
        let told = asked.await.expect("nobody cancels the call");
        assert_eq!(given(told), wanted);
    }
}

#[then(regex = r"^no more than (\d+) patches were made at a time$")]
async fn at_a_time(world: &mut PlanWorld, most: i32) {
    let (mut now, mut found) = (0, 0);
    for line in world.scratch.lines(PATCHES) {
        now += if line == "begin" { 1 } else { -1 };
        found = found.max(now);
    }
    assert_eq!((now, found), (0, most));
}
