//! What somebody at a terminal sees.

use proto::plan::v1::{
    ExecutePlanRequest, ExecutePlanResponse, GetDiagnosticsRequest, GetDiagnosticsResponse,
    GetDiffRequest, GetDiffResponse, GetPlanRequest, GetPlanResponse, LockView, PlanDiagnostics,
    PlanState, StepState,
};

use super::support::{ID, executing, service, time, told, with_moves, wrote};

#[tokio::test]
async fn a_followed_status_is_drawn_over_in_place() {
    let (fake, planctl) = service();
    let steps = |state, a, b| executing(state, &[("fmt", a), ("build", b)]);
    let (running, waiting, complete) =
        (StepState::Running, StepState::Waiting, StepState::Complete);
    let begun = steps(PlanState::Processing, running, waiting);
    let found = begun.clone();
    fake.on(move |_: GetPlanRequest| Ok(GetPlanResponse { plan: Some(found.clone()) }));
    fake.on(|_: GetDiagnosticsRequest| {
        let lock = LockView {
            owner_id: "owner-7".to_owned(),
            fencing_token: 12,
            expire_time: time(60),
            ..LockView::default()
        };
        let plan = PlanDiagnostics { lock: Some(lock), ..PlanDiagnostics::default() };
        Ok(GetDiagnosticsResponse { plan: Some(plan), ..GetDiagnosticsResponse::default() })
    });
    let watch = fake.on_watch();
    watch.send(told(&begun)).unwrap();
    let mut terminal =
        planctl.on_terminal(&format!("$PLANCTL status {ID} --follow; echo ended $?"));
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
    let (_, last) = screen.rsplit_once("\u{1b}[?7l").unwrap();
    assert!(last.contains("2 of 2 steps, 100 %"), "{screen:?}");
    assert!(last.contains("\u{1b}[?7h"), "{screen:?}");
    assert!(last.contains(&format!("planctl apply {ID}")), "{screen:?}");
}

#[tokio::test]
async fn ctrl_c_leaves_the_view_as_it_is() {
    let (fake, planctl) = service();
    let begun = executing(PlanState::Processing, &[("fmt", StepState::Running)]);
    let found = begun.clone();
    fake.on(move |_: GetPlanRequest| Ok(GetPlanResponse { plan: Some(found.clone()) }));
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
        Ok(GetDiffResponse { patch, ..GetDiffResponse::default() })
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
