//! Projects: how they are, and what somebody does in them beside the service.

use std::os::unix::fs::PermissionsExt as _;

use cucumber::{given, then, when};
use proto::plan::v1 as wire;

use crate::{
    answer::shown,
    world::plans::{Many, PlanWorld, Project, git},
};

/// Line breaks as a sentence writes them.
pub(super) fn lines(text: &str) -> String {
    text.replace("\\n", "\n")
}

async fn make(world: &mut PlanWorld, name: &str) {
    let path = world.scratch.at("projects").join(name);
    let project = Project::create(path.clone());
    world.projects.insert(name.to_owned(), project);
    register(world, name, path.to_str().expect("a path of text")).await;
    if let Some(Err(status)) = &world.answer {
        panic!("refused: {}", shown(status));
    }
}

pub(super) async fn register(world: &mut PlanWorld, name: &str, path: &str) {
    let request = wire::RegisterProjectRequest { name: name.to_owned(), path: path.to_owned() };
    let answer = world.ask(async |mut client| client.register_project(request).await).await;
    world.answer = Some(answer.map(|answer| {
        let project = answer.project.expect("a project");
        assert_eq!(project.name, name);
        None
    }));
}

#[given(regex = r"^a project (\w+)$")]
async fn a_project(world: &mut PlanWorld, name: String) {
    make(world, &name).await;
}

#[given(regex = r"^projects (\w+) and (\w+)$")]
async fn two_projects(world: &mut PlanWorld, one: String, other: String) {
    make(world, &one).await;
    make(world, &other).await;
}

#[then(regex = r"^the project (\w+) is known$")]
async fn is_known(world: &mut PlanWorld, name: String) {
    let request = wire::GetProjectRequest { name: name.clone() };
    let answer = world.ask(async |mut client| client.get_project(request).await).await;
    let project = answer.unwrap_or_else(|status| panic!("{}", shown(&status))).project;
    let path = project.expect("a project").path;
    assert_eq!(path, world.project(&name).path.to_str().expect("a path of text"));
}

#[then(regex = r"^the project (\w+) is not known$")]
async fn is_unknown(world: &mut PlanWorld, name: String) {
    let request = wire::GetProjectRequest { name };
    let answer = world.ask(async |mut client| client.get_project(request).await).await;
    world.answer = Some(answer.map(|_| None));
    assert_eq!(world.refusal().reason, "PROJECT_NOT_FOUND");
}

// === what somebody does ===

#[given(regex = r#"^someone commits "(.*)" as (\S+) to (\w+)$"#)]
#[when(regex = r#"^someone commits "(.*)" as (\S+) to (\w+)$"#)]
async fn commits(world: &mut PlanWorld, text: String, file: String, project: String) {
    world.project_mut(&project).commit(&file, &lines(&text));
}

#[when(regex = r#"^someone replaces "(.*)" with "(.*)" in (\S+) of (\w+) and commits it$"#)]
async fn replaces(world: &mut PlanWorld, old: String, new: String, file: String, project: String) {
    let project = world.project_mut(&project);
    let text = project.text(&file).expect("the file");
    assert!(text.contains(&old), "{text}");
    project.commit(&file, &text.replacen(&old, &new, 1));
}

#[when(regex = r#"^someone leaves "(.*)" as ([^ ,]+)(, staged|, untracked)? in (\w+)$"#)]
async fn leaves(world: &mut PlanWorld, text: String, file: String, how: String, project: String) {
    let project = world.project_mut(&project);
    project.write(&file, &lines(&text));
    if how == ", staged" {
        project.git(&["add", "--", &file]);
    }
    let wanted = if how == ", untracked" { "??" } else { "M" };
    let status = project.git(&["status", "--porcelain", "--", &file]);
    assert!(status.contains(wanted), "{status}");
    project.note();
}

#[when(regex = r"^someone puts (\w+)'s files back$")]
async fn puts_back(world: &mut PlanWorld, project: String) {
    let project = world.project_mut(&project);
    project.git(&["reset", "-q", "--hard"]);
    project.git(&["clean", "-q", "-fd"]);
    project.note();
}

