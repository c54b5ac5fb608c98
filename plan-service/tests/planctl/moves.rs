//! `planctl execute`, `apply`, `revert`, `retry` and `cancel`, without looking on.

use std::sync::{Mutex, mpsc};

use proto::{
    plan::v1::{
        ApplyPlanRequest, ApplyPlanResponse, CancelPlanRequest, CancelPlanResponse,
        ExecutePlanRequest, ExecutePlanResponse, PlanPhase, PlanState, RetryPlanRequest,
        RetryPlanResponse, RevertPlanRequest, RevertPlanResponse, StepState,
    },
    plan_reason as reason,
};
use serde_json::json;
use tonic::Code;

use super::support::{
    DEADLINE, ID, conflict, executing, held_by, plan, refused, refused_with, service, with_problem,
};

#[tokio::test]
async fn each_move_is_asked_for_and_its_plan_shown() {
    let (fake, planctl) = service();
    let running = || Some(executing(PlanState::Processing, &[("fmt", StepState::Waiting)]));
    fake.on(move |_: ExecutePlanRequest| Ok(ExecutePlanResponse { plan: running() }));
    fake.on(move |_: RetryPlanRequest| Ok(RetryPlanResponse { plan: running() }));
    fake.on(|_: ApplyPlanRequest| {
        Ok(ApplyPlanResponse { plan: Some(plan(PlanPhase::Apply, PlanState::Processing)) })
    });
    fake.on(|_: RevertPlanRequest| {
        Ok(RevertPlanResponse { plan: Some(plan(PlanPhase::Strategize, PlanState::Processing)) })
    });
    let follow = format!("`planctl status {ID} --follow` shows it.\n");
    for (command, words) in [
        ("execute", "The steps are being run."),
        ("retry", "The phase is being run again."),
        ("apply", "The plan is being applied."),
        ("revert", "The plan is going back to a new strategy."),
    ] {
        let answer = planctl.run(&[command, ID]).await.ended_with(0);
        let answer = answer.says(&[words, &follow, "state       PROCESSING\n"]);
        assert_eq!(answer.stderr, "");
        let json = planctl.json(&[command, ID]).await;
        assert_eq!(json["plan"]["state"], "PLAN_STATE_PROCESSING");
    }
    assert_eq!(fake.asked::<ExecutePlanRequest>()[0].plan_id, ID);
    assert_eq!(fake.asked::<ApplyPlanRequest>()[0].project_wait, None);
}

#[tokio::test]
async fn a_plan_that_rests_already_is_told_as_it_is() {
    let (fake, planctl) = service();
    for (state, reason, code) in [
        (PlanState::Errored, "PROJECT_UNUSABLE", 1),
        (PlanState::Constrained, "MERGE_CONFLICT", 1),
        (PlanState::Errored, "LOCK_LOST", 76),
    ] {
        fake.on(move |_: RevertPlanRequest| {
            let plan = with_problem(plan(PlanPhase::Strategize, state), reason, "why", &[]);
            Ok(RevertPlanResponse { plan: Some(plan) })
        });
        let answer = planctl.run(&["revert", ID]).await.ended_with(code);
        assert!(answer.stdout.starts_with("plan  "), "{answer:#?}");
        let word = state.as_str_name().trim_start_matches("PLAN_STATE_");
        answer.complains(&[&format!("error: STRATEGIZE {word}: {reason}: why\n")]);
        assert_eq!(planctl.error(&["revert", ID], code).await["reason"], reason);
    }
    fake.on(|_: RevertPlanRequest| {
        let plan = plan(PlanPhase::Strategize, PlanState::Complete);
        Ok(RevertPlanResponse { plan: Some(plan) })
    });
    let answer = planctl.run(&["revert", ID]).await.ended_with(0);
    assert!(!answer.stdout.contains("going back"), "{answer:#?}");
    assert_eq!(answer.stderr, "");
}

#[tokio::test]
async fn the_wait_for_the_project_is_sent_and_told() {
    let (fake, planctl) = service();
    let (grant, granted) = mpsc::channel();
    let granted = Mutex::new(granted);
    fake.on(move |_: ApplyPlanRequest| {
        granted.lock().unwrap().recv_timeout(DEADLINE).expect("the test grants it");
        Ok(ApplyPlanResponse { plan: Some(plan(PlanPhase::Apply, PlanState::Processing)) })
    });
    // The wait comes on top of the time for an answer.
    let mut apply = planctl.start(&["apply", ID, "--wait", "5m", "--timeout", "300ms"]);
    let waiting = "planctl: waiting in line for the project's lock, for 5m at most";
    apply.wait_for_line(|line| line == waiting, DEADLINE).await;
    grant.send(()).unwrap();
    assert_eq!(apply.wait(DEADLINE).await.code(), Some(0), "{}", apply.output());
    let sent = fake.asked::<ApplyPlanRequest>()[0].project_wait.unwrap();
    assert_eq!(sent.seconds, 300);
}

#[tokio::test]
async fn a_wait_that_is_over_ends_with_75() {
    let (fake, planctl) = service();
    fake.on(|_: RetryPlanRequest| -> Result<RetryPlanResponse, _> {
        Err(conflict("project/sample"))
    });
    let answer = planctl.run(&["retry", ID, "--wait", "1s"]).await.ended_with(75);
    answer.complains(&["error: project/sample is held by owner-7\n", "--wait 5m"]);
    assert_eq!(fake.asked::<RetryPlanRequest>()[0].project_wait.unwrap().seconds, 1);
}

