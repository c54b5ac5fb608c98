//! What goes wrong, with which exit code, and what is said about it.

use proto::{
    plan::v1::{
        CancelPlanRequest, CancelPlanResponse, ExecutePlanRequest, ExecutePlanResponse,
        GetPlanRequest, GetPlanResponse, ListPlansRequest, ListPlansResponse, UseActionRequest,
        UseActionResponse,
    },
    plan_reason as reason,
};
use serde_json::json;
use service_kit::testing::TcpProxy;
use tonic::{Code, Status};

use super::support::{ID, Planctl, refused, refused_with, service};

#[tokio::test]
async fn wrong_arguments_end_with_64_and_say_what_is_right() {
    let nowhere = Planctl::at("http://127.0.0.1:1");
    for (arguments, words) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&[], "Usage"),
        (&["project"], "Usage"),
        (&["use", "edit/x"], "--project"),
        (&["use", "edit/x", "--project", "p", "--arg", "x"], "KEY=VALUE"),
        (&["apply", ID, "--wait", "30"], "30s, 5m or 1h"),
        (&["apply", ID, "--wait", "-5s"], "negative"),
        (&["execute", ID, "--timeout", "0s"], "above zero"),
        (&["list", "--limit", "0"], "1.."),
        (&["list", "--phase", "done"], "strategize"),
        (&["action", "create"], "--file"),
        (&["list", "--addr", "localhost:1"], "http://HOST:PORT"),
        (&["list", "--addr", "foo://x"], "has the scheme foo; write http://HOST:PORT"),
        (&["diagnostics", "--addr", "https://localhost:1"], "http://HOST:PORT"),
    ] {
        nowhere.run(arguments).await.ended_with(64).complains(&[words]);
    }
    let error = nowhere.error(&["use", "edit/x"], 64).await;
    assert_eq!(error["reason"], "INVALID_ARGUMENTS");
}

#[tokio::test]
async fn a_service_that_is_not_there_ends_with_69_and_is_named() {
    let nowhere = Planctl::at("http://127.0.0.1:1");
    for arguments in [&["list"][..], &["execute", ID], &["watch", ID], &["status", ID]] {
        let answer = nowhere.run(arguments).await.ended_with(69);
        assert!(!answer.stderr.contains("all the same"), "{answer:#?}");
        answer.complains(&[
            "error: cannot reach plan-service: ",
            "Asked http://127.0.0.1:1. Is plan-service running there?",
            "PLANCTL_ADDR",
        ]);
    }
    let error = nowhere.error(&["list"], 69).await;
    assert_eq!(error["reason"], "UNAVAILABLE");
    assert_eq!(error["metadata"]["addresses"], "http://127.0.0.1:1");
}

#[tokio::test]
async fn what_a_silent_service_may_have_done_is_said() {
    let (fake, _) = service();
    let proxy = TcpProxy::start(fake.address()).await;
    let planctl = Planctl::at(format!("http://{}", proxy.address()));
    let begun = format!("It may have begun all the same: `planctl status {ID}` tells.");
    let used = format!("with --id {ID} makes no second one");
    fake.on(|_: ExecutePlanRequest| -> Result<ExecutePlanResponse, _> {
        Err(Status::unavailable("the connection went away"))
    });
    planctl.run(&["execute", ID]).await.ended_with(69).complains(&[&begun]);
    proxy.stall().await;
    for (arguments, words) in [
        (&["execute", ID][..], &begun),
        (&["apply", ID], &begun),
        (&["revert", ID], &begun),
        (&["cancel", ID], &format!("It may be cancelled all the same: `planctl status {ID}`")),
        (&["use", "edit/x", "--project", "p", "--id", ID], &used),
        (&["project", "add", "p", "/x"], &"It may be done all the same".to_owned()),
    ] {
        let arguments = [&["--timeout", "200ms"][..], arguments].concat();
        let answer = planctl.run(&arguments).await.ended_with(69);
        assert!(!answer.stderr.contains("Is plan-service running"), "{answer:#?}");
        answer.complains(&[words, "--timeout", "no answer from plan-service within 200ms"]);
    }
    let answer = planctl.run(&["list", "--timeout", "200ms"]).await.ended_with(69);
    assert!(!answer.stderr.contains("all the same"), "{answer:#?}");
}

