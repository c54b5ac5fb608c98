//! What goes wrong, with which exit code, and what is said about it.

use service_kit::testing::TcpProxy;

use super::support::{Lockctl, address, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_the_holder_and_what_to_do() {
    let (server, lockctl) = server().await;
    let held = lockctl
        .json(&["acquire", "plan/42", "--owner", "first", "--ttl", "60s", "--metadata", "task=t1"])
        .await;
    let (since, until) = (&held["lock"]["acquire_time"], &held["lock"]["expire_time"]);

    let refused = lockctl.run(&["acquire", "plan/42", "--owner", "second"]).await.ended_with(75);
    assert_eq!(refused.stdout, "");
    let (since_word, until_word) = (since.as_str().unwrap(), until.as_str().unwrap());
    assert!(refused.stderr.starts_with("error: plan/42 is held by first\n"), "{refused:#?}");
    // Each of them once.
    for word in ["first", since_word, until_word, " (in ", "task=t1", "Try again later"] {
        assert_eq!(refused.stderr.matches(word).count(), 1, "{word:?}: {refused:#?}");
    }

    let refused =
        lockctl.run(&["acquire", "plan/42", "--owner", "second", "--output", "json"]).await;
    let error = refused.ended_with(75).only_error();
    assert_eq!(error["reason"], "LOCK_CONFLICT");
    assert_eq!(error["metadata"]["resource"], "plan/42");
    assert_eq!(error["metadata"]["holder"], "first");
    assert_eq!(error["metadata"]["holder.task"], "t1");
    assert_eq!(&error["metadata"]["acquire_time"], since);
    assert_eq!(&error["metadata"]["expire_time"], until);
    let remaining: u64 = error["metadata"]["remaining_ms"].as_str().unwrap().parse().unwrap();
    assert!((1..=60_000).contains(&remaining), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_held_ends_with_76() {
    let (server, lockctl) = server().await;
    lockctl.json(&["acquire", "plan/42", "--owner", "a", "--ttl", "60s"]).await;

    let renew = ["renew", "plan/42", "--owner", "a", "--token", "1"];
    let own = ["Nobody else holds it: acquire it.", "`lockctl get plan/42` shows which"];
    lockctl.run(&renew).await.ended_with(76).complains(&own);
    let release = ["release", "plan/42", "--owner", "b"];
    let shows = ["\"a\" holds it\n", "`lockctl get plan/42` shows since when"];
    lockctl.run(&release).await.ended_with(76).complains(&shows);
    // As one would type it.
    let renew = ["renew", "plan/a b", "--owner", "a", "--token", "1"];
    lockctl.run(&renew).await.ended_with(76).complains(&["`lockctl get 'plan/a b'`"]);
    let release = ["release", "plan/42", "--owner", "b", "--output", "json"];
    let error = lockctl.run(&release).await.ended_with(76).only_error();
    assert_eq!(error["reason"], "LOCK_NOT_HELD");
    assert_eq!(error["metadata"]["holder"], "a");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_out_ends_with_76() {
    let (server, lockctl) = server().await;
    let held = lockctl.json(&["acquire", "plan/42", "--owner", "a", "--ttl", "100ms"]).await;
    let token = held["lock"]["fencing_token"].to_string();
    lockctl.until_stale("plan/42").await;

    let renew = ["renew", "plan/42", "--owner", "a", "--token", &token];
    let answer = lockctl.run(&renew).await.ended_with(76);
    assert_eq!(answer.stderr.to_lowercase().matches("acquire").count(), 1, "{answer:#?}");
    answer.complains(&["acquire it anew", "What it protects may have changed"]);
    let error = lockctl.run(&[&renew[..], &["--output", "json"]].concat()).await;
    let error = error.ended_with(76).only_error();
    assert_eq!(error["reason"], "LOCK_EXPIRED");
    assert_eq!(error["metadata"]["expire_time"], held["lock"]["expire_time"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_finds_wrong_ends_with_64_and_names_the_fields() {
    let (server, lockctl) = server().await;
    let wrong = ["acquire", "Plan/42", "--ttl", "1ms"];
    lockctl.run(&wrong).await.ended_with(64).complains(&["resource.type", "ttl"]);
    let wrong_times = ["events", "--since", "2h", "--until", "2026-01-02T15:04:05Z"];
    let words = ["end_time is not after start_time"];
    lockctl.run(&wrong_times).await.ended_with(64).complains(&words);
    let error = lockctl.run(&[&wrong[..], &["--output", "json"]].concat()).await;
    let error = error.ended_with(64).only_error();
    assert_eq!(error["reason"], "INVALID_REQUEST");
    assert!(error["metadata"]["ttl"].is_string(), "{error}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_end_with_64_and_say_what_is_right() {
    let nowhere = Lockctl::at("http://127.0.0.1:1");
    for (arguments, words) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&[], "Usage"),
        (&["get", "plan"], "write TYPE/ID"),
        (&["acquire", "plan/1", "--ttl", "30"], "30s"),
        (&["acquire", "plan/1", "--ttl", "0s"], "above zero"),
        (&["acquire", "plan/1", "--metadata", "x"], "KEY=VALUE"),
        (&["renew", "plan/1", "--owner", "a", "--token", "0"], "1.."),
        (&["renew", "plan/1", "--token", "1"], "--owner"),
        (&["list", "--limit", "0"], "1.."),
        (&["force-release", "plan/1", "--reason", "x", "--yes"], "`lockctl get plan/1` shows it"),
        (&["force-release", "plan/1", "--token", "1", "--yes"], "--reason"),
        (&["force-release", "plan/1", "--token", "0", "--reason", "x", "--yes"], "1.."),
        (&["force-release", "plan/1", "--token", "1", "--reason", "x"], "give --yes"),
        (&["events", "plan"], "write TYPE/ID"),
        (&["events", "--limit", "0"], "1.."),
        (&["events", "--since", "2"], "30s"),
        (&["events", "--since", "0s"], "above zero"),
        (&["events", "--from", "yesterday"], "2026-01-02T15:04:05Z"),
        (&["events", "--until", "2026-01-02T15:04:05"], "with its zone"),
        (&["events", "--since", "2h", "--from", "2026-01-02T15:04:05Z"], "cannot be used with"),
        (&["run", "plan/1"], "COMMAND"),
        (&["list", "--addr", "localhost:1"], "http://HOST:PORT"),
        (&["diagnostics", "--addr", "localhost:1"], "http://HOST:PORT"),
    ] {
        nowhere.run(arguments).await.ended_with(64).complains(&[words]);
    }
    let error = nowhere.run(&["get", "plan", "--output", "json"]).await.ended_with(64).only_error();
    assert_eq!(error["reason"], "INVALID_ARGUMENTS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_ends_with_69_and_is_named() {
    let nowhere = Lockctl::at("http://127.0.0.1:1");
    let get = ["get", "plan/1", "--timeout", "300ms"];
    nowhere.run(&get).await.ended_with(69).complains(&[
        "http://127.0.0.1:1",
        "Is lock-server running there?",
        "LOCKCTL_ADDR",
    ]);
    let error = nowhere.run(&[&get[..], &["--output", "json"]].concat()).await;
    let error = error.ended_with(69).only_error();
    assert_eq!(error["reason"], "UNAVAILABLE");
    assert_eq!(error["metadata"]["addresses"], "http://127.0.0.1:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_silent_server_may_have_done_is_said() {
    let (server, _) = server().await;
    let proxy = TcpProxy::start(address(&server)).await;
    proxy.stall().await;
    let silent = Lockctl::at(format!("http://{}", proxy.address()));
    let taken = "may have been taken all the same: `lockctl get plan/1`";
    let released = "may have been released all the same";
    for (arguments, words) in [
        (&["acquire", "plan/1"][..], taken),
        (&["run", "plan/1", "--", "true"], taken),
        (&["release", "plan/1", "--owner", "a"], released),
        (&["release-all", "--owner", "a"], released),
        (&["renew", "plan/1", "--owner", "a", "--token", "1"], "may have been renewed"),
    ] {
        let arguments = [&["--timeout", "200ms"][..], arguments].concat();
        let answer = silent.run(&arguments).await.ended_with(69);
        assert!(!answer.stderr.contains("Is lock-server running"), "{answer:#?}");
        answer.complains(&[words, "--timeout", "in vain"]);
    }
    server.stop().await;
}
