//! `planctl use`, `status`, `list`, `changes` and `cancel`.

use std::sync::{Arc, Mutex};

use proto::{
    plan::v1::{
        CancelPlanRequest, CancelPlanResponse, Change, ChangeKind, Changeset, GetActionRequest,
        GetActionResponse, GetDiagnosticsRequest, GetPlanRequest, GetPlanResponse,
        GetProjectRequest, GetProjectResponse, ListChangesetsRequest, ListChangesetsResponse,
        ListPlansRequest, ListPlansResponse, LockView, Plan, PlanPhase, PlanState, StepState,
        Strategy, UseActionRequest, UseActionResponse, WatchPlanRequest,
    },
    plan_reason as reason,
};
use serde_json::Value;
use tonic::Code;

use super::support::{ID, executing, plan, refused, service, time, told, with_moves, with_problem};

#[tokio::test]
async fn a_plan_is_made_under_an_id_of_its_own_which_comes_first() {
    let (fake, planctl) = service();
    fake.on(|request: UseActionRequest| {
        let plan_id = request.plan_id.expect("planctl makes the id");
        let strategized = plan(PlanPhase::Strategize, PlanState::Processing);
        Ok(UseActionResponse { plan: Some(Plan { plan_id, ..strategized }) })
    });
    let arguments =
        ["use", "edit/rename", "--project", "sample", "--arg", "from=a b", "--arg", "to=x=y"];
    let answer = planctl.run(&arguments).await.ended_with(0);
    let sent = fake.asked::<UseActionRequest>();
    let id = sent[0].plan_id.clone().unwrap();
    assert!(answer.stdout.starts_with(&format!("plan        {id}\n")), "{answer:#?}");
    answer
        .says(&["arguments   from=\"a b\"\n", "phase       STRATEGIZE\nstate       PROCESSING\n"]);
    assert_eq!(id.as_bytes()[14], b'7', "a UUIDv7: {id}");
    assert_eq!(
        (sent[0].arguments["from"].as_str(), sent[0].arguments["to"].as_str()),
        ("a b", "x=y")
    );
    let quiet = planctl.run(&[&arguments[..], &["--quiet", "--id", ID]].concat()).await;
    assert_eq!(quiet.ended_with(0).stdout, format!("{ID}\n"));
    let json = planctl.json(&[&arguments[..], &["--id", ID]].concat()).await;
    assert_eq!(json["plan"]["plan_id"], ID);
    assert_eq!(json["plan"]["fencing_token"], 1_763_690_400_000_000_u64);
    let twice = [&arguments[..], &["--arg", "to=2"]].concat();
    planctl.run(&twice).await.ended_with(64).complains(&["--arg to is given twice"]);
}

#[tokio::test]
async fn a_strategy_that_takes_long_is_no_failure_and_is_told() {
    let (fake, planctl) = service();
    let state = Arc::new(Mutex::new(PlanState::Processing));
    let now = Arc::clone(&state);
    fake.on(move |_: UseActionRequest| {
        let state = *now.lock().unwrap();
        Ok(UseActionResponse { plan: Some(plan(PlanPhase::Strategize, state)) })
    });
    let arguments = ["use", "edit/rename", "--project", "sample"];
    let note = format!(
        "planctl: the strategy is still being made: `planctl status {ID} --follow` shows it\n"
    );
    let answer = planctl.run(&arguments).await.ended_with(0);
    assert_eq!(answer.stderr, note);
    answer.says(&["state       PROCESSING\n"]);
    // The id alone is on standard output, for a script.
    let answer = planctl.run(&[&arguments[..], &["--quiet"]].concat()).await.ended_with(0);
    assert_eq!((answer.stdout, answer.stderr), (format!("{ID}\n"), note));
    let answer = planctl.run(&[&arguments[..], &["--output", "json"]].concat()).await;
    assert_eq!(answer.ended_with(0).stderr, "");
    *state.lock().unwrap() = PlanState::Complete;
    assert_eq!(planctl.run(&arguments).await.ended_with(0).stderr, "");
}