#[when(regex = r"^someone checks (the new branch )?(\w+) out in (\w+)$")]
async fn checks_out(world: &mut PlanWorld, new: String, branch: String, project: String) {
    let project = world.project_mut(&project);
    let args = ["checkout", "-q", "-b", &branch];
    if new.is_empty() {
        project.git(&["checkout", "-q", &branch]);
    } else {
        project.git(&args);
    }
    project.note();
}

#[when(regex = r"^someone renames the branch (\w+) of (\w+) to (\w+)$")]
async fn renames_branch(world: &mut PlanWorld, from: String, project: String, to: String) {
    let project = world.project_mut(&project);
    project.git(&["branch", "-m", &from, &to]);
    project.note();
}

#[when(regex = r"^someone detaches (\w+)'s HEAD$")]
async fn detaches(world: &mut PlanWorld, project: String) {
    let project = world.project_mut(&project);
    project.git(&["checkout", "-q", "--detach"]);
    project.note();
}

#[when(regex = r"^(\w+)'s folder (disappears|is back)$")]
async fn disappears(world: &mut PlanWorld, project: String, what: String) {
    let path = world.project(&project).path.clone();
    let away = path.with_extension("away");
    let (from, to) = if what == "disappears" { (&path, &away) } else { (&away, &path) };
    std::fs::rename(from, to).expect("rename the folder");
}

// === how it is ===

#[then(regex = r"^(\w+) is as it was$")]
async fn is_as_it_was(world: &mut PlanWorld, project: String) {
    let project = world.project(&project);
    assert_eq!(project.now(), *project.noted());
}

#[then(regex = r"^the work tree of (\w+) is clean$")]
async fn is_clean(world: &mut PlanWorld, project: String) {
    assert_eq!(world.project(&project).git(&["status", "--porcelain"]), "");
}

#[then(regex = r#"^(\S+) of (\w+) is "(.*)"$"#)]
async fn file_is(world: &mut PlanWorld, file: String, project: String, text: String) {
    assert_eq!(world.project(&project).text(&file), Some(lines(&text)));
}

