//! What a client reads, and that it fits.

use std::collections::BTreeMap;

use super::*;
use crate::{
    domain::{ActionDraft, ChangesetId, Merge, Name, Oid, PlanId, ProblemReason, Run, StepDraft},
    engine::StaleCounts,
};

fn oid(digit: char) -> Oid {
    Oid::parse(&digit.to_string().repeat(40)).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn template() -> ActionTemplate {
    let step = StepDraft {
        name: "one".to_owned(),
        argv: vec!["true".to_owned()],
        env: BTreeMap::from([("KEY".to_owned(), "value".to_owned())]),
        time_limit: Some(Duration::from_millis(1_500)),
        group: "together".to_owned(),
    };
    let draft = ActionDraft { name: "a/b".to_owned(), steps: vec![step], ..ActionDraft::default() };
    draft.check().unwrap()
}

fn a_plan(in_phase: Phase, in_state: State) -> Plan {
    let template = template();
    Plan {
        id: PlanId::new(),
        project: name("shop"),
        action: template.name.clone(),
        template,
        arguments: BTreeMap::new(),
        phase: in_phase,
        state: in_state,
        problem: None,
        created_at: Moment::from_micros(1_795_226_400_000_001),
        updated_at: Moment::from_micros(-1),
        generation: 2,
        strategy: None,
        steps: Vec::new(),
        checks: Vec::new(),
        head: None,
        merge: Some(Merge {
            branch: "refs/heads/main".to_owned(),
            from: oid('1'),
            commit: oid('2'),
        }),
        run: Some(Run {
            owner_id: "owner".to_owned(),
            instance: "a:1".to_owned(),
            started_at: Moment::from_micros(0),
        }),
        ended_by: None,
        fencing_token: 7,
        version: 9,
        cancel_requested: None,
    }
}

fn a_change(path: &[u8]) -> Change {
    Change {
        kind: ChangeKind::Renamed,
        path: RepoPath(path.to_vec()),
        old_path: Some(RepoPath(b"before\xff".to_vec())),
        old_mode: "100644".to_owned(),
        new_mode: "100755".to_owned(),
        binary: false,
        added_lines: 1,
        removed_lines: 2,
    }
}

#[test]
fn a_plan_says_what_it_can_do_and_only_what_is_so() {
    let running = plan(Plan { problem: None, ..a_plan(Phase::Apply, State::Processing) });
    assert_eq!(
        (running.phase(), running.state()),
        (wire::PlanPhase::Apply, wire::PlanState::Processing)
    );
    assert_eq!(running.possible_moves, ["cancel"]);
    assert_eq!(running.create_time.unwrap().to_string(), "2026-11-21T02:00:00.000001Z");
    assert_eq!(running.update_time.unwrap().to_string(), "1969-12-31T23:59:59.999999Z");
    assert_eq!(running.run.unwrap().instance, "a:1");
    assert_eq!(running.merge, None, "it is noted, and not made");
    assert_eq!((running.fencing_token, running.version, running.generation), (7, 9, 2));

    let applied = plan(a_plan(Phase::Apply, State::Applied));
    assert_eq!(applied.merge.unwrap().merge_commit, "2".repeat(40));
    assert_eq!((applied.run, applied.possible_moves.len()), (None, 0));
}

#[test]
fn what_nobody_can_ask_for_is_not_possible() {
    let made = plan(a_plan(Phase::Action, State::Queued));
    assert_eq!(made.possible_moves, ["retry", "cancel"]);
}

#[test]
fn a_wish_to_cancel_is_told_while_a_run_is_there_to_hear_it() {
    let asked = |state| Plan {
        cancel_requested: Some("enough".to_owned()),
        ..a_plan(Phase::Execute, state)
    };
    assert!(plan(asked(State::Processing)).cancel_requested);
    for state in [State::Cancelled, State::Complete, State::Errored] {
        assert!(!plan(asked(state)).cancel_requested, "{state}");
    }
}

#[test]
fn an_action_is_read_as_it_was_written() {
    let stored = StoredAction { template: template(), created_at: Moment::from_micros(0) };
    let message = action(stored.clone());
    assert_eq!(message.steps[0].env["KEY"], "value");
    assert_eq!(message.steps[0].group, "together");
    let again = crate::grpc::check::Check::default().action(Some(message));
    assert_eq!(again, Some(stored.template));
}

#[test]
fn paths_that_are_not_utf8_are_shown_and_told_in_bytes() {
    let odd = change(a_change(b"dir/\xff.bin"));
    assert_eq!(
        (odd.path.as_str(), odd.raw_path.as_slice()),
        ("dir/\\377.bin", &b"dir/\xff.bin"[..])
    );
    assert_eq!(
        (odd.old_path.as_str(), odd.raw_old_path.as_slice()),
        ("before\\377", &b"before\xff"[..])
    );
    assert_eq!(odd.kind(), wire::ChangeKind::Renamed);
    let plain = change(Change {
        old_path: Some(RepoPath("alt/ä.rs".as_bytes().to_vec())),
        ..a_change("src/ä.rs".as_bytes())
    });
    assert_eq!((plain.path.as_str(), plain.raw_path.len()), ("src/ä.rs", 0));
    assert_eq!((plain.old_path.as_str(), plain.raw_old_path.len()), ("alt/ä.rs", 0));
}

#[test]
fn a_path_that_is_not_shown_as_it_is_comes_in_bytes_too() {
    for (path, shown) in [(&b"a\\b"[..], "a\\\\b"), (b"c\td", "c\\011d"), (b"e\nf", "e\\012f")] {
        let message = change(Change { old_path: Some(RepoPath(path.to_vec())), ..a_change(path) });
        assert_eq!((message.path.as_str(), message.raw_path.as_slice()), (shown, path));
        assert_eq!((message.old_path.as_str(), message.raw_old_path.as_slice()), (shown, path));
    }
}

#[test]
fn long_lists_are_cut_to_what_fits() {
    let long = a_change(&b"x".repeat(4_000));
    let of = Changeset {
        id: ChangesetId::new(),
        plan: PlanId::new(),
        step: "one".to_owned(),
        commit: None,
        created_at: Moment::from_micros(0),
        changes: vec![long.clone(); 1_000],
        change_count: 5_000,
    };
    let message = changeset(of);
    assert!(message.encoded_len() < MOST_CHANGES + KIB);
    assert!((100..1_000).contains(&message.changes.len()));
    assert_eq!(message.change_count, 5_000);

    let most = 3 * KIB * KIB;
    for patch in [vec![b'x'; most + 1], b"caf\xe9\n".repeat(most)] {
        let is_text = str::from_utf8(&patch).is_ok();
        let of = Diff {
            patch: patch.clone(),
            truncated: false,
            base: oid('1'),
            head: oid('2'),
            files: vec![long.clone(); 10_000],
            file_count: 30_000,
        };
        let message = diff(of, most);
        assert!(message.truncated && message.patch.len() <= most);
        assert!(message.encoded_len() < 4 * KIB * KIB);
        assert!(!message.files.is_empty());
        assert_eq!(message.file_count, 30_000);
        assert_eq!(message.raw_patch.is_empty(), is_text);
        assert!(patch.starts_with(&message.raw_patch));
    }
}

#[test]
fn diagnostics_fit_and_keep_what_is_newest() {
    let files = vec!["x".repeat(4_000); 1_000];
    let found = Problem::new(ProblemReason::MergeConflict, "conflict").about(files);
    let mut one = a_plan(Phase::Apply, State::Constrained);
    one.problem = Some(found.clone());
    let event = |token| Event {
        at: Moment::from_micros(0),
        phase: Phase::Apply,
        state: State::Constrained,
        problem: Some(found.clone()),
        fencing_token: token,
        instance: "a:1".to_owned(),
    };
    let output = OutputTail { total_bytes: 1 << 20, tail: b"0123456789".repeat(6_000) };
    let key = |at: usize| OutputKey { check: at == 0, name: name(&format!("step{at}")) };
    let of = Diagnostics {
        instance: "a:1".to_owned(),
        store: "sqlite",
        lock_server: Ok(StaleCounts { plans: 1, projects: 2 }),
        plans: vec![(Phase::Apply, State::Applied, 3)],
        active_runs: 4,
        plan: Some(PlanDiagnostics {
            plan: one,
            events: (0..1_000).map(event).collect(),
            outputs: (0..1_000).map(|at| (key(at), output.clone())).collect(),
            lock: None,
            lock_error: None,
        }),
    };
    let message = diagnostics(of);
    assert!(message.encoded_len() < 3 * KIB * KIB, "{}", message.encoded_len());
    assert_eq!(message.lock_server.unwrap().stale_project_locks, 2);
    let about = message.plan.unwrap();
    assert_eq!(about.events.last().unwrap().fencing_token, 999);
    assert!(about.events.len() > 10);
    assert_eq!(about.tails.len(), 1_000);
    let tail = about.tails.iter().find(|tail| tail.check).unwrap();
    assert!(tail.step == "step0" && tail.data.ends_with(b"789"));
    assert_eq!(tail.skipped_bytes + tail.data.len() as u64, 1 << 20);
}

#[test]
fn what_is_long_about_a_problem_hides_nothing_else() {
    let mut files = vec!["é".repeat(100_000), "b".to_owned()];
    let message = "é".repeat(3 * KIB * KIB);
    let mut one = a_plan(Phase::Apply, State::Constrained);
    let found =
        Problem { reason: ProblemReason::MergeConflict, message, files: files.clone(), step: None };
    one.problem = Some(found.clone());
    let told = plan(one.clone()).problem.unwrap();
    assert!(told.message.len() <= 4 * KIB && told.message.ends_with('…'));
    assert_eq!(told.files, files);

    let event = Event {
        at: Moment::from_micros(0),
        phase: Phase::Apply,
        state: State::Constrained,
        problem: Some(found),
        fencing_token: 1,
        instance: "a:1".to_owned(),
    };
    let later = Event { problem: None, fencing_token: 2, ..event.clone() };
    let about = PlanDiagnostics {
        plan: one,
        events: vec![event, later],
        outputs: BTreeMap::new(),
        lock: None,
        lock_error: None,
    };
    let events = plan_diagnostics(about).events;
    let tokens: Vec<_> = events.iter().map(|event| event.fencing_token).collect();
    assert_eq!(tokens, [1, 2]);
    let told = events[0].problem.clone().unwrap();
    assert!(told.message.len() <= 4 * KIB);
    assert_eq!(told.files, [files.remove(1)], "the one that fits");
}

#[test]
fn what_is_longer_than_all_may_be_is_left_out_alone() {
    let texts = |sizes: &[usize]| sizes.iter().map(|size| "x".repeat(*size)).collect::<Vec<_>>();
    let left =
        |sizes: &[usize]| fitting(texts(sizes), 100).iter().map(String::len).collect::<Vec<_>>();
    assert_eq!(left(&[200, 10, 20]), [10, 20]);
    assert_eq!(left(&[40, 40, 40, 1]), [40, 40], "no holes among those that would fit alone");
}

#[test]
fn a_lock_server_that_is_away_says_why() {
    let of = Diagnostics {
        instance: String::new(),
        store: "sqlite",
        lock_server: Err("no answer".to_owned()),
        plans: Vec::new(),
        active_runs: 0,
        plan: None,
    };
    let lock_server = diagnostics(of).lock_server.unwrap();
    assert_eq!((lock_server.reachable, lock_server.error.as_str()), (false, "no answer"));
}
