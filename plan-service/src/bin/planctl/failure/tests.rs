//! Each reason of the contract, with its exit code and what is said about it.

use proto::plan::v1::{PlanPhase, Problem};
use serde_json::json;

use super::*;

fn status(code: Code, domain: &str, reason: &str, metadata: &[(&str, &str)]) -> Status {
    with(code, domain, reason, metadata, |_| {})
}

fn with(
    code: Code,
    domain: &str,
    reason: &str,
    metadata: &[(&str, &str)],
    more: impl FnOnce(&mut ErrorDetails),
) -> Status {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut details = ErrorDetails::with_error_info(reason, domain, metadata);
    more(&mut details);
    Status::with_error_details(code, "the service's words", details)
}

#[test]
fn each_reason_has_its_exit_code() {
    for (code, word, expected) in [
        (Code::FailedPrecondition, reason::INVALID_TRANSITION, exit::NOT_NOW),
        (Code::FailedPrecondition, reason::UNCOMMITTED_CHANGES, exit::NOT_NOW),
        (Code::FailedPrecondition, reason::PROJECT_UNUSABLE, exit::NOT_NOW),
        (Code::FailedPrecondition, reason::DIFF_GONE, exit::NOT_NOW),
        (Code::NotFound, reason::PROJECT_NOT_FOUND, exit::NOT_FOUND),
        (Code::NotFound, reason::ACTION_NOT_FOUND, exit::NOT_FOUND),
        (Code::NotFound, reason::PLAN_NOT_FOUND, exit::NOT_FOUND),
        (Code::AlreadyExists, reason::PROJECT_EXISTS, exit::EXISTS),
        (Code::AlreadyExists, reason::ACTION_EXISTS, exit::EXISTS),
        (Code::AlreadyExists, reason::PLAN_EXISTS, exit::EXISTS),
        (Code::InvalidArgument, reason::INVALID_REQUEST, exit::USAGE),
        (Code::PermissionDenied, reason::ACTIONS_FROM_FILES, exit::NOT_ALLOWED),
        (Code::Unavailable, reason::LOCK_SERVER_UNAVAILABLE, exit::UNAVAILABLE),
        (Code::Unavailable, reason::STORE_UNAVAILABLE, exit::UNAVAILABLE),
        (Code::Unavailable, reason::SHUTTING_DOWN, exit::UNAVAILABLE),
        (Code::ResourceExhausted, reason::OVERLOADED, exit::UNAVAILABLE),
        (Code::Internal, reason::INTERNAL, exit::FAILURE),
    ] {
        let failure = from_status(&status(code, reason::DOMAIN, word, &[("plan_id", "p")]));
        assert_eq!((failure.code, failure.reason()), (expected, word));
        assert_eq!(failure.to_json("error")["error"]["metadata"]["plan_id"], "p");
        assert!(failure.to_text().0.contains("the service's words"), "{failure:?}");
    }
}

#[test]
fn a_conflict_is_told_as_the_lock_server_tells_it() {
    let metadata = [
        ("resource", "plan/42"),
        ("holder", "owner\u{202e}"),
        ("acquire_time", "2026-01-02T03:04:05Z"),
        ("expire_time", "2026-01-02T03:09:05Z"),
        ("remaining_ms", "1500"),
        ("queue_length", "2"),
        ("holder.instance", "a-1"),
    ];
    let domain = proto::reason::DOMAIN;
    let failure =
        from_status(&status(Code::FailedPrecondition, domain, "LOCK_CONFLICT", &metadata));
    assert_eq!(failure.code, exit::CONFLICT);
    let (message, explanation) = failure.to_text();
    assert_eq!(message, "plan/42 is held by owner\\u{202e}");
    for word in [
        "since     2026-01-02T03:04:05Z",
        "expires   2026-01-02T03:09:05Z (in 1.5s)",
        "waiting   2",
        "metadata  instance=a-1",
        "`planctl status 42 --follow`",
        "`planctl cancel 42`",
    ] {
        assert!(explanation.contains(word), "{word:?} is missing: {explanation}");
    }
    let project = [("resource", "project/sample"), ("holder", "x")];
    let failure = from_status(&status(Code::FailedPrecondition, domain, "LOCK_CONFLICT", &project));
    assert!(failure.to_text().1.contains("--wait 5m"), "{failure:?}");
}

#[test]
fn what_to_do_about_a_lock_is_by_whose_it_is() {
    let domain = proto::reason::DOMAIN;
    let conflict = |resource: &str, holder: &[(&str, &str)]| {
        let metadata = [&[("resource", resource), ("holder", "x")], holder].concat();
        status(Code::FailedPrecondition, domain, "LOCK_CONFLICT", &metadata)
    };
    let run = [("holder.move", "execute")];
    let of_run = "A run works on that plan, here or at another instance: `planctl status 42 \
                  --follow` shows it";
    let by_hand = "Somebody holds it by hand, and no run: `lockctl get plan/42` shows it.";
    for (told, advice) in [
        (
            from_status(&conflict("plan/42", &run)),
            format!("{of_run}, `planctl cancel 42` ends it."),
        ),
        (of_cancel(&conflict("plan/42", &run)), format!("{of_run}.")),
        (from_status(&conflict("plan/42", &[("holder.job", "1")])), by_hand.to_owned()),
        (of_cancel(&conflict("plan/42", &[])), by_hand.to_owned()),
    ] {
        let (_, explanation) = told.to_text();
        assert!(explanation.ends_with(&advice), "{advice}: {explanation}");
    }
    let applied = from_status(&conflict("project/a", &[("holder.instance", "b-2")]));
    assert!(applied.to_text().1.contains("Another plan is being applied"), "{applied:?}");
    let by_hand = from_status(&conflict("project/a", &[]));
    assert!(by_hand.to_text().1.contains("`lockctl get project/a` shows it; try again"));
}