#[tokio::test]
async fn an_id_that_is_taken_makes_no_second_plan() {
    let (fake, planctl) = service();
    fake.on(|_: UseActionRequest| -> Result<UseActionResponse, _> {
        Err(refused(Code::AlreadyExists, reason::PLAN_EXISTS, &[("plan_id", ID)]))
    });
    let arguments = ["use", "edit/rename", "--project", "sample", "--id", ID];
    planctl.run(&arguments).await.ended_with(73).complains(&["PLAN_EXISTS"]);
}

#[tokio::test]
async fn who_waits_for_the_strategy_gets_it() {
    let (fake, planctl) = service();
    fake.on(|_: UseActionRequest| {
        Ok(UseActionResponse { plan: Some(plan(PlanPhase::Strategize, PlanState::Processing)) })
    });
    let arguments = ["use", "edit/rename", "--project", "sample", "--wait"];
    let watch = fake.on_watch();
    watch.send(told(&plan(PlanPhase::Strategize, PlanState::Processing))).unwrap();
    watch.send(told(&plan(PlanPhase::Strategize, PlanState::Complete))).unwrap();
    drop(watch);
    planctl.run(&arguments).await.ended_with(0).says(&["state       COMPLETE\n"]);
    assert!(fake.asked::<WatchPlanRequest>()[0].until_rest);
    let watch = fake.on_watch();
    let errored = plan(PlanPhase::Strategize, PlanState::Errored);
    watch.send(told(&with_problem(errored, "PROJECT_UNUSABLE", "it is gone", &[]))).unwrap();
    drop(watch);
    let answer = planctl.run(&arguments).await.ended_with(1);
    answer
        .says(&["ERRORED"])
        .complains(&["error: STRATEGIZE ERRORED: PROJECT_UNUSABLE: it is gone\n"]);
}

#[tokio::test]
async fn a_card_says_how_a_plan_stands_and_what_is_next() {
    let (fake, planctl) = service();
    fake.on(|_: GetPlanRequest| {
        let steps = [("fmt", StepState::Complete), ("build", StepState::Running)];
        let strategy = Strategy {
            base_commit: "0123456789abcdef".to_owned(),
            base_branch: "refs/heads/main".to_owned(),
        };
        let plan = Plan { strategy: Some(strategy), ..executing(PlanState::Processing, &steps) };
        let lock = LockView {
            owner_id: "owner-7".to_owned(),
            fencing_token: 12,
            expire_time: time(60),
            ..LockView::default()
        };
        let plan = Some(with_moves(plan, &["cancel"]));
        Ok(GetPlanResponse { plan, lock: Some(lock), lock_error: String::new() })
    });
    planctl.run(&["status", ID]).await.ended_with(0).says(&[
        &format!("plan        {ID}\naction      edit/rename\nproject     sample\n"),
        "progress    [####################--------------------] 1 of 2 steps, 50 %\n",
        "base        0123456789ab of main\n",
        "lock        held by owner-7, expires 2026-01-02T03:05:00Z (in ",
        ", token 12\n",
        "STEP   STATE     STARTED               TOOK",
        "fmt    COMPLETE  2026-01-02T03:04:01Z  3.0s",
        "build  RUNNING   2026-01-02T03:04:01Z  ",
        &format!("Possible next\n  planctl cancel {ID}\n"),
    ]);
    let json = planctl.json(&["status", ID]).await;
    assert_eq!(json["plan"]["steps"][1]["state"], "STEP_STATE_RUNNING");
    assert_eq!(json["lock"]["fencing_token"], 12);
    assert_eq!(json["lock_error"], Value::Null);
    let asked = fake.asked::<GetPlanRequest>();
    assert_eq!((asked.len(), asked[0].plan_id.as_str(), asked[0].with_lock), (2, ID, true));
    assert!(fake.asked::<GetDiagnosticsRequest>().is_empty());
}

