//! What somebody at a terminal sees.

use std::sync::{Mutex, mpsc};

use proto::plan::v1::{
    ExecutePlanRequest, ExecutePlanResponse, GetDiagnosticsRequest, GetDiffRequest,
    GetDiffResponse, GetPlanRequest, GetPlanResponse, LockView, Plan, PlanState, StepState,
    WatchPlanRequest,
};

use super::{
    fake::Fake,
    support::{DEADLINE, ID, executing, service, time, told, with_moves, wrote},
};

/// The plan as it is found, with its lock where that is asked for.
fn finds(fake: &Fake, plan: &Plan, lock: Option<LockView>, lock_error: &'static str) {
    let plan = plan.clone();
    fake.on(move |request: GetPlanRequest| {
        let plan = Some(plan.clone());
        Ok(match request.with_lock {
            true => GetPlanResponse { plan, lock: lock.clone(), lock_error: lock_error.to_owned() },
            false => GetPlanResponse { plan, ..GetPlanResponse::default() },
        })
    });
}

fn held() -> LockView {
    LockView {
        owner_id: "owner-7".to_owned(),
        fencing_token: 12,
        expire_time: time(60),
        ..LockView::default()
    }
}

fn steps(state: PlanState, a: StepState, b: StepState) -> Plan {
    executing(state, &[("fmt", a), ("build", b)])
}

#[tokio::test]
async fn the_status_of_a_plan_that_runs_is_drawn_over_in_place() {
    let (running, waiting, complete) =
        (StepState::Running, StepState::Waiting, StepState::Complete);
    for follow in ["", "--follow"] {
        let (fake, planctl) = service();
        let begun = steps(PlanState::Processing, running, waiting);
        finds(&fake, &begun, Some(held()), "");
        let watch = fake.on_watch();
        watch.send(told(&begun)).unwrap();
        let mut terminal =
            planctl.on_terminal(&format!("$PLANCTL status {ID} {follow}; echo ended $?"));
        terminal.shows("0 of 2 steps, 0 %").await;
        terminal.shows("lock  held by owner-7, expires 2026-01-02T03:05:00Z").await;
        watch.send(told(&steps(PlanState::Processing, complete, running))).unwrap();
        terminal.shows("1 of 2 steps, 50 %").await;
        let end = with_moves(steps(PlanState::Complete, complete, complete), &["apply"]);
        watch.send(told(&end)).unwrap();
        drop(watch);
        terminal.shows("ended 0").await;
        terminal.ends().await;
        let screen = terminal.screen();
        assert!(screen.contains("\u{1b}[6A\r\u{1b}[J\u{1b}[?7l"), "{screen:?}");
        assert!(!screen.contains("not held"), "{screen:?}");
        let (_, last) = screen.rsplit_once("\u{1b}[?7l").unwrap();
        assert!(last.contains("2 of 2 steps, 100 %"), "{screen:?}");
        assert!(last.contains("\u{1b}[?7h"), "{screen:?}");
        assert!(last.contains(&format!("planctl apply {ID}")), "{screen:?}");
        // The whole history and all tails are not read for the lock alone.
        assert!(fake.asked::<GetDiagnosticsRequest>().is_empty());
    }
}

#[tokio::test]
async fn the_live_view_says_of_the_lock_only_what_is_known() {
    let (running, waiting) = (StepState::Running, StepState::Waiting);
    let begun = steps(PlanState::Processing, running, waiting);
    for (error, words) in [
        ("no answer within 3s\u{1b}[2J", "not known\u{1b}[0m: no answer within 3s\\u{1b}[2J"),
        ("", "lock  not held"),
    ] {
        let (fake, planctl) = service();
        finds(&fake, &begun, None, error);
        let watch = fake.on_watch();
        watch.send(told(&begun)).unwrap();
        let mut terminal = planctl.on_terminal(&format!("$PLANCTL status {ID}; echo ended $?"));
        terminal.shows(words).await;
        watch.send(told(&steps(PlanState::Complete, running, waiting))).unwrap();
        drop(watch);
        terminal.ends().await;
        let screen = terminal.screen();
        assert_eq!(screen.contains("not held"), error.is_empty(), "{screen:?}");
    }
}

#[tokio::test]
async fn nothing_is_said_of_the_lock_before_it_is_known() {
    let (fake, planctl) = service();
    let begun = steps(PlanState::Processing, StepState::Running, StepState::Waiting);
    let (answer, asked) = mpsc::channel::<()>();
    let asked = Mutex::new(asked);
    let found = begun.clone();
    fake.on(move |request: GetPlanRequest| {
        if request.with_lock {
            // Until the test lets it go.
            let _ = asked.lock().unwrap().recv_timeout(DEADLINE);
        }
        Ok(GetPlanResponse { plan: Some(found.clone()), lock: Some(held()), ..Default::default() })
    });
    let watch = fake.on_watch();
    watch.send(told(&begun)).unwrap();
    let terminal = planctl.on_terminal(&format!("$PLANCTL status {ID}; echo ended $?"));
    terminal.shows("0 of 2 steps, 0 %").await;
    assert!(!terminal.screen().contains("lock  "), "{:?}", terminal.screen());
    drop(answer);
    terminal.shows("lock  held by owner-7").await;
}

