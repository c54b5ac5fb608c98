//! `--watch`, `watch` and `status --follow`, where nobody looks at a terminal.

use proto::plan::v1::{
    ApplyPlanRequest, ApplyPlanResponse, ExecutePlanRequest, ExecutePlanResponse, GetPlanRequest,
    GetPlanResponse, Plan, PlanPhase, PlanState, StepOutput, StepState, WatchPlanRequest,
    WatchPlanResponse, watch_plan_response::Event,
};
use serde_json::Value;
use service_kit::testing::{Process, Signal};
use tonic::{Code, Status};

use super::{
    fake::Fake,
    support::{
        DEADLINE, ID, executing, plan, refused, service, told, with_moves, with_problem, wrote,
    },
};

/// Execution begins with this plan, and that is what there is.
fn executes(fake: &Fake, begun: &Plan) {
    let (answer, found) = (begun.clone(), begun.clone());
    fake.on(move |_: ExecutePlanRequest| Ok(ExecutePlanResponse { plan: Some(answer.clone()) }));
    fake.on(move |_: GetPlanRequest| {
        Ok(GetPlanResponse { plan: Some(found.clone()), ..Default::default() })
    });
}

fn one(state: PlanState, step: StepState) -> Plan {
    executing(state, &[("fmt", step)])
}

async fn line(process: &mut Process, text: &str) -> String {
    process.wait_for_line(|line| line.contains(text), DEADLINE).await
}

#[tokio::test]
async fn the_steps_own_bytes_come_through_and_then_the_final_state() {
    let (fake, planctl) = service();
    executes(&fake, &one(PlanState::Processing, StepState::Waiting));
    let watch = fake.on_watch();
    watch.send(told(&one(PlanState::Processing, StepState::Running))).unwrap();
    watch.send(wrote("fmt", 0, b"\x1b[32mok\x1b[0m \xff\r")).unwrap();
    watch.send(wrote("fmt", 14, b"\x1b[2J\n")).unwrap();
    let complete = one(PlanState::Complete, StepState::Complete);
    let complete = Plan { head_commit: "abc".to_owned(), ..complete };
    watch.send(told(&with_moves(complete, &["apply"]))).unwrap();
    drop(watch);
    let answer = planctl.run(&["execute", ID, "--watch"]).await.ended_with(0);
    let summary = format!(
        "EXECUTE COMPLETE, 1 of 1 step in 3.0s\n\nPossible next\n  planctl diff {ID}\n  planctl \
         apply {ID}\n"
    );
    let written = b"\x1b[32mok\x1b[0m \xff\r\x1b[2J\n";
    assert_eq!(answer.bytes, [&written[..], summary.as_bytes()].concat(), "{answer:#?}");
    let notes = "planctl: EXECUTE PROCESSING\nplanctl: step fmt RUNNING\n\
                 planctl: step fmt COMPLETE in 3.0s\nplanctl: EXECUTE COMPLETE\n";
    assert_eq!(answer.stderr, notes);
    assert!(fake.asked::<WatchPlanRequest>()[0].until_rest);
}

#[tokio::test]
async fn lines_of_several_steps_have_their_names() {
    let (fake, planctl) = service();
    let steps = |state, a, b| executing(state, &[("a", a), ("b", b)]);
    let (running, complete) = (StepState::Running, StepState::Complete);
    executes(&fake, &steps(PlanState::Processing, complete, StepState::Waiting));
    let watch = fake.on_watch();
    // What a run before has written is told with the rest.
    watch.send(wrote("a", 0, b"of before\n")).unwrap();
    watch.send(told(&steps(PlanState::Processing, complete, running))).unwrap();
    watch.send(wrote("b", 0, b"one\ntw")).unwrap();
    watch.send(wrote("b", 6, b"o")).unwrap();
    watch.send(told(&steps(PlanState::Complete, complete, complete))).unwrap();
    drop(watch);
    let answer = planctl.run(&["execute", ID, "--watch"]).await.ended_with(0);
    assert!(answer.stdout.starts_with("b | one\nb | two\nEXECUTE COMPLETE"), "{answer:#?}");
    assert!(!answer.stderr.contains("step a"), "it ran before: {answer:#?}");
}