#[tokio::test]
async fn a_card_tells_a_lock_that_is_free_from_one_that_is_not_known() {
    let (fake, planctl) = service();
    let error = "no answer within 3s";
    for (state, lock_error, line) in [
        (PlanState::Processing, error, "lock        not known: no answer within 3s\n"),
        (PlanState::Complete, error, "lock        not known: no answer within 3s\n"),
        (PlanState::Complete, "", "lock        not held\n"),
        // Its run is gone, and its lock too.
        (PlanState::Processing, "", "lock        not held\n"),
    ] {
        fake.on(move |_: GetPlanRequest| {
            let plan = Some(executing(state, &[("fmt", StepState::Running)]));
            Ok(GetPlanResponse { plan, lock: None, lock_error: lock_error.to_owned() })
        });
        planctl.run(&["status", ID]).await.ended_with(0).says(&[line]);
        let json = planctl.json(&["status", ID]).await;
        assert_eq!(json["lock"], Value::Null);
        let expected = if lock_error.is_empty() { Value::Null } else { lock_error.into() };
        assert_eq!(json["lock_error"], expected);
    }
}

#[tokio::test]
async fn plans_are_listed_by_their_filters() {
    let (fake, planctl) = service();
    fake.on(|_: ListPlansRequest| {
        let errored =
            executing(PlanState::Errored, &[("a", StepState::Complete), ("b", StepState::Failed)]);
        let plans = vec![with_problem(errored, "STEP_FAILED", "b failed", &[])];
        Ok(ListPlansResponse { plans, ..ListPlansResponse::default() })
    });
    let filters = ["--project", "sample", "--action", "edit/rename", "--phase", "EXECUTE"];
    let arguments = [&["list", "--state", "errored", "--limit", "5"][..], &filters].concat();
    planctl.run(&arguments).await.ended_with(0).says(&[&format!(
        "{ID}  sample   edit/rename  EXECUTE  ERRORED  1/2    2026-01-02T03:04:05Z  STEP_FAILED\n"
    )]);
    let expected = ListPlansRequest {
        project: Some("sample".to_owned()),
        action: Some("edit/rename".to_owned()),
        phase: PlanPhase::Execute.into(),
        state: PlanState::Errored.into(),
        page_size: 5,
        page_token: String::new(),
    };
    assert_eq!(fake.asked::<ListPlansRequest>(), [expected]);
    let json = planctl.json(&["list"]).await;
    assert_eq!(json["plans"][0]["problem"]["reason"], "STEP_FAILED");
    fake.on(|_: ListPlansRequest| Ok(ListPlansResponse::default()));
    planctl.run(&["list"]).await.ended_with(0).says(&["No plans.\n"]);
}

#[tokio::test]
async fn a_filter_that_nothing_matches_is_named_with_what_is_not_there() {
    let (fake, planctl) = service();
    fake.on(|_: ListPlansRequest| Ok(ListPlansResponse::default()));
    fake.on(|request: GetProjectRequest| match request.name.as_str() {
        "sample" => Ok(GetProjectResponse::default()),
        _ => Err(refused(Code::NotFound, reason::PROJECT_NOT_FOUND, &[])),
    });
    fake.on(|_: GetActionRequest| -> Result<GetActionResponse, _> {
        Err(refused(Code::NotFound, reason::ACTION_NOT_FOUND, &[]))
    });
    let no_project = "There is no project nope: `planctl project list` shows those that there \
                      are.\n";
    let no_action = "There is no action t/none: `planctl action list` shows those that there \
                     are.\n";
    for (arguments, words) in [
        (&["--project", "nope"][..], format!("No plans match --project nope.\n{no_project}")),
        (
            &["--project", "sample", "--state", "errored"],
            "No plans match --project sample --state ERRORED.\n".to_owned(),
        ),
        (&["--action", "t/none"], format!("No plans match --action t/none.\n{no_action}")),
    ] {
        let answer = planctl.run(&[&["list"], arguments].concat()).await.ended_with(0);
        assert_eq!(answer.stdout, words);
    }
}