#[then(regex = r#"^(\S+) of (\w+) has the lines "(.+)"$"#)]
async fn file_has_lines(world: &mut PlanWorld, file: String, project: String, wanted: String) {
    let text = world.project(&project).text(&file).expect("the file");
    for line in wanted.split(", ") {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
}

#[then(regex = r"^(\w+) has no (\S+\.\w+)$")]
async fn has_no_file(world: &mut PlanWorld, project: String, file: String) {
    assert_eq!(world.project(&project).text(&file), None);
}

#[then(regex = r"^(\w+) has the files that it had$")]
async fn has_its_files(world: &mut PlanWorld, project: String) {
    let project = world.project(&project);
    let before = project.noted().commit.clone();
    assert_eq!(project.git(&["diff", "--stat", &before, "HEAD"]), "");
}

#[then(regex = r"^(\S+) of (\w+) is executable$")]
async fn is_executable(world: &mut PlanWorld, file: String, project: String) {
    let path = world.project(&project).path.join(file);
    let mode = path.metadata().expect("the file").permissions().mode();
    assert_eq!(mode & 0o100, 0o100, "{mode:o}");
}

#[then(regex = r"^(\S+) of (\w+) is a link to (\S+)$")]
async fn is_a_link(world: &mut PlanWorld, file: String, project: String, target: String) {
    let path = world.project(&project).path.join(file);
    assert_eq!(std::fs::read_link(path).expect("a link").to_str(), Some(target.as_str()));
}

// === merges ===

#[then(regex = r"^(\w+) of (\w+) is a merge of (\w+)'s commit and the plan's$")]
async fn is_a_merge(world: &mut PlanWorld, branch: String, name: String, other: String) {
    assert_eq!(name, other);
    let plan = world.get_plan(&world.plan_id("the plan")).await;
    let merge = plan.merge.as_ref().expect("a merge");
    let project = world.project(&name);
    let tip = project.git(&["rev-parse", &branch]);
    let before = &project.noted().commit;
    assert_eq!(merge.branch, format!("refs/heads/{branch}"));
    assert_eq!((&merge.from_commit, &merge.merge_commit), (before, &tip));
    assert_eq!(project.parents(&tip), [before.clone(), plan.head_commit.clone()]);
    let message = project.git(&["log", "-1", "--format=%B", &tip]);
    assert!(message.contains(&plan.plan_id), "{message}");
}

#[then(regex = r"^(\w+) of (\w+) is where it was$")]
async fn is_where_it_was(world: &mut PlanWorld, branch: String, project: String) {
    let project = world.project(&project);
    assert_eq!(project.git(&["rev-parse", &branch]), project.noted().commit);
}

/// Checks that a branch has exactly one merge for each of these plans, and no
/// other.
async fn assert_merges(world: &PlanWorld, branch: &str, project: &str, plans: &[String]) {
    let mut wanted = Vec::new();
    for id in plans {
        let plan = world.get_plan(id).await;
        wanted.push((plan.merge.expect("a merge").merge_commit, plan.head_commit));
    }
    let mut merges = world.project(project).merges(branch);
    wanted.sort();
    merges.sort();
    assert_eq!(merges, wanted);
}

#[then(regex = r"^(\w+) of (\w+) has exactly one merge for the plan$")]
async fn one_merge(world: &mut PlanWorld, branch: String, project: String) {
    let plans = [world.plan_id("the plan")];
    assert_merges(world, &branch, &project, &plans).await;
}

#[then(regex = r"^(\w+) of (\w+) has exactly one merge for each of (plan [A-Z]) and (plan [A-Z])$")]
async fn one_merge_each(
    world: &mut PlanWorld,
    branch: String,
    project: String,
    one: String,
    other: String,
) {
    let plans = [world.plan_id(&one), world.plan_id(&other)];
    assert_merges(world, &branch, &project, &plans).await;
}

#[then(regex = r"^(\w+) of (\w+) has exactly one merge for each of its plans$")]
async fn one_merge_for_its_plans(world: &mut PlanWorld, branch: String, project: String) {
    let many: &Many = &world.many;
    let its = many.iter().filter(|(of, _)| *of == project).map(|(_, id)| id.clone());
    let plans: Vec<_> = its.collect();
    assert!(!plans.is_empty());
    assert_merges(world, &branch, &project, &plans).await;
}

// === what a plan has there ===

#[then(regex = r"^the plan's branch is (not )?in (\w+)$")]
async fn branch_is_there(world: &mut PlanWorld, not: String, project: String) {
    let id = world.plan_id("the plan");
    let refs = world.project(&project).refs();
    let branch = format!("refs/heads/plan/{id} ");
    assert_eq!(refs.contains(&branch), not.is_empty(), "{refs}");
}

#[then(regex = r"^nothing of the plan is left in (\w+)$")]
async fn nothing_is_left(world: &mut PlanWorld, project: String) {
    let id = world.plan_id("the plan");
    let project = world.project(&project);
    let refs = project.refs();
    assert!(!refs.contains(&id), "{refs}");
    assert_eq!(project.worktrees(), 1, "{}", project.git(&["worktree", "list"]));
    // A branch's reflog and configuration go with it.
    let left = git(&project.path, &["config", "--local", "--list"]);
    assert!(!left.contains(&id), "{left}");
}

#[then(regex = r"^(\w+) has no worktree beside its own$")]
async fn no_worktree(world: &mut PlanWorld, project: String) {
    let project = world.project(&project);
    assert_eq!(project.worktrees(), 1, "{}", project.git(&["worktree", "list"]));
}

#[then(regex = r"^(East|West) has no worktree$")]
async fn has_no_worktree(world: &mut PlanWorld, instance: String) {
    let left = world.scratch.worktrees(&instance);
    assert!(left.is_empty(), "{left:?}");
}