#[tokio::test]
async fn a_card_is_had_where_nothing_is_to_be_followed() {
    let (fake, planctl) = service();
    let (running, waiting) = (StepState::Running, StepState::Waiting);
    let begun = steps(PlanState::Processing, running, waiting);
    finds(&fake, &begun, Some(held()), "");
    for (script, words) in [
        ("$PLANCTL status --once", "lock        held by owner-7"),
        ("$PLANCTL status --output json", "\"lock_error\": null"),
        ("TERM=dumb $PLANCTL status", "lock        held by owner-7"),
        ("$PLANCTL status | cat", "state       PROCESSING"),
    ] {
        let script = script.replace("status", &format!("status {ID}"));
        let mut terminal = planctl.on_terminal(&format!("{script}; echo ended $?"));
        terminal.shows("ended 0").await;
        terminal.ends().await;
        assert!(terminal.screen().contains(words), "{script}: {:?}", terminal.screen());
    }
    // It rests: how it stands, and 0 whatever that is.
    finds(&fake, &steps(PlanState::Errored, StepState::Failed, waiting), None, "");
    let mut terminal = planctl.on_terminal(&format!("$PLANCTL status {ID}; echo ended $?"));
    terminal.shows("ended 0").await;
    terminal.ends().await;
    assert!(terminal.screen().contains("lock        not held"), "{:?}", terminal.screen());
    assert!(fake.asked::<WatchPlanRequest>().is_empty());
}

#[tokio::test]
async fn ctrl_c_leaves_the_view_as_it_is() {
    let (fake, planctl) = service();
    let begun = executing(PlanState::Processing, &[("fmt", StepState::Running)]);
    finds(&fake, &begun, None, "");
    let watch = fake.on_watch();
    watch.send(told(&begun)).unwrap();
    let script = format!("trap : INT; $PLANCTL status {ID} -w; echo ended $?");
    let mut terminal = planctl.on_terminal(&script);
    terminal.shows("0 of 1 step, 0 %").await;
    terminal.types("\u{3}");
    terminal.shows("the plan goes on").await;
    terminal.shows("ended 130").await;
}

#[tokio::test]
async fn ctrl_c_does_not_wait_for_a_service_that_is_silent() {
    for command in ["status", "watch"] {
        let (fake, planctl) = service();
        let (asked, is_asked) = mpsc::channel();
        let (_end, ended) = mpsc::channel::<()>();
        let ended = Mutex::new(ended);
        fake.on(move |_: GetPlanRequest| {
            asked.send(()).unwrap();
            // Until the test is over.
            let _ = ended.lock().unwrap().recv();
            Ok(GetPlanResponse::default())
        });
        let script = format!("trap : INT; $PLANCTL {command} {ID}; echo ended $?");
        let mut terminal = planctl.on_terminal(&script);
        is_asked.recv_timeout(DEADLINE).expect("it asks");
        terminal.types("\u{3}");
        terminal.shows("ended 130").await;
    }
}

#[tokio::test]
async fn what_steps_write_moves_no_terminal() {
    let (fake, planctl) = service();
    let running = executing(PlanState::Processing, &[("fmt", StepState::Running)]);
    let begun = running.clone();
    fake.on(move |_: ExecutePlanRequest| Ok(ExecutePlanResponse { plan: Some(begun.clone()) }));
    let watch = fake.on_watch();
    watch.send(told(&running)).unwrap();
    watch.send(wrote("fmt", 0, b"\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07\ttab\r\n")).unwrap();
    watch.send(told(&executing(PlanState::Complete, &[("fmt", StepState::Complete)]))).unwrap();
    drop(watch);
    let mut terminal =
        planctl.on_terminal(&format!("$PLANCTL execute {ID} --watch; echo ended $?"));
    terminal.shows("ended 0").await;
    terminal.ends().await;
    let screen = terminal.screen();
    let expected = "\u{1b}[31mred\u{1b}[0m \\u{1b}[2J\\u{1b}]0;title\\u{7}\ttab\r\n";
    assert!(screen.contains(expected), "{screen:?}");
}

#[tokio::test]
async fn a_diff_is_coloured_unless_that_is_not_wanted() {
    let (fake, planctl) = service();
    fake.on(|_: GetDiffRequest| {
        let patch = "diff --git a/a b/a\n@@ -1 +1 @@\n-x\n+y\u{1b}[2J\n".to_owned();
        // Never what somebody sees.
        let raw_patch = b"\x1b[2J\xff".to_vec();
        Ok(GetDiffResponse { patch, raw_patch, ..GetDiffResponse::default() })
    });
    for (script, expected) in [
        ("$PLANCTL diff", "\u{1b}[32m+y\\u{1b}[2J\u{1b}[0m"),
        ("NO_COLOR=1 $PLANCTL diff", "\r\n+y\\u{1b}[2J\r\n"),
        ("$PLANCTL diff --color never", "\r\n+y\\u{1b}[2J\r\n"),
    ] {
        let mut terminal = planctl.on_terminal(&format!("{script} {ID}; echo ended $?"));
        terminal.shows("ended 0").await;
        terminal.ends().await;
        assert!(terminal.screen().contains(expected), "{script}: {:?}", terminal.screen());
    }
}
