//! `lockctl run` when the lease is lost: nothing of the command runs on.

use std::time::Duration;

use lock_client::{LockClient, Timestamp};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use service_kit::testing::{Process, TcpProxy, eventually};

use super::support::{DEADLINE, Lockctl, server};

/// Tells of TERM, and goes on all the same. Writes down the time over and over,
/// and so does what it starts.
const STUBBORN: &str = r#"
beat() { trap 'echo "$1 got TERM"' TERM; while :; do date +%s%N >> "$DIR/$1"; done; }
beat member &
echo "pids $$ $!"
beat leader
"#;

fn pids(line: &str) -> Vec<Pid> {
    let pids = line.strip_prefix("pids ").expect("the line of pids");
    pids.split(' ').map(|pid| Pid::from_raw(pid.parse().expect("a pid"))).collect()
}

async fn start_stubborn(lockctl: &Lockctl, dir: &str, ttl: &str) -> (Process, Vec<Pid>) {
    let env = format!("DIR={dir}");
    let run = ["run", "plan/42", "--owner", "me", "--ttl", ttl, "--"];
    let command = ["env", &env, "sh", "-c", STUBBORN];
    let mut run = lockctl.start(&[&run[..], &command].concat());
    let line = run.wait_for_line(|line| line.starts_with("pids "), DEADLINE).await;
    (run, pids(&line))
}

