//! `lockctl run` and signals at moments when they are easily lost: while the
//! command is stopped, and while the lock is given back.

use lock_server::testing::TestServer;
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use service_kit::testing::{Process, Signal, TcpProxy, eventually};

use super::support::{DEADLINE, Lockctl, address, server};

/// Starts a line of shell under a lock that lasts; it tells its pid first.
async fn start(lockctl: &Lockctl, flags: &[&str], line: &str) -> (Process, Pid) {
    let line = format!("echo pid $$; {line}");
    let run = [&["run", "plan/42", "--ttl", "120s"], flags, &["--", "sh", "-c", &line]].concat();
    let mut run = lockctl.start(&run);
    let pid = run.wait_for_line(|line| line.starts_with("pid "), DEADLINE).await;
    (run, Pid::from_raw(pid["pid ".len()..].parse().expect("a pid")))
}

async fn until_stopped(pid: Pid) {
    eventually("the command is stopped", DEADLINE, async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T')).then_some(())
    })
    .await;
}

async fn until_gone(pid: Pid) {
    eventually("the command is gone", DEADLINE, async || {
        (kill(pid, None) == Err(Errno::ESRCH)).then_some(())
    })
    .await;
}

/// A server behind a proxy, and the command for it by that way.
async fn behind_proxy() -> (TestServer, TcpProxy, Lockctl) {
    let (server, _) = server().await;
    let proxy = TcpProxy::start(address(&server)).await;
    let lockctl = Lockctl::at(format!("http://{}", proxy.address()));
    (server, proxy, lockctl)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_command_hears_that_it_is_to_end() {
    let (server, lockctl) = server().await;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        let (mut run, pid) = start(&lockctl, &[], "kill -STOP $$; exec sleep 60").await;
        until_stopped(pid).await;
        run.signal(signal);
        let code = run.wait(DEADLINE).await.code();
        assert_eq!(code, Some(128 + signal as i32), "{signal}: {}", run.output());
        assert!(lockctl.is_free("plan/42").await);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_command_is_woken_up_through_lockctl() {
    let (server, lockctl) = server().await;
    let (mut run, pid) = start(&lockctl, &[], "kill -STOP $$; exit 5").await;
    until_stopped(pid).await;
    run.signal(Signal::SIGCONT);
    assert_eq!(run.wait(DEADLINE).await.code(), Some(5), "{}", run.output());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_to_end_is_not_kept_waiting_for_the_lock_to_be_given_back() {
    let (server, proxy, lockctl) = behind_proxy().await;
    let flags = ["--timeout", "100s", "--output", "json"];
    let line = "trap 'exit 5' USR1; echo up; while :; do :; done";
    let (mut run, pid) = start(&lockctl, &flags, line).await;
    run.wait_for_line(|line| line == "up", DEADLINE).await;
    proxy.stall().await;
    run.signal(Signal::SIGUSR1);
    until_gone(pid).await;

    run.signal(Signal::SIGTERM);
    assert_eq!(run.wait(DEADLINE).await.code(), Some(5), "{}", run.output());
    let output = run.output();
    let warning: serde_json::Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    let warning = &warning["warning"];
    assert_eq!(warning["reason"], "NOT_GIVEN_BACK", "{output}");
    assert_eq!(warning["metadata"]["resource"], "plan/42");
    assert!(warning["message"].as_str().unwrap().contains("runs out by itself"), "{output}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_cannot_be_given_back_is_a_warning() {
    for json in [false, true] {
        let (server, proxy, lockctl) = behind_proxy().await;
        let format = if json { "json" } else { "table" };
        let flags = ["--timeout", "500ms", "--output", format];
        let line = "trap 'exit 5' USR1; echo up; while :; do :; done";
        let (mut run, _) = start(&lockctl, &flags, line).await;
        run.wait_for_line(|line| line == "up", DEADLINE).await;
        proxy.cut().await;
        run.signal(Signal::SIGUSR1);
        assert_eq!(run.wait(DEADLINE).await.code(), Some(5), "{}", run.output());
        let output = run.output();
        let last = output.lines().last().unwrap();
        let message = match json {
            true => {
                let warning: serde_json::Value = serde_json::from_str(last).unwrap();
                warning["warning"]["message"].as_str().unwrap().to_owned()
            }
            false => last.strip_prefix("lockctl: ").unwrap().to_owned(),
        };
        let start = "plan/42 cannot be given back and runs out by itself: no answer";
        assert!(message.starts_with(start), "{output}");
        server.stop().await;
    }
}