#[tokio::test]
async fn a_plan_that_is_made_without_a_strategy_is_an_error() {
    let (fake, planctl) = service();
    for (reason, code) in [("PROJECT_UNUSABLE", 1), ("LOCK_LOST", 76)] {
        fake.on(move |_: UseActionRequest| {
            let errored = plan(PlanPhase::Strategize, PlanState::Errored);
            let errored = with_problem(errored, reason, "it is on no branch", &[]);
            Ok(UseActionResponse { plan: Some(errored) })
        });
        let arguments = ["use", "edit/rename", "--project", "sample"];
        let answer = planctl.run(&arguments).await.ended_with(code);
        answer
            .says(&["state       ERRORED\n"])
            .complains(&[&format!("error: STRATEGIZE ERRORED: {reason}: it is on no branch\n")]);
        let answer = planctl.run(&[&arguments[..], &["--quiet"]].concat()).await.ended_with(code);
        assert_eq!(answer.stdout, format!("{ID}\n"));
        assert_eq!(planctl.error(&arguments, code).await["reason"], reason);
    }
}

#[tokio::test]
async fn a_cancelled_plan_is_called_so_once_and_offers_no_diff() {
    let (fake, planctl) = service();
    fake.on(|_: CancelPlanRequest| {
        let plan = plan(PlanPhase::Execute, PlanState::Cancelled);
        let plan = Plan { head_commit: "abc".to_owned(), ..plan };
        let plan = with_problem(plan, "CANCELLED", "cancelled: not needed", &[]);
        Ok(CancelPlanResponse { plan: Some(plan) })
    });
    let answer = planctl.run(&["cancel", ID]).await.ended_with(0);
    let answer = answer.says(&["problem     cancelled: not needed\n"]);
    assert!(!answer.stdout.contains("planctl diff"), "{answer:#?}");
}

#[tokio::test]
async fn changes_are_listed_by_step() {
    let (fake, planctl) = service();
    fake.on(|request: ListChangesetsRequest| {
        let (step, next) = if request.page_token.is_empty() { ("one", "x") } else { ("two", "") };
        let change = Change {
            kind: ChangeKind::Renamed.into(),
            path: "caf\\303\\251".to_owned(),
            old_path: "old".to_owned(),
            ..Change::default()
        };
        let changeset = Changeset {
            step: step.to_owned(),
            commit: "0123456789abcdef".to_owned(),
            changes: vec![change],
            change_count: 1,
            ..Changeset::default()
        };
        Ok(ListChangesetsResponse { changesets: vec![changeset], next_page_token: next.to_owned() })
    });
    let answer = planctl.run(&["changes", ID]).await.ended_with(0);
    let each = |step| format!("{step} (0123456789ab): 1 file\n  R  old -> caf\\303\\251\n");
    assert_eq!(answer.stdout, format!("{}\n{}", each("one"), each("two")));
    let json = planctl.json(&["changes", ID]).await;
    assert_eq!(json["changesets"][1]["changes"][0]["kind"], "CHANGE_KIND_RENAMED");
}

#[tokio::test]
async fn a_plan_is_cancelled_or_told_to_stop() {
    let (fake, planctl) = service();
    fake.on(|_: CancelPlanRequest| {
        let plan = plan(PlanPhase::Strategize, PlanState::Cancelled);
        Ok(CancelPlanResponse { plan: Some(plan) })
    });
    let answer = planctl.run(&["cancel", ID, "--reason", "not needed"]).await.ended_with(0);
    answer.says(&["Cancelled.\n", "state       CANCELLED\n"]);
    assert_eq!(fake.asked::<CancelPlanRequest>()[0].reason, "not needed");
    fake.on(|_: CancelPlanRequest| {
        let running = executing(PlanState::Processing, &[]);
        Ok(CancelPlanResponse { plan: Some(Plan { cancel_requested: true, ..running }) })
    });
    let answer = planctl.run(&["cancel", ID]).await.ended_with(0);
    answer.says(&["Told to stop: `planctl status", "state       PROCESSING, told to stop\n"]);
}