fn assert_all_gone(pids: &[Pid], run: &Process) {
    for &pid in pids {
        assert_eq!(kill(pid, None), Err(Errno::ESRCH), "{pid} is still there: {}", run.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_the_server_says_is_gone_ends_the_whole_group() {
    let (server, lockctl) = server().await;
    let dir = tempfile::tempdir().unwrap();
    let (mut run, pids) = start_stubborn(&lockctl, dir.path().to_str().unwrap(), "900ms").await;

    assert_eq!(lockctl.json(&["release", "plan/42", "--owner", "me"]).await["released"], true);
    lockctl.json(&["acquire", "plan/42", "--owner", "next"]).await;

    assert_eq!(run.wait(DEADLINE).await.code(), Some(76), "{}", run.output());
    assert_all_gone(&pids, &run);
    let output = run.output();
    for words in ["leader got TERM", "member got TERM", "the lease of plan/42 is lost"] {
        assert!(output.contains(words), "{words:?} is missing: {output}");
    }
    assert!(!lockctl.is_free("plan/42").await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_renewed_ends_the_whole_group_before_it_runs_out() {
    let (server, direct) = server().await;
    let upstream = server.url().trim_start_matches("http://").parse().unwrap();
    for stalled in [false, true] {
        let proxy = TcpProxy::start(upstream).await;
        let lockctl = Lockctl::at(format!("http://{}", proxy.address()));
        let dir = tempfile::tempdir().unwrap();
        let (mut run, pids) = start_stubborn(&lockctl, dir.path().to_str().unwrap(), "2s").await;

        if stalled {
            proxy.stall().await;
        } else {
            proxy.cut().await;
        }

        assert_eq!(run.wait(DEADLINE).await.code(), Some(76), "{}", run.output());
        assert_all_gone(&pids, &run);
        let output = run.output();
        for words in ["leader got TERM", "member got TERM", "could not be renewed in time"] {
            assert!(output.contains(words), "{words:?} is missing: {output}");
        }
        // It may have run out by now: what counts is what it says itself.
        let lock = direct.json(&["get", "plan/42"]).await;
        let expiry: Timestamp = lock["lock"]["expire_time"].as_str().unwrap().parse().unwrap();
        let expiry = i128::from(expiry.seconds) * 1_000_000_000 + i128::from(expiry.nanos);
        for name in ["leader", "member"] {
            let beats = std::fs::read_to_string(dir.path().join(name)).unwrap();
            let last: i128 = beats.lines().last().unwrap().parse().unwrap();
            assert!(last < expiry, "{name} ran at {last}, after {expiry}: {output}");
        }
        direct.until_stale("plan/42").await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_ends_in_time_is_not_noticed() {
    let (server, direct) = server().await;
    let upstream = server.url().trim_start_matches("http://").parse().unwrap();
    let proxy = TcpProxy::start(upstream).await;
    let lockctl = Lockctl::at(format!("http://{}", proxy.address()));
    let line = "trap 'exit 5' USR1; echo up; sleep 60 & wait";
    let mut run = lockctl.start(&["run", "plan/42", "--ttl", "3s", "--", "sh", "-c", line]);
    run.wait_for_line(|line| line == "up", DEADLINE).await;

    proxy.cut().await;
    proxy.resume().await;
    let before = direct.json(&["get", "plan/42"]).await["lock"]["renew_time"].clone();
    eventually("it is renewed again", DEADLINE, async || {
        let lock = direct.json(&["get", "plan/42"]).await;
        (lock["lock"]["renew_time"] != before).then_some(())
    })
    .await;

    run.signal(service_kit::testing::Signal::SIGUSR1);
    assert_eq!(run.wait(DEADLINE).await.code(), Some(5), "{}", run.output());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_became_shorter_and_is_renewed_goes_on() {
    let (server, lockctl) = server().await;
    let line = "trap 'exit 5' USR1; echo up; while :; do sleep 0.1; done";
    // With a grace of 1.2 s, which is more than the shorter lease is trusted.
    let run = ["run", "plan/42", "--owner", "me", "--ttl", "8s", "--", "sh", "-c", line];
    let mut run = lockctl.start(&run);
    run.wait_for_line(|line| line == "up", DEADLINE).await;
    let client = LockClient::builder().endpoint(server.url()).build().unwrap();
    let lock = client.get(("plan", "42")).await.unwrap().unwrap();

    // Renewed as short over and over, it is there when `run` renews it.
    let shorter = Some(Duration::from_millis(1_200));
    let mut by_us = None;
    eventually("run renews the shorter lease", DEADLINE, async || {
        let now = client.get(("plan", "42")).await.unwrap().unwrap();
        if by_us.is_some_and(|time| time != now.renew_time) {
            return Some(());
        }
        let lock = client.renew(("plan", "42"), "me", lock.fencing_token, shorter).await.unwrap();
        by_us = Some(lock.renew_time);
        None
    })
    .await;

    // At intervals of 0.4 s: past the moment when TERM was due for the first
    // lease, which is when a grace of that lease would end the command.
    let (mut renewals, mut last) = (0, None);
    eventually("it is renewed over and over", DEADLINE, async || {
        let now = client.get(("plan", "42")).await.unwrap();
        let now = now.unwrap_or_else(|| panic!("not held any more: {}", run.output()));
        assert!(!now.stale, "{}", run.output());
        if last.replace(now.renew_time) != Some(now.renew_time) {
            renewals += 1;
        }
        (renewals > 12).then_some(())
    })
    .await;
    run.signal(service_kit::testing::Signal::SIGUSR1);
    assert_eq!(run.wait(DEADLINE).await.code(), Some(5), "{}", run.output());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_told_to_programs() {
    let (server, lockctl) = server().await;
    let run = ["run", "plan/42", "--owner", "me", "--ttl", "600ms", "--output", "json", "--"];
    let mut run = lockctl.start(&[&run[..], &["sh", "-c", "echo up; exec sleep 60"]].concat());
    run.wait_for_line(|line| line == "up", DEADLINE).await;
    lockctl.json(&["release-all", "--owner", "me"]).await;
    assert_eq!(run.wait(DEADLINE).await.code(), Some(76), "{}", run.output());
    let output = run.output();
    let error: serde_json::Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["reason"], "LOCK_NOT_HELD", "{output}");
    assert_eq!(error["error"]["metadata"]["resource"], "plan/42");
    assert_eq!(error["error"]["metadata"]["owner_id"], "me");
    server.stop().await;
}