#[test]
fn phases_and_states_are_named_as_in_plans() {
    let metadata = [("phase", "EXECUTE"), ("state", "ERRORED"), ("move", "apply")];
    let word = reason::INVALID_TRANSITION;
    let refused = status(Code::FailedPrecondition, reason::DOMAIN, word, &metadata);
    let expected =
        json!({"phase": "PLAN_PHASE_EXECUTE", "state": "PLAN_STATE_ERRORED", "move": "apply"});
    assert_eq!(from_status(&refused).to_json("error")["error"]["metadata"], expected);
    // Whatever a later service has.
    assert_eq!(as_in_plans("state", "ODD"), "ODD");
}

#[test]
fn what_is_possible_instead_is_told_as_commands() {
    let metadata = [("plan_id", "p-1"), ("possible", "apply,revert,cancel"), ("move", "execute")];
    let status =
        status(Code::FailedPrecondition, reason::DOMAIN, reason::INVALID_TRANSITION, &metadata);
    let failure = from_status(&status);
    let expected = "Possible:\n  planctl apply p-1\n  planctl revert p-1\n  planctl cancel p-1";
    assert_eq!(failure.to_text().1, expected);
}

#[test]
fn every_field_and_every_file_is_listed() {
    let one = with(Code::InvalidArgument, reason::DOMAIN, reason::INVALID_REQUEST, &[], |it| {
        it.add_bad_request_violation("name", "is empty");
    });
    let failure = from_status(&one);
    assert_eq!(failure.to_text(), ("the request is not valid: name is empty", ""));
    let two = with(Code::InvalidArgument, reason::DOMAIN, reason::INVALID_REQUEST, &[], |it| {
        it.add_bad_request_violation("name", "is empty");
        it.add_bad_request_violation("path", "is no work tree\nat all");
    });
    let failure = from_status(&two);
    let lines = "  name is empty\n  path is no work tree\\u{a}at all";
    assert_eq!(failure.to_text(), ("the request is not valid", lines));
    let metadata = &failure.to_json("error")["error"]["metadata"];
    let fields = json!({"name": "is empty", "path": "is no work tree\nat all"});
    assert_eq!(metadata["fields"], fields);
    let word = reason::UNCOMMITTED_CHANGES;
    let files = with(Code::FailedPrecondition, reason::DOMAIN, word, &[], |it| {
        it.add_precondition_failure_violation("UNCOMMITTED", "src/a.rs", "is changed");
        it.add_precondition_failure_violation("UNCOMMITTED", "b", "is changed");
    });
    let failure = from_status(&files);
    assert_eq!(failure.to_text().1, "  src/a.rs\n  b");
    let metadata = &failure.to_json("error")["error"]["metadata"];
    assert_eq!(metadata["files"], json!(["src/a.rs", "b"]));
}

#[test]
fn whatever_else_is_at_the_address_is_not_a_plan_service() {
    for (said, end) in [("", "another version"), ("what?", "(it says: what?)")] {
        let failure = from_status(&Status::unimplemented(said));
        assert_eq!((failure.code, failure.reason()), (exit::UNAVAILABLE, "UNIMPLEMENTED"));
        let (message, _) = failure.to_text();
        assert!(message.contains("lock-server's port is 50051"), "{message}");
        assert!(message.ends_with(end), "{message}");
    }
    let failure = from_status(&Status::unavailable("went away"));
    assert_eq!(failure.code, exit::UNAVAILABLE);
    assert!(failure.in_doubt("perhaps").to_text().1.contains("perhaps"));
    let failure = from_status(&Status::out_of_range("x"));
    assert_eq!(failure.code, exit::FAILURE);
}

#[test]
fn a_plan_that_rests_well_is_no_failure() {
    let plan = |state: PlanState, reason: Option<&str>| Plan {
        plan_id: "p-1".to_owned(),
        phase: PlanPhase::Execute.into(),
        state: state.into(),
        problem: reason.map(|reason| Problem {
            reason: reason.to_owned(),
            message: "why".to_owned(),
            files: vec!["a".to_owned()],
            step: "build".to_owned(),
        }),
        possible_moves: vec!["retry".to_owned(), "strategize".to_owned()],
        ..Plan::default()
    };
    assert_eq!(verdict(&plan(PlanState::Complete, None)).unwrap(), exit::OK);
    assert_eq!(verdict(&plan(PlanState::Applied, None)).unwrap(), exit::OK);
    for (state, reason, code, word) in [
        (PlanState::Errored, Some("STEP_FAILED"), exit::FAILURE, "STEP_FAILED"),
        (PlanState::Errored, Some("LOCK_LOST"), exit::LOST, "LOCK_LOST"),
        (PlanState::Constrained, Some("MERGE_CONFLICT"), exit::FAILURE, "MERGE_CONFLICT"),
        (PlanState::Cancelled, None, exit::FAILURE, "CANCELLED"),
        (PlanState::Queued, None, exit::FAILURE, "QUEUED"),
    ] {
        let failure = verdict(&plan(state, reason)).unwrap_err();
        assert_eq!((failure.code, failure.reason()), (code, word));
        let (message, explanation) = failure.to_text();
        assert!(message.contains(&format!("EXECUTE {}", words::state(state))), "{message}");
        assert!(explanation.ends_with("Possible:\n  planctl retry p-1"), "{explanation}");
        let metadata = &failure.to_json("error")["error"]["metadata"];
        assert_eq!(metadata["state"], state.as_str_name());
        let files = if reason.is_some() { json!(["a"]) } else { json!(null) };
        assert_eq!(metadata["files"], files);
    }
}