#[tokio::test]
async fn it_is_said_what_of_the_service_is_away() {
    let (fake, planctl) = service();
    for (word, words) in [
        (reason::LOCK_SERVER_UNAVAILABLE, "plan-service runs, but cannot reach the lock server"),
        (reason::STORE_UNAVAILABLE, "runs, but not the database behind it"),
        (reason::SHUTTING_DOWN, "Try again in a moment, or name another one with --addr"),
    ] {
        fake.on(move |_: ExecutePlanRequest| -> Result<ExecutePlanResponse, _> {
            Err(refused(Code::Unavailable, word, &[]))
        });
        let answer = planctl.run(&["execute", ID]).await.ended_with(69);
        assert!(!answer.stderr.contains("Is plan-service running"), "{answer:#?}");
        let in_doubt = answer.stderr.contains("all the same");
        assert_eq!(in_doubt, word == reason::STORE_UNAVAILABLE, "{answer:#?}");
        answer.complains(&[words]);
    }
}

#[tokio::test]
async fn what_the_service_finds_wrong_is_listed_field_by_field() {
    let (fake, planctl) = service();
    fake.on(|_: UseActionRequest| -> Result<UseActionResponse, _> {
        Err(refused_with(Code::InvalidArgument, reason::INVALID_REQUEST, &[], |details| {
            details.add_bad_request_violation("arguments[\"from\"]", "is missing");
            details.add_bad_request_violation("project", "is not a name\u{1b}[2J");
        }))
    });
    let arguments = ["use", "edit/x", "--project", "P"];
    planctl.run(&arguments).await.ended_with(64).complains(&[
        "error: the request is not valid\n",
        "  arguments[\"from\"] is missing\n",
        "  project is not a name\\u{1b}[2J\n",
    ]);
    let error = planctl.error(&arguments, 64).await;
    let fields = json!({"arguments[\"from\"]": "is missing", "project": "is not a name\u{1b}[2J"});
    assert_eq!(error["metadata"]["fields"], fields);
}

#[tokio::test]
async fn a_field_is_not_taken_for_a_word_about_fields() {
    let (fake, planctl) = service();
    fake.on(|_: CancelPlanRequest| -> Result<CancelPlanResponse, _> {
        let metadata = [("field", "reason"), ("description", "has 600 bytes")];
        Err(refused_with(Code::InvalidArgument, reason::INVALID_REQUEST, &metadata, |details| {
            details.add_bad_request_violation("reason", "has 600 bytes");
            details.add_bad_request_violation("description", "is empty");
            details.add_bad_request_violation("description", "is odd");
        }))
    });
    let error = planctl.error(&["cancel", ID], 64).await;
    let expected = json!({
        "field": "reason",
        "description": "has 600 bytes",
        "fields": {"reason": "has 600 bytes", "description": "is empty; is odd"},
    });
    assert_eq!(error["metadata"], expected);
}

#[tokio::test]
async fn whatever_else_is_at_the_address_is_told() {
    let (fake, planctl) = service();
    // Such as a lock server, which says no more than that.
    for (words, told) in [("", "plan-service:"), ("unknown\u{1b}", "(it says: unknown\\u{1b})")] {
        fake.on(move |_: ListPlansRequest| -> Result<ListPlansResponse, _> {
            Err(Status::unimplemented(words))
        });
        planctl.run(&["list"]).await.ended_with(69).complains(&[
            "error: what answers there does not know the calls of plan-service",
            "lock-server's port is 50051",
            told,
            &format!("Asked {}.", fake.url()),
            "--addr or PLANCTL_ADDR",
        ]);
    }
    assert_eq!(planctl.error(&["list"], 69).await["reason"], "UNIMPLEMENTED");
    fake.on(|_: GetPlanRequest| Ok(GetPlanResponse::default()));
    planctl.run(&["watch", ID]).await.ended_with(1).complains(&["answered without a plan"]);
}
