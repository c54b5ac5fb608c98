//! `lockctl run` while the lease lasts.

use std::os::unix::process::ExitStatusExt as _;

use service_kit::testing::{Answer, Signal, TcpProxy};

use super::support::{DEADLINE, LOCKCTL, Lockctl, server};

/// Runs a line of shell under a lock.
async fn shell(lockctl: &Lockctl, line: &str) -> Answer {
    lockctl.run(&["run", "plan/42", "--ttl", "60s", "--", "sh", "-c", line]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_knows_its_lock_and_holds_it() {
    let (server, lockctl) = server().await;
    let line = format!(
        "echo $LOCK_RESOURCE $LOCK_OWNER_ID $LOCK_FENCING_TOKEN; {LOCKCTL} get plan/42 --output json"
    );
    let arguments =
        ["run", "plan/42", "--owner", "me", "--metadata", "a=b", "--", "sh", "-c", &line];
    let answer = lockctl.run(&arguments).await.ended_with(0);
    let (first, rest) = answer.stdout.split_once('\n').unwrap();
    let held: serde_json::Value = serde_json::from_str(rest).unwrap();
    assert_eq!(first, format!("plan/42 me {}", held["lock"]["fencing_token"]));
    assert_eq!(held["lock"]["owner_id"], "me");
    assert_eq!(held["lock"]["metadata"]["a"], "b");
    assert_eq!(answer.stderr, "");
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_own_code_is_passed_on() {
    let (server, lockctl) = server().await;
    for code in [0, 1, 7, 75, 255] {
        shell(&lockctl, &format!("exit {code}")).await.ended_with(code);
    }
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn death_by_a_signal_counts_from_128() {
    let (server, lockctl) = server().await;
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("INT", 130)] {
        shell(&lockctl, &format!("kill -{signal} $$")).await.ended_with(code);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_lets_the_lock_go() {
    let (server, lockctl) = server().await;
    let run = ["run", "plan/42", "--", "/no/such/command"];
    lockctl.run(&run).await.ended_with(127).complains(&["/no/such/command cannot be found"]);
    let run = ["run", "plan/42", "--output", "json", "--", "/"];
    let error = lockctl.run(&run).await.ended_with(126).only_error();
    assert_eq!(error["reason"], "COMMAND_NOT_EXECUTABLE");
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_runs_nothing() {
    let (server, lockctl) = server().await;
    lockctl.json(&["acquire", "plan/42", "--owner", "other"]).await;
    let answer = shell(&lockctl, "echo ran").await.ended_with(75);
    assert_eq!(answer.stdout, "");
    answer.complains(&["held by other"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_runs_nothing() {
    let nowhere = Lockctl::at("http://127.0.0.1:1");
    let run = ["run", "plan/42", "--timeout", "300ms", "--", "echo", "ran"];
    let answer = nowhere.run(&run).await.ended_with(69);
    assert_eq!(answer.stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_passed_on_to_the_whole_group() {
    let (server, lockctl) = server().await;
    for (name, signal) in [
        ("INT", Signal::SIGINT),
        ("TERM", Signal::SIGTERM),
        ("HUP", Signal::SIGHUP),
        ("QUIT", Signal::SIGQUIT),
        ("USR1", Signal::SIGUSR1),
        ("USR2", Signal::SIGUSR2),
    ] {
        let member = format!("trap 'echo member {name}; exit' {name}; echo up; sleep 60 & wait");
        // A shell ignores INT and QUIT in what it starts with `&`.
        let deaf = matches!(name, "INT" | "QUIT");
        let wait = if deaf { ":" } else { "wait" };
        let line =
            format!("trap 'echo leader {name}; {wait}; exit 9' {name}; sh -c \"{member}\" & wait");
        let mut run = lockctl.start(&["run", "plan/42", "--ttl", "60s", "--", "sh", "-c", &line]);
        run.wait_for_line(|line| line == "up", DEADLINE).await;
        run.signal(signal);
        let status = run.wait(DEADLINE).await;
        let output = run.output();
        assert_eq!(status.code(), Some(9), "{name}: {output}");
        assert!(output.contains(&format!("leader {name}")), "{output}");
        if !deaf {
            assert!(output.contains(&format!("member {name}")), "{output}");
        }
        assert!(lockctl.is_free("plan/42").await);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ignored_stays_ignored() {
    let (server, lockctl) = server().await;
    // As `nohup` does it.
    let line = "trap '' HUP; exec $0 run plan/42 -- sh -c 'kill -HUP $PPID $$; echo alive'";
    let nohup = std::process::Command::new("sh")
        .args(["-c", line, LOCKCTL])
        .env("LOCKCTL_ADDR", server.url())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(nohup.stdout).unwrap(), "alive\n");
    assert_eq!(nohup.status.code(), Some(0));
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_answer_can_be_interrupted() {
    let (server, _) = server().await;
    let upstream = server.url().trim_start_matches("http://").parse().unwrap();
    let proxy = TcpProxy::start(upstream).await;
    proxy.stall().await;
    let lockctl = Lockctl::at(format!("http://{}", proxy.address()));
    let mut run = lockctl.start(&["run", "plan/42", "--timeout", "60s", "--", "echo", "ran"]);
    // It listens for signals before it connects: whichever comes first, the
    // signal or the listening, it ends by this signal.
    run.signal(Signal::SIGINT);
    let status = run.wait(DEADLINE).await;
    assert!(status.code() == Some(130) || status.signal() == Some(2), "{status}");
    assert_eq!(run.output(), "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_end_before_the_lock_is_given_back() {
    let (server, lockctl) = server().await;
    // It has closed its output once it is beyond TERM, and the leader goes on.
    let left = "trap '' TERM; echo $$; exec >&- 2>&-; sleep 60; sleep 60";
    let line = format!("left=$(sh -c \"{}\" &); echo $left; exit 4", left.replace('$', "\\$"));
    let answer = shell(&lockctl, &line).await.ended_with(4);
    let left: i32 = answer.stdout.trim().parse().unwrap();
    let gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(left), None);
    assert_eq!(gone, Err(nix::errno::Errno::ESRCH));
    answer.complains(&["left processes behind"]);
    assert!(lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_renewed_for_as_long_as_the_command_runs() {
    let (server, lockctl) = server().await;
    let line = "trap 'exit 5' USR1; echo up; sleep 60 & wait";
    let mut run = lockctl.start(&["run", "plan/42", "--ttl", "600ms", "--", "sh", "-c", line]);
    run.wait_for_line(|line| line == "up", DEADLINE).await;
    let first = lockctl.json(&["get", "plan/42"]).await;
    service_kit::testing::eventually("it is renewed three times", DEADLINE, {
        let (mut seen, mut last) = (0, first["lock"]["renew_time"].clone());
        let lockctl = lockctl.clone();
        async move || {
            let now = lockctl.json(&["get", "plan/42"]).await["lock"]["renew_time"].clone();
            seen += u32::from(now != last);
            last = now;
            (seen >= 3).then_some(())
        }
    })
    .await;
    let last = lockctl.json(&["get", "plan/42"]).await;
    assert_eq!(last["lock"]["fencing_token"], first["lock"]["fencing_token"]);
    assert_eq!(last["lock"]["state"], "LOCK_STATE_HELD");
    run.signal(Signal::SIGUSR1);
    assert_eq!(run.wait(DEADLINE).await.code(), Some(5), "{}", run.output());
    server.stop().await;
}