#[tokio::test]
async fn a_conflict_ends_with_75_and_says_who_is_in_the_way() {
    let (fake, planctl) = service();
    fake.on(|_: ExecutePlanRequest| -> Result<ExecutePlanResponse, _> {
        Err(conflict(&format!("plan/{ID}")))
    });
    for arguments in [&["execute", ID][..], &["execute", ID, "--watch"]] {
        let answer = planctl.run(arguments).await.ended_with(75);
        assert_eq!(answer.stdout, "");
        answer.complains(&[
            &format!("error: plan/{ID} is held by owner-7\n"),
            "since     2026-01-02T03:04:05Z\n",
            "expires   2026-01-02T03:09:05Z (in 1m 30s)\n",
            "metadata  instance=b-2\n",
            &format!("`planctl status {ID} --follow` shows it"),
        ]);
    }
    let error = planctl.error(&["execute", ID], 75).await;
    assert_eq!(error["reason"], "LOCK_CONFLICT");
    assert_eq!(error["metadata"]["holder"], "owner-7");
    assert_eq!(error["metadata"]["holder.instance"], "b-2");
    assert_eq!(error["metadata"]["expire_time"], "2026-01-02T03:09:05Z");
}

#[tokio::test]
async fn a_lock_that_is_held_by_hand_is_not_called_a_run() {
    let (fake, planctl) = service();
    let plan = format!("plan/{ID}");
    let resource = plan.clone();
    fake.on(move |_: ExecutePlanRequest| -> Result<ExecutePlanResponse, _> {
        Err(held_by(&resource, &[("holder.job", "x")]))
    });
    fake.on(|_: ApplyPlanRequest| -> Result<ApplyPlanResponse, _> {
        Err(held_by("project/sample", &[]))
    });
    let answer = planctl.run(&["execute", ID]).await.ended_with(75);
    assert!(!answer.stderr.contains("run works"), "{answer:#?}");
    assert!(!answer.stderr.contains("cancel"), "{answer:#?}");
    answer.complains(&["by hand", &format!("`lockctl get {plan}` shows it")]);
    let answer = planctl.run(&["apply", ID]).await.ended_with(75);
    assert!(!answer.stderr.contains("Another plan"), "{answer:#?}");
    answer.complains(&["by hand", "`lockctl get project/sample` shows it", "--wait 5m"]);
    fake.on(|_: ApplyPlanRequest| -> Result<ApplyPlanResponse, _> {
        Err(held_by("project/sample", &[("holder.instance", "b-2"), ("holder.plan", "p-9")]))
    });
    let answer = planctl.run(&["apply", ID]).await.ended_with(75);
    answer.complains(&["Another plan is being applied to that project", "--wait 5m"]);
}

#[tokio::test]
async fn who_cannot_cancel_is_not_told_to_cancel() {
    let (fake, planctl) = service();
    for (holder, words) in [
        (&[][..], format!("`lockctl get plan/{ID}` shows it")),
        (&[("holder.move", "execute")], format!("`planctl status {ID} --follow` shows it")),
    ] {
        fake.on(move |_: CancelPlanRequest| -> Result<CancelPlanResponse, _> {
            Err(held_by(&format!("plan/{ID}"), holder))
        });
        let answer = planctl.run(&["cancel", ID]).await.ended_with(75);
        assert!(!answer.stderr.contains("planctl cancel"), "{answer:#?}");
        answer.complains(&[&words]);
    }
}

#[tokio::test]
async fn a_move_that_is_not_possible_says_what_is() {
    let (fake, planctl) = service();
    fake.on(|_: ExecutePlanRequest| -> Result<ExecutePlanResponse, _> {
        let metadata = [
            ("plan_id", ID),
            ("move", "execute"),
            ("phase", "EXECUTE"),
            ("state", "COMPLETE"),
            ("possible", "apply,revert,cancel"),
        ];
        Err(refused(Code::FailedPrecondition, reason::INVALID_TRANSITION, &metadata))
    });
    let answer = planctl.run(&["execute", ID]).await.ended_with(81);
    let commands = ["apply", "revert", "cancel"].map(|it| format!("  planctl {it} {ID}\n"));
    answer.complains(&["error: the service says", &commands.concat()]);
    let error = planctl.error(&["execute", ID], 81).await;
    assert_eq!(error["metadata"]["possible"], "apply,revert,cancel");
    // As a plan has them in JSON.
    assert_eq!(error["metadata"]["phase"], "PLAN_PHASE_EXECUTE");
    assert_eq!(error["metadata"]["state"], "PLAN_STATE_COMPLETE");
}

#[tokio::test]
async fn uncommitted_changes_are_listed() {
    let (fake, planctl) = service();
    fake.on(|_: ApplyPlanRequest| -> Result<ApplyPlanResponse, _> {
        let word = reason::UNCOMMITTED_CHANGES;
        Err(refused_with(Code::FailedPrecondition, word, &[], |details| {
            details.add_precondition_failure_violation(word, "src/a.rs", "is changed");
            details.add_precondition_failure_violation(word, "b\u{1b}[2J", "is changed");
        }))
    });
    let answer = planctl.run(&["apply", ID]).await.ended_with(81);
    answer.complains(&["  src/a.rs\n  b\\u{1b}[2J\n"]);
    // Programs get all that people get.
    let error = planctl.error(&["apply", ID], 81).await;
    assert_eq!(error["metadata"]["files"], json!(["src/a.rs", "b\u{1b}[2J"]));
}
