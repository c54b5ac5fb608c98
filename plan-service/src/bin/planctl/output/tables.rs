//! Many things, a row or a few lines each.

use proto::plan::v1::{Action, Change, ChangeKind, Changeset, Plan, Project, StateCount};
use service_kit::cli::{
    Style, escape,
    escape::escaped,
    table::{Cell, Table},
    time::seconds,
};

use super::{progress::complete, words};

/// The longest problem that a row has room for.
const MOST_WORDS: usize = 60;

/// For people: projects.
pub(crate) fn projects_table(projects: &[Project], style: Style) -> String {
    let mut table = Table::new(["PROJECT", "PATH", "REGISTERED"]);
    for project in projects {
        table.push(vec![
            escaped(&project.name).into(),
            escape::line(&project.path).into(),
            project.create_time.map(seconds).unwrap_or_default().into(),
        ]);
    }
    table.render(style)
}

/// For people: actions.
pub(crate) fn actions_table(actions: &[Action], style: Style) -> String {
    let mut table = Table::new(["ACTION", "STEPS", "CHECKS", "PARAMETERS", "DESCRIPTION"]);
    for action in actions {
        let parameters: Vec<_> = action.parameters.iter().map(|it| escaped(&it.name)).collect();
        table.push(vec![
            escaped(&action.name).into(),
            action.steps.len().to_string().into(),
            action.checks.len().to_string().into(),
            parameters.join(", ").into(),
            first_words(&action.description).into(),
        ]);
    }
    table.render(style)
}

/// For people: plans.
pub(crate) fn plans_table(plans: &[Plan], style: Style) -> String {
    let mut table =
        Table::new(["PLAN", "PROJECT", "ACTION", "PHASE", "STATE", "STEPS", "UPDATED", "PROBLEM"]);
    for plan in plans {
        let problem = plan.problem.as_ref();
        table.push(vec![
            escaped(&plan.plan_id).into(),
            escaped(&plan.project).into(),
            escaped(&plan.action).into(),
            words::phase(plan.phase()).into(),
            Cell::painted(words::state(plan.state()), words::paint_state(plan.state())),
            format!("{}/{}", complete(&plan.steps), plan.steps.len()).into(),
            plan.update_time.map(seconds).unwrap_or_default().into(),
            problem.map(|problem| escaped(&problem.reason)).unwrap_or_default().into(),
        ]);
    }
    table.render(style)
}

/// For people: how many plans are in each state.
pub(crate) fn states_table(counts: &[StateCount], style: Style) -> String {
    let mut table = Table::new(["PHASE", "STATE", "PLANS"]);
    for count in counts {
        table.push(vec![
            words::phase(count.phase()).into(),
            Cell::painted(words::state(count.state()), words::paint_state(count.state())),
            count.count.to_string().into(),
        ]);
    }
    table.render(style)
}

/// For people: what one step has changed.
pub(crate) fn changeset_text(changeset: &Changeset, style: Style) -> String {
    let commit = match changeset.commit.as_str() {
        "" => "not committed yet".to_owned(),
        commit => words::short(commit),
    };
    let count = words::count(changeset.change_count, "file");
    let heading = style.heading(&escaped(&changeset.step));
    let mut text = format!("{heading} ({commit}): {count}\n");
    for change in &changeset.changes {
        text.push_str(&format!("  {}  {}\n", painted_letter(change.kind(), style), path(change)));
    }
    let shown = changeset.changes.len() as u64;
    if changeset.change_count > shown {
        text.push_str(&format!("  and {} more\n", changeset.change_count - shown));
    }
    text
}

fn painted_letter(kind: ChangeKind, style: Style) -> String {
    let letter = words::letter(kind);
    match kind {
        ChangeKind::Added => style.good(letter),
        ChangeKind::Deleted => style.bad(letter),
        _ => style.warning(letter),
    }
}

fn path(change: &Change) -> String {
    let path = escape::line(&change.path);
    match change.kind() {
        ChangeKind::Renamed => format!("{} -> {path}", escape::line(&change.old_path)),
        ChangeKind::ModeChanged => {
            let (old, new) = (escaped(&change.old_mode), escaped(&change.new_mode));
            format!("{path} (mode {old} -> {new})")
        }
        _ => path,
    }
}

/// The first line of a text, cut to what a row has room for.
fn first_words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= MOST_WORDS && line.len() == text.len() {
        return escape::line(line);
    }
    let words: String = line.chars().take(MOST_WORDS - 1).collect();
    format!("{}…", escape::line(words.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: ChangeKind, path: &str) -> Change {
        let (path, old_path) = (path.to_owned(), "old".to_owned());
        let (old_mode, new_mode) = ("100644".to_owned(), "100755".to_owned());
        Change { kind: kind.into(), path, old_path, old_mode, new_mode, ..Change::default() }
    }

    #[test]
    fn changes_have_the_letters_that_git_gives_them() {
        let changeset = Changeset {
            step: "fmt".to_owned(),
            commit: "0123456789abcdef".to_owned(),
            changes: vec![
                change(ChangeKind::Added, "a\\303"),
                change(ChangeKind::Modified, "b"),
                change(ChangeKind::Deleted, "c"),
                change(ChangeKind::Renamed, "d"),
                change(ChangeKind::TypeChanged, "e"),
                change(ChangeKind::ModeChanged, "f"),
            ],
            change_count: 8,
            ..Changeset::default()
        };
        let expected = "fmt (0123456789ab): 8 files\n  A  a\\303\n  M  b\n  D  c\n  \
                        R  old -> d\n  T  e\n  M  f (mode 100644 -> 100755)\n  and 2 more\n";
        assert_eq!(changeset_text(&changeset, Style::plain()), expected);
        let begun = Changeset { step: "x".to_owned(), ..Changeset::default() };
        assert_eq!(changeset_text(&begun, Style::plain()), "x (not committed yet): 0 files\n");
    }

    #[test]
    fn a_description_is_cut_to_its_first_words() {
        assert_eq!(first_words("short"), "short");
        assert_eq!(first_words("one\ntwo"), "one…");
        assert_eq!(first_words(&"x".repeat(61)).chars().count(), MOST_WORDS);
    }
}