#[tokio::test]
async fn a_plan_that_rests_badly_ends_with_1_or_76_and_says_why() {
    let (fake, planctl) = service();
    executes(&fake, &one(PlanState::Processing, StepState::Waiting));
    for (reason, code) in [("STEP_FAILED", 1), ("LOCK_LOST", 76)] {
        let errored = one(PlanState::Errored, StepState::Failed);
        let errored = with_problem(errored, reason, "why\u{1b}[2J", &["a.rs"]);
        let errored = with_moves(errored, &["retry", "cancel"]);
        let tell = || {
            let watch = fake.on_watch();
            watch.send(wrote("fmt", 0, b"half a line")).unwrap();
            watch.send(told(&errored)).unwrap();
        };
        tell();
        let answer = planctl.run(&["execute", ID, "--watch"]).await.ended_with(code);
        assert_eq!(answer.stdout, "half a line");
        answer.complains(&[
            "planctl: step fmt FAILED in 3.0s: exit code 3\n",
            &format!("error: EXECUTE ERRORED: {reason}: why\\u{{1b}}[2J\n  a.rs\n"),
            &format!("Possible:\n  planctl retry {ID}\n  planctl cancel {ID}\n"),
        ]);
        tell();
        let arguments = ["execute", ID, "--watch", "--output", "json"];
        let answer = planctl.run(&arguments).await.ended_with(code);
        let error = answer.error();
        assert_eq!(error["reason"], reason);
        assert_eq!(error["metadata"]["state"], "PLAN_STATE_ERRORED");
        let lines = answer.lines();
        assert_eq!(lines[0]["output"]["text"], "half a line");
        assert_eq!(lines[1]["plan"]["problem"]["files"][0], "a.rs");
    }
}

