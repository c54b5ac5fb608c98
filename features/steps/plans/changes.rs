//! What a plan has changed: its branch and its changesets.

use std::collections::BTreeSet;

use cucumber::{gherkin::Step, then};
use proto::plan::v1 as wire;

use super::projects::lines;
use crate::{
    vocabulary::{column, pairs, text},
    world::plans::{PlanWorld, git_with},
};

fn kind(change: &wire::Change) -> &'static str {
    change.kind().as_str_name().trim_start_matches("CHANGE_KIND_")
}

pub(super) fn listed(changes: &[wire::Change]) -> String {
    let one = |change: &wire::Change| format!("{} {}", kind(change), change.path);
    changes.iter().map(one).collect::<Vec<_>>().join(", ")
}

// === the branch ===

#[then(regex = r#"^the plan's branch has the commits of "(.*)"$"#)]
async fn branch_has(world: &mut PlanWorld, steps: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let base = plan.strategy.as_ref().expect("a strategy").base_commit.clone();
    let project = world.project(&plan.project);
    let branch = format!("refs/heads/plan/{}", plan.plan_id);
    assert_eq!(project.git(&["rev-parse", &branch]), plan.head_commit);
    let range = format!("{base}..{branch}");
    let subjects = project.git(&["log", "--reverse", "--format=%s", &range]);
    assert_eq!(subjects.lines().collect::<Vec<_>>().join(", "), steps);
    for commit in project.git(&["rev-list", &range]).lines() {
        let message = project.git(&["log", "-1", "--format=%B", commit]);
        assert!(message.contains(&format!("Plan: {}", plan.plan_id)), "{message}");
        let step = plan.steps.iter().find(|step| step.commit == commit);
        assert!(step.is_some_and(|step| message.starts_with(&step.name)), "{message}");
    }
}

#[then(regex = r"^the plan's branch has (\d+) commits, in the order of the steps$")]
async fn branch_has_many(world: &mut PlanWorld, count: usize) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    assert_eq!(plan.steps.len(), count);
    let names: Vec<_> = plan.steps.iter().map(|step| step.name.clone()).collect();
    branch_has(world, names.join(", ")).await;
}

/// The bytes of a file at the end of the plan's branch.
async fn on_branch(world: &PlanWorld, file: &str) -> Vec<u8> {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let object = format!("refs/heads/plan/{}:{file}", plan.plan_id);
    let output = git_with(&world.project(&plan.project).path, &["cat-file", "blob", &object]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}: {told}");
    output.stdout
}

async fn text_on_branch(world: &PlanWorld, file: &str) -> String {
    String::from_utf8(on_branch(world, file).await).expect("a file of text")
}

#[then(regex = r#"^(\S+) on the plan's branch is "(.*)"$"#)]
async fn file_on_branch_is(world: &mut PlanWorld, file: String, wanted: String) {
    assert_eq!(text_on_branch(world, &file).await, lines(&wanted));
}

#[then(regex = r"^(\S+) on the plan's branch has the lines$")]
async fn file_on_branch_has(world: &mut PlanWorld, file: String, step: &Step) {
    let wanted: String = column(step).into_iter().map(|cell| argument(cell) + "\n").collect();
    assert_eq!(text_on_branch(world, &file).await, wanted);
}

/// A cell in which (empty) may stand within more text.
fn argument(cell: &str) -> String {
    text(cell).replace("(empty)", "")
}

#[then(regex = r"^(\S+) and (\S+) on the plan's branch are the same$")]
async fn files_are_the_same(world: &mut PlanWorld, one: String, other: String) {
    assert_eq!(text_on_branch(world, &one).await, text_on_branch(world, &other).await);
}

#[then(regex = r"^(\S+) on the plan's branch tells$")]
async fn file_tells(world: &mut PlanWorld, file: String, step: &Step) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let text = text_on_branch(world, &file).await;
    for (name, value) in pairs(step) {
        let value = match value {
            "the plan's id" => plan.plan_id.clone(),
            "the plan's base" => plan.strategy.as_ref().expect("a strategy").base_commit.clone(),
            "the plan's lock" => format!("plan/{}", plan.plan_id),
            other => other.to_owned(),
        };
        let line = format!("{name}={value}");
        assert!(text.lines().any(|one| one == line), "{line} in:\n{text}");
    }
}

#[then(regex = r"^(\S+) on the plan's branch tells a (\w+) and a (\w+)$")]
async fn file_tells_some(world: &mut PlanWorld, file: String, one: String, other: String) {
    let text = text_on_branch(world, &file).await;
    for name in [one, other] {
        let prefix = format!("{name}=");
        let value = text.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
        assert!(value.is_some_and(|value| !value.is_empty()), "{name} in:\n{text}");
    }
}

#[then(regex = r"^the plan's branch changes only (\S+)(?: and (\S+))?$")]
async fn branch_changes_only(world: &mut PlanWorld, one: String, other: String) {
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let base = plan.strategy.expect("a strategy").base_commit;
    let names =
        world.project(&plan.project).git(&["diff", "--name-only", &base, &plan.head_commit]);
    let wanted: Vec<_> = [one, other].into_iter().filter(|name| !name.is_empty()).collect();
    assert_eq!(names.lines().collect::<Vec<_>>(), wanted);
}

// === changesets ===

