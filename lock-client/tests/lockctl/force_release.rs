//! Breaking a lock that somebody else holds, and what its holder is told.

use service_kit::testing::Signal;

use super::{
    support::{DEADLINE, Lockctl, server},
    terminal::start,
};

const WHY: &str = "hangs since noon, \"says\" ops; a reason that takes more than 64 characters";

async fn acquire(lockctl: &Lockctl, resource: &str, owner: &str) -> String {
    let acquire = ["acquire", resource, "--owner", owner, "--ttl", "60s"];
    lockctl.json(&acquire).await["lock"]["fencing_token"].to_string()
}

fn force<'a>(resource: &'a str, token: &'a str, reason: &'a str) -> [&'a str; 7] {
    ["force-release", resource, "--token", token, "--reason", reason, "--yes"]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_shown_and_broken_and_its_holder_is_told() {
    let (server, lockctl) = server().await;
    let token = acquire(&lockctl, "plan/42", "a").await;
    let card = lockctl.run(&["get", "plan/42"]).await.ended_with(0).stdout;
    let answer = lockctl.run(&force("plan/42", &token, WHY)).await.ended_with(0);
    let words = "Released plan/42 by force: a hears of it at its next renewal.\n";
    assert!(answer.stdout.ends_with(&format!("\n\n{words}")), "{answer:#?}");
    // The same card, but for the time that passed.
    let unchanging = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("expires"));
        lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(unchanging(&answer.stdout), unchanging(&card));
    assert!(lockctl.is_free("plan/42").await);

    let renew = ["renew", "plan/42", "--owner", "a", "--token", &token];
    let told = lockctl.run(&renew).await.ended_with(76);
    let by = "error: plan/42 is not held any more: 127.0.0.1";
    let why = "released it by force: \"hangs since noon, \\\"says\\\" ops; a reason that takes more \
               than 64 characters\"\n";
    told.complains(&[by, why, "may have changed meanwhile"]);
    let error = lockctl.run(&[&renew[..], &["--output", "json"]].concat()).await;
    let error = error.ended_with(76).only_error();
    assert_eq!(error["reason"], "LOCK_NOT_HELD");
    assert_eq!(error["metadata"]["release_reason"], WHY);
    let by = error["metadata"]["released_by"].as_str().unwrap();
    assert!(by.starts_with("127.0.0.1"), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_the_lock_that_was_broken() {
    let (server, lockctl) = server().await;
    let token = acquire(&lockctl, "plan/42", "a").await;
    let broken = lockctl.json(&force("plan/42", &token, WHY)).await;
    assert_eq!(broken["lock"]["owner_id"], "a");
    assert_eq!(broken["lock"]["fencing_token"].to_string(), token);
    assert_eq!(broken["lock"]["resource"]["id"], "42");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_has_moved_on_is_left_alone() {
    let (server, lockctl) = server().await;
    let old = acquire(&lockctl, "plan/42", "a").await;
    lockctl.json(&["release", "plan/42", "--owner", "a"]).await;
    let free = lockctl.run(&force("plan/42", &old, WHY)).await.ended_with(3);
    assert_eq!(free.stdout, "");
    free.complains(&["is free: nobody holds it\nNothing was changed.\n"]);

    let new = acquire(&lockctl, "plan/42", "next").await;
    let is_not = format!("is not held under token {old}");
    let is = format!("under token {new} until");
    let moved = lockctl.run(&force("plan/42", &old, WHY)).await.ended_with(76);
    assert_eq!(moved.stdout, "");
    let advice = "Nothing was changed.\n`lockctl get plan/42` shows that hold";
    moved.complains(&["next", &is_not, &is, advice]);
    let json = [&force("plan/42", &old, WHY)[..], &["--output", "json"]].concat();
    let error = lockctl.run(&json).await.ended_with(76).only_error();
    assert_eq!(error["reason"], "LOCK_NOT_HELD");
    assert_eq!(error["metadata"]["holder"], "next");
    assert_eq!(error["metadata"]["fencing_token"], new.as_str());
    assert!(!lockctl.is_free("plan/42").await);
    // Who tried is on record.
    let events = lockctl.json(&["events", "plan/42"]).await;
    let kinds = events["events"].as_array().unwrap().iter().map(|event| &event["kind"]);
    assert_eq!(kinds.collect::<Vec<_>>(), ["AUDIT_EVENT_KIND_FORCE_RELEASE_REFUSED"; 3]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_is_none_is_refused() {
    let (server, lockctl) = server().await;
    let token = acquire(&lockctl, "plan/42", "a").await;
    for reason in ["", "two\nlines", &"x".repeat(513)] {
        let refused = lockctl.run(&force("plan/42", &token, reason)).await.ended_with(64);
        refused.complains(&["error: the request is not valid: reason "]);
    }
    assert!(!lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_broken_unless_somebody_at_the_terminal_says_yes() {
    let (server, lockctl) = server().await;
    let token = acquire(&lockctl, "plan/42", "worker\u{202e}7").await;
    // The answer goes to a file; the question does not.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("answer");
    let ask = format!("$LOCKCTL force-release plan/42 --token {token} --reason hangs");
    let script = format!("{ask}; echo ended $?; {ask} >{}; echo then $?", file.display());
    let mut session = start(&server.url(), &script);
    session.shows("Break this lock? [y/N] ").await;
    assert!(session.screen().contains("owner     worker\\u{202e}7"), "{:?}", session.screen());
    session.types("n\n");
    session.shows("not confirmed: nothing was changed").await;
    session.shows("ended 1").await;
    assert!(!lockctl.is_free("plan/42").await);
    assert_eq!(lockctl.json(&["events"]).await["events"], serde_json::json!([]));

    session.types("y\n");
    session.shows("then 0").await;
    session.ends().await;
    assert_eq!(session.screen().matches("Break this lock?").count(), 2, "{:?}", session.screen());
    let answer = std::fs::read_to_string(file).unwrap();
    assert!(answer.starts_with("Released plan/42 by force: worker\\u{202e}7 hears"), "{answer:?}");
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_lock_is_broken_is_ended_and_told_by_whom_and_why() {
    let (server, lockctl) = server().await;
    for format in ["table", "json"] {
        let run = ["run", "plan/42", "--ttl", "600ms", "--output", format, "--"];
        let mut run = lockctl.start(&[&run[..], &["sh", "-c", "echo up; exec sleep 60"]].concat());
        run.wait_for_line(|line| line == "up", DEADLINE).await;
        let token = lockctl.json(&["get", "plan/42"]).await["lock"]["fencing_token"].to_string();
        lockctl.run(&force("plan/42", &token, "hangs")).await.ended_with(0);

        assert_eq!(run.wait(DEADLINE).await.code(), Some(76), "{}", run.output());
        let output = run.output();
        assert!(output.contains("the lease of plan/42 is lost: 127.0.0.1"), "{output}");
        assert_eq!(output.matches("released it by force").count(), 1, "{output}");
        if format == "json" {
            let error = output.lines().last().unwrap();
            let error: serde_json::Value = serde_json::from_str(error).unwrap();
            let metadata = &error["error"]["metadata"];
            assert_eq!(metadata["release_reason"], "hangs", "{output}");
            assert!(metadata["released_by"].as_str().unwrap().starts_with("127.0.0.1"), "{output}");
        } else {
            assert!(
                output.contains("released it by force: \"hangs\"; the command was"),
                "{output}"
            );
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_ends_before_it_hears_of_it_keeps_its_code_and_warns() {
    for taken in [false, true] {
        ends_before_it_hears_of_it(taken).await;
    }
}

async fn ends_before_it_hears_of_it(taken: bool) {
    let (server, lockctl) = server().await;
    // No renewal is due before it ends.
    let line = "trap 'exit 5' USR1; echo up; while :; do sleep 0.1; done";
    let mut run = lockctl.start(&["run", "plan/42", "--ttl", "600s", "--", "sh", "-c", line]);
    run.wait_for_line(|line| line == "up", DEADLINE).await;
    let token = lockctl.json(&["get", "plan/42"]).await["lock"]["fencing_token"].to_string();
    lockctl.run(&force("plan/42", &token, "hangs")).await.ended_with(0);
    // A release of what is free is answered as always: the trail tells the rest.
    let told = match taken {
        true => {
            acquire(&lockctl, "plan/42", "next").await;
            "127.0.0.1 released it by force: \"hangs\""
        }
        false => "somebody else released it, by force if `lockctl events plan/42` says so",
    };
    run.signal(Signal::SIGUSR1);
    assert_eq!(run.wait(DEADLINE).await.code(), Some(5), "{}", run.output());
    let output = run.output();
    let words = format!("lockctl: plan/42 was no longer held when it was given back: {told}");
    assert!(output.contains(&words), "{output}");
    server.stop().await;
}
