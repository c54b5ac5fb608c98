//! `planctl diagnostics`.

use proto::{
    plan::v1::{
        GetDiagnosticsRequest, GetDiagnosticsResponse, LockServerDiagnostics, PlanDiagnostics,
        PlanEvent, PlanPhase, PlanState, StateCount, StepTail,
    },
    plan_reason as reason,
};
use tonic::Code;

use super::{
    fake::Fake,
    support::{ID, Planctl, plan, refused, service, time},
};

fn answers(fake: &Fake, lock_server: LockServerDiagnostics) {
    fake.on(move |request: GetDiagnosticsRequest| {
        let event = PlanEvent {
            event_time: time(1),
            phase: PlanPhase::Execute.into(),
            state: PlanState::Processing.into(),
            fencing_token: 9,
            instance: "a-1".to_owned(),
            ..PlanEvent::default()
        };
        let tail = StepTail {
            step: "build".to_owned(),
            data: b"the end\x07\n".to_vec(),
            ..StepTail::default()
        };
        let plan = request.plan_id.map(|_| PlanDiagnostics {
            plan: Some(plan(PlanPhase::Execute, PlanState::Processing)),
            events: vec![event],
            tails: vec![tail],
            ..PlanDiagnostics::default()
        });
        let count = StateCount {
            phase: PlanPhase::Apply.into(),
            state: PlanState::Applied.into(),
            count: 3,
        };
        Ok(GetDiagnosticsResponse {
            instance: "a-1".to_owned(),
            version: "0.1.0".to_owned(),
            store: "postgres".to_owned(),
            lock_server: Some(lock_server.clone()),
            plans: vec![count],
            active_runs: 2,
            plan,
        })
    });
}

fn well() -> LockServerDiagnostics {
    LockServerDiagnostics { reachable: true, ..LockServerDiagnostics::default() }
}

#[tokio::test]
async fn all_is_well() {
    let (fake, planctl) = service();
    answers(&fake, well());
    planctl.run(&["diagnostics"]).await.ended_with(0).says(&[
        &format!("service     {}\n", fake.url()),
        "reachable   yes (in ",
        "instance    a-1\nversion     0.1.0\nstore       postgres\nruns        2 under way here\n",
        "lock server yes\nstale       0 locks of plans, 0 locks of projects\n",
        "APPLY  APPLIED  3\n",
        "All is well.\n",
    ]);
    let json = planctl.json(&["diagnostics"]).await;
    assert_eq!(json["service"]["reachable"], true);
    assert_eq!(json["diagnostics"]["lock_server"]["stale_plan_locks"], 0);
    assert_eq!(json["diagnostics"]["plans"][0]["state"], "PLAN_STATE_APPLIED");
    assert_eq!(json["needs_attention"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_plan_is_shown_from_near() {
    let (fake, planctl) = service();
    answers(&fake, well());
    planctl.run(&["diagnostics", ID]).await.ended_with(0).says(&[
        &format!("plan        {ID}\n"),
        "Lock\n  not held\n",
        "2026-01-02T03:04:01Z  EXECUTE  PROCESSING  9      a-1\n",
        "What build wrote\n  the end\\u{7}\n",
    ]);
    let json = planctl.json(&["diagnostics", ID]).await;
    assert_eq!(json["diagnostics"]["plan"]["events"][0]["fencing_token"], 9);
    fake.on(|_: GetDiagnosticsRequest| -> Result<GetDiagnosticsResponse, _> {
        Err(refused(Code::NotFound, reason::PLAN_NOT_FOUND, &[("plan_id", ID)]))
    });
    planctl.run(&["diagnostics", ID]).await.ended_with(3).complains(&["PLAN_NOT_FOUND"]);
}

#[tokio::test]
async fn what_needs_attention_ends_with_2() {
    let (fake, planctl) = service();
    let away = LockServerDiagnostics { error: "refused".to_owned(), ..Default::default() };
    let stale = LockServerDiagnostics { stale_plan_locks: 2, ..well() };
    for (lock_server, words) in [
        (away, "needs attention: plan-service cannot reach its lock server: refused"),
        (stale, "needs attention: 2 stale locks"),
    ] {
        answers(&fake, lock_server);
        planctl.run(&["diagnostics"]).await.ended_with(2).says(&[words]);
    }
}

#[tokio::test]
async fn a_lock_is_free_only_where_somebody_could_tell() {
    let (fake, planctl) = service();
    let away = LockServerDiagnostics { error: "refused".to_owned(), ..Default::default() };
    for (lock_server, state, words, code) in [
        (away, PlanState::Complete, "Lock\n  not known: refused\n", 2),
        (well(), PlanState::Complete, "Lock\n  not held\n", 0),
    ] {
        fake.on(move |_: GetDiagnosticsRequest| {
            let plan = PlanDiagnostics {
                plan: Some(plan(PlanPhase::Execute, state)),
                lock_error: lock_server.error.clone(),
                ..PlanDiagnostics::default()
            };
            Ok(GetDiagnosticsResponse {
                lock_server: Some(lock_server.clone()),
                plan: Some(plan),
                ..GetDiagnosticsResponse::default()
            })
        });
        planctl.run(&["diagnostics", ID]).await.ended_with(code).says(&[words]);
    }
}

#[tokio::test]
async fn stale_locks_are_of_runs_or_of_anybody() {
    let (fake, planctl) = service();
    answers(&fake, LockServerDiagnostics { stale_plan_locks: 1, ..well() });
    let answer = planctl.run(&["diagnostics"]).await.ended_with(2);
    assert!(!answer.stdout.contains("a minute"), "{answer:#?}");
    answer.says(&["--recovery-interval", "by hand", "`lockctl stale`"]);
}

#[tokio::test]
async fn a_service_that_cannot_serve_ends_with_69() {
    let nowhere = Planctl::at("http://127.0.0.1:1");
    let answer = nowhere.run(&["diagnostics"]).await.ended_with(69);
    answer.says(&["reachable   no\n", "http://127.0.0.1:1 cannot be reached", "Is plan-service"]);
    let answer = nowhere.run(&["diagnostics", "--output", "json"]).await.ended_with(69);
    assert_eq!(answer.json()["service"]["reachable"], false);
    let (fake, planctl) = service();
    fake.on(|_: GetDiagnosticsRequest| -> Result<GetDiagnosticsResponse, _> {
        Err(refused(Code::Unavailable, reason::STORE_UNAVAILABLE, &[]))
    });
    let answer = planctl.run(&["diagnostics"]).await.ended_with(69);
    answer.says(&["reachable   yes\n", "cannot serve: STORE_UNAVAILABLE"]);
}