#[then("the changesets are")]
async fn changesets_are(world: &mut PlanWorld, step: &Step) {
    let id = world.plan_id("the plan");
    let sets = world.changesets(&id).await;
    let plan = world.get_plan(&id).await;
    let told: Vec<_> = sets.iter().map(|set| (set.step.clone(), listed(&set.changes))).collect();
    let wanted: Vec<_> =
        pairs(step).map(|(name, changes)| (name.to_owned(), changes.to_owned())).collect();
    assert_eq!(told, wanted);
    for set in &sets {
        let step = plan.steps.iter().find(|step| step.name == set.step).expect("its step");
        assert_eq!((&set.commit, &set.plan_id), (&step.commit, &id), "{set:?}");
        assert_eq!(set.change_count, set.changes.len() as u64);
    }
}

#[then("there are no changesets")]
async fn no_changesets(world: &mut PlanWorld) {
    let sets = world.changesets(&world.plan_id("the plan")).await;
    assert!(sets.is_empty(), "{sets:?}");
}

#[then(regex = r#"^the changesets of "(.+)" hold exactly their own files$"#)]
async fn changesets_hold_their_own(world: &mut PlanWorld, steps: String) {
    let sets = world.changesets(&world.plan_id("the plan")).await;
    let told: BTreeSet<_> =
        sets.iter().map(|set| (set.step.clone(), listed(&set.changes))).collect();
    let own = |step: &str| (step.to_owned(), format!("ADDED {step}.txt"));
    assert_eq!(told, steps.split(", ").map(own).collect());
    assert_eq!(told.len(), sets.len(), "none twice: {sets:?}");
}

#[then(regex = r"^there are (\d+) changesets, in the order of the steps$")]
async fn many_changesets(world: &mut PlanWorld, count: usize) {
    let id = world.plan_id("the plan");
    let sets = world.changesets(&id).await;
    let plan = world.get_plan(&id).await;
    let told: Vec<_> = sets.iter().map(|set| &set.step).collect();
    assert_eq!(told, plan.steps.iter().map(|step| &step.name).collect::<Vec<_>>());
    assert_eq!(told.len(), count);
}

#[then(regex = r"^each of them holds the (\d+) files of its own step, in order, and no others$")]
async fn own_files(world: &mut PlanWorld, files: usize) {
    for set in world.changesets(&world.plan_id("the plan")).await {
        let told: Vec<_> = set.changes.iter().map(|change| change.path.clone()).collect();
        let wanted: Vec<_> = (1..=files).map(|n| format!("{}/{n:03}.txt", set.step)).collect();
        assert_eq!(told, wanted, "{}", set.step);
        assert!(set.changes.iter().all(|change| kind(change) == "ADDED"));
        assert_eq!(set.change_count, files as u64);
    }
}

// === single changes ===

/// A path as a cell writes it: bytes in octal as the service shows them.
pub(super) async fn changes(world: &PlanWorld) -> Vec<wire::Change> {
    let sets = world.changesets(&world.plan_id("the plan")).await;
    sets.into_iter().flat_map(|set| set.changes).collect()
}

async fn change(world: &PlanWorld, path: &str) -> wire::Change {
    let all = changes(world).await;
    let found = all.iter().find(|change| change.path == path);
    found.unwrap_or_else(|| panic!("no {path} in {}", listed(&all))).clone()
}

#[then(regex = r"^the changes of kinds are$")]
async fn changes_are(world: &mut PlanWorld, step: &Step) {
    let told: BTreeSet<_> = changes(world)
        .await
        .iter()
        .map(|change| (kind(change).to_owned(), change.path.clone()))
        .collect();
    let wanted = pairs(step).map(|(kind, path)| (kind.to_owned(), path.to_owned())).collect();
    assert_eq!(told, wanted);
}

#[then(regex = r"^the change of (\S+) tells that it was (\S+)$")]
async fn was(world: &mut PlanWorld, path: String, old: String) {
    assert_eq!(change(world, &path).await.old_path, old);
}

#[then(regex = r"^the change of (\S+) tells the modes (\d+) and (\d+)$")]
async fn modes(world: &mut PlanWorld, path: String, old: String, new: String) {
    let change = change(world, &path).await;
    assert_eq!((change.old_mode, change.new_mode), (old, new));
}

#[then(regex = r"^the change of (\S+) tells that it is binary$")]
async fn is_binary(world: &mut PlanWorld, path: String) {
    assert!(change(world, &path).await.binary);
}

#[then(regex = r"^the change of (\S+) tells (\d+) added and (\d+) removed lines$")]
async fn line_counts(world: &mut PlanWorld, path: String, added: u64, removed: u64) {
    let change = change(world, &path).await;
    assert!(!change.binary);
    assert_eq!((change.added_lines, change.removed_lines), (added, removed));
}

/// The bytes are written as Rust does.
#[then(regex = r#"^the change of (\S+) tells its bytes, "(.+)"$"#)]
async fn raw_path(world: &mut PlanWorld, path: String, bytes: String) {
    assert_eq!(change(world, &path).await.raw_path.escape_ascii().to_string(), bytes);
}

#[then(regex = r"^the change of (\S+) is told as it is$")]
async fn no_raw_path(world: &mut PlanWorld, path: String) {
    assert!(change(world, &path).await.raw_path.is_empty());
}