#[tokio::test]
async fn a_merge_that_conflicts_is_told_with_its_files() {
    let (fake, planctl) = service();
    fake.on(|_: ApplyPlanRequest| {
        Ok(ApplyPlanResponse { plan: Some(plan(PlanPhase::Apply, PlanState::Processing)) })
    });
    let constrained = plan(PlanPhase::Apply, PlanState::Constrained);
    let files: Vec<_> = (0..60).map(|at| format!("f{at}")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let watch = fake.on_watch();
    let constrained = with_problem(constrained, "MERGE_CONFLICT", "conflicts", &files);
    watch.send(told(&constrained)).unwrap();
    drop(watch);
    let answer = planctl.run(&["apply", ID, "--watch"]).await.ended_with(1);
    answer.complains(&[
        "error: APPLY CONSTRAINED: MERGE_CONFLICT: conflicts\n  f0\n",
        "  f39\n  and 20 more",
    ]);
    let watch = fake.on_watch();
    watch.send(told(&constrained)).unwrap();
    drop(watch);
    let arguments = ["apply", ID, "--watch", "--output", "json"];
    let error = planctl.run(&arguments).await.ended_with(1).error();
    assert_eq!(error["metadata"]["files"], Value::from(files));
}

#[tokio::test]
async fn ctrl_c_ends_the_looking_on_and_not_the_plan() {
    let (fake, planctl) = service();
    let running = one(PlanState::Processing, StepState::Running);
    executes(&fake, &running);
    for arguments in [
        &["execute", ID, "--watch"][..],
        &["watch", ID],
        &["status", ID, "--follow"],
        &["execute", ID, "--watch", "--output", "json"],
    ] {
        let watch = fake.on_watch();
        watch.send(told(&running)).unwrap();
        let mut process = planctl.start(arguments);
        line(&mut process, "RUNNING").await;
        process.signal(Signal::SIGINT);
        assert_eq!(process.wait(DEADLINE).await.code(), Some(130), "{}", process.output());
        let output = process.output();
        assert!(output.contains("the plan goes on: `planctl status"), "{output}");
        let json = output.lines().any(|line| {
            serde_json::from_str(line)
                .is_ok_and(|it: Value| it["warning"]["reason"] == "INTERRUPTED")
        });
        assert_eq!(json, arguments.contains(&"json"), "{output}");
    }
}

#[tokio::test]
async fn a_service_that_goes_away_is_asked_again_and_nothing_is_told_twice() {
    let (fake, planctl) = service();
    let running = one(PlanState::Processing, StepState::Running);
    executes(&fake, &running);
    let watch = fake.on_watch();
    watch.send(told(&running)).unwrap();
    watch.send(wrote("fmt", 0, b"one\ntwo\n")).unwrap();
    let mut process = planctl.start(&["execute", ID, "--watch"]);
    line(&mut process, "two").await;
    watch.send(Err(refused(Code::Unavailable, "SHUTTING_DOWN", &[]))).unwrap();
    line(&mut process, "planctl: plan-service went away (it is shutting down); asking again").await;
    let watch = fake.on_watch();
    // All that is kept comes again, and before the plan.
    watch.send(wrote("fmt", 0, b"one\ntwo\nthree\n")).unwrap();
    watch.send(told(&running)).unwrap();
    line(&mut process, "three").await;
    watch.send(told(&one(PlanState::Complete, StepState::Complete))).unwrap();
    drop(watch);
    assert_eq!(process.wait(DEADLINE).await.code(), Some(0), "{}", process.output());
    let output = process.output();
    for word in ["one", "two", "three", "asking again", "step fmt RUNNING"] {
        assert_eq!(output.matches(word).count(), 1, "{word}: {output}");
    }
}

#[tokio::test]
async fn a_service_that_stays_away_ends_it_with_69() {
    let (fake, planctl) = service();
    let running = one(PlanState::Processing, StepState::Running);
    executes(&fake, &running);
    let watch = fake.on_watch();
    watch.send(told(&running)).unwrap();
    watch.send(Err(Status::unavailable("went away"))).unwrap();
    let arguments = ["execute", ID, "--watch", "--timeout", "700ms", "--output", "json"];
    let answer = planctl.run(&arguments).await.ended_with(69);
    assert!(answer.lines().iter().any(|it| it["interrupted"]["reason"] == "UNAVAILABLE"));
    assert_eq!(answer.error()["reason"], "UNAVAILABLE");
    let watch = fake.on_watch();
    watch.send(told(&running)).unwrap();
    drop(watch);
    let answer = planctl.run(&arguments[..5]).await.ended_with(69);
    answer.complains(&[
        "planctl: plan-service went away (it has ended the watch); asking again\n",
        &format!("`planctl status {ID}` tells"),
    ]);
}

#[tokio::test]
async fn a_watch_tells_everything_until_the_plan_is_final() {
    let (fake, planctl) = service();
    let running = one(PlanState::Processing, StepState::Running);
    executes(&fake, &running);
    let watch = fake.on_watch();
    for event in [
        told(&running),
        wrote("fmt", 0, b"no end of line"),
        told(&one(PlanState::Complete, StepState::Complete)),
        told(&Plan {
            phase: PlanPhase::Apply.into(),
            ..one(PlanState::Applied, StepState::Complete)
        }),
    ] {
        watch.send(event).unwrap();
    }
    drop(watch);
    let answer = planctl.run(&["watch", ID]).await.ended_with(0);
    let at = "2026-01-02T03:04:05Z  ";
    let expected = format!(
        "{at}EXECUTE PROCESSING\n{at}step fmt RUNNING\nno end of line\n\
         {at}step fmt COMPLETE in 3.0s\n{at}EXECUTE COMPLETE\n{at}APPLY APPLIED\n"
    );
    assert_eq!(answer.stdout, expected);
    assert!(!fake.asked::<WatchPlanRequest>()[0].until_rest);
}

#[tokio::test]
async fn a_followed_status_is_a_line_for_each_change() {
    let (fake, planctl) = service();
    let running = one(PlanState::Processing, StepState::Running);
    executes(&fake, &running);
    let watch = fake.on_watch();
    watch.send(told(&running)).unwrap();
    watch.send(wrote("fmt", 0, b"not shown\n")).unwrap();
    let complete = one(PlanState::Complete, StepState::Complete);
    watch.send(told(&with_moves(complete, &["apply"]))).unwrap();
    drop(watch);
    let answer = planctl.run(&["status", ID, "-w"]).await.ended_with(0);
    assert!(!answer.stdout.contains("not shown"), "{answer:#?}");
    answer.says(&[
        "2026-01-02T03:04:05Z  step fmt COMPLETE in 3.0s\n",
        &format!("Possible next\n  planctl apply {ID}\n"),
    ]);
}

#[tokio::test]
async fn programs_read_an_object_for_each_event() {
    let (fake, planctl) = service();
    let running = one(PlanState::Processing, StepState::Running);
    executes(&fake, &running);
    let watch = fake.on_watch();
    watch.send(told(&running)).unwrap();
    let output = StepOutput {
        step: "fmt".to_owned(),
        offset: 7,
        skipped_bytes: 7,
        data: b"\x1b[2J\xff".to_vec(),
        check: true,
        fencing_token: 12,
    };
    watch.send(Ok(WatchPlanResponse { event: Some(Event::Output(output)) })).unwrap();
    watch.send(Ok(WatchPlanResponse { event: Some(Event::Progress(Default::default())) })).unwrap();
    watch.send(told(&one(PlanState::Complete, StepState::Complete))).unwrap();
    drop(watch);
    let arguments = ["status", ID, "--follow", "--output", "json"];
    let answer = planctl.run(&arguments).await.ended_with(0);
    // Safe on a terminal, too.
    assert!(!answer.bytes.contains(&0x1b), "{answer:#?}");
    let lines = answer.lines();
    assert_eq!(lines[0]["plan"]["state"], "PLAN_STATE_PROCESSING");
    let output = &lines[1]["output"];
    assert_eq!((&output["offset"], &output["check"]), (&7.into(), &true.into()));
    assert_eq!(output["fencing_token"], 12);
    assert_eq!(output["data"], "G1sySv8=");
    assert_eq!(output["text"], "\u{1b}[2J\u{fffd}");
    assert_eq!(lines[2]["progress"]["steps_total"], 0);
    assert_eq!(lines[3]["plan"]["steps"][0]["exit_code"], 0);
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
async fn a_plan_that_is_not_there_is_not_watched() {
    let (fake, planctl) = service();
    fake.on(|_: GetPlanRequest| -> Result<GetPlanResponse, _> {
        Err(refused(Code::NotFound, "PLAN_NOT_FOUND", &[("plan_id", ID)]))
    });
    for arguments in [&["watch", ID][..], &["status", ID, "--follow"]] {
        planctl.run(arguments).await.ended_with(3).complains(&["PLAN_NOT_FOUND", "`planctl list`"]);
    }
}
