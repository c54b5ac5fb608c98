//! The supervisor as a process, and what becomes of a step without it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use nix::{sys::signal::Signal, unistd::Pid};
use plan_service::runner::End;

use crate::support::{LONG, Step, far, folder, is_alive, job, pid_in, run, sh, signal, stat};

#[tokio::test]
async fn it_stands_apart_from_the_service_and_the_step_apart_from_it() {
    let folder = folder();
    let script = "echo $$ > pid; until [ -e go ]; do sleep 0.01; done";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    let program = pid_in(folder.path().join("pid")).await.as_raw();
    let supervisor = step.supervisor().as_raw();
    let me = Pid::this().as_raw();
    let (_, found) = stat(step.supervisor()).unwrap();
    assert_eq!(found, [me, supervisor, supervisor], "parent, group, session");
    let (_, found) = stat(Pid::from_raw(program)).unwrap();
    assert_eq!(found, [supervisor, program, supervisor]);
    let read = |file| fs::read_to_string(format!("/proc/{supervisor}/{file}")).unwrap();
    assert_eq!(read("comm"), "plan-step\n");
    assert!(read("cmdline").ends_with("plan-service\0supervise\0"));
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(step.end().await, End::Exited(0));
    assert!(stat(step.supervisor()).is_none(), "no zombie");
}

#[tokio::test]
async fn a_step_starts_with_no_signal_blocked() {
    let folder = folder();
    let status = job(folder.path(), &["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    let (output, end) = run(status).await;
    assert_eq!(end, End::Exited(0), "{output}");
    let mut masks = output.lines().map(|line| line.split_once('\t').unwrap().1);
    assert_eq!(masks.next(), Some("0000000000000000"), "{output}");
    let ignored = u64::from_str_radix(masks.next().unwrap(), 16).unwrap();
    assert_eq!(ignored & 1 << (Signal::SIGPIPE as u32 - 1), 0, "{output}");
}

#[tokio::test]
async fn a_step_starts_with_nothing_open_but_its_streams() {
    let folder = folder();
    // What the shell has opened to look is closed when it looks closer.
    let script = "readlink /proc/$$/fd/0; cd /proc/$$/fd; \
                  for fd in *; do readlink $fd > /dev/null && echo fd $fd; done; true";
    let (output, end) = run(sh(folder.path(), script)).await;
    assert_eq!(end, End::Exited(0), "{output}");
    let mut lines = output.lines().map(str::to_owned);
    assert_eq!(lines.next().as_deref(), Some("/dev/null"));
    let mut expected: BTreeSet<_> = (0..3).map(|fd| format!("fd {fd}")).collect();
    expected.extend(inheritable());
    assert!(lines.by_ref().all(|fd| expected.contains(&fd)), "{output}");
}

/// Files that whoever started this test left open for everyone.
fn inheritable() -> impl Iterator<Item = String> {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    fs::read_dir("/proc/self/fdinfo").unwrap().flatten().filter_map(|entry| {
        let info = fs::read_to_string(entry.path()).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
        let flags = u32::from_str_radix(flags, 8).ok()?;
        (flags & CLOSE_ON_EXEC == 0).then(|| format!("fd {}", entry.file_name().display()))
    })
}

#[tokio::test]
async fn a_signal_sent_to_it_is_the_step_s() {
    let folder = folder();
    let mut step = Step::start(sh(folder.path(), "echo there; sleep 600 & wait; wait"), LONG).await;
    // It passes on output, so it also takes signals.
    assert_eq!(step.running.output().await.unwrap(), b"there\n");
    signal(step.supervisor(), Signal::SIGTERM);
    assert_eq!(step.end().await, End::Signaled(15));
}

#[tokio::test]
async fn when_it_is_killed_the_step_is_ended_by_the_service() {
    let folder = folder();
    // A group of its own within the session, below one that has ended.
    let script = format!(
        "trap '' TERM; {} (sh -c 'echo $$ > near; exec sleep 600' & true); echo $$ > pid; \
         exec sleep 600",
        far("far")
    );
    let mut step = Step::start(sh(folder.path(), &script), LONG).await;
    let mut all = Vec::new();
    for name in ["pid", "near", "far"] {
        all.push(pid_in(folder.path().join(name)).await);
    }
    signal(step.supervisor(), Signal::SIGKILL);
    assert_eq!(step.end().await, End::SupervisorGone);
    assert!(stat(step.supervisor()).is_none(), "no zombie");
    // The program and the orphan are of its session. Whoever has left that, and
    // had its parent there, was found below it or has lost it: see the docs.
    for pid in &all[..2] {
        assert!(!is_alive(*pid));
    }
    if is_alive(all[2]) {
        signal(all[2], Signal::SIGKILL);
    }
}

#[tokio::test]
async fn when_it_is_stopped_the_step_is_still_over_soon_after_its_deadline() {
    let folder = folder();
    let script = format!("{} echo $$ > pid; exec sleep 600", far("far"));
    let mut step = Step::start(sh(folder.path(), &script), Duration::from_secs(4)).await;
    let pid = pid_in(folder.path().join("pid")).await;
    let far = pid_in(folder.path().join("far")).await;
    signal(step.supervisor(), Signal::SIGSTOP);
    assert_eq!(step.end().await, End::SupervisorGone);
    for process in [pid, far, step.supervisor()] {
        assert!(!is_alive(process));
    }
}

#[tokio::test]
async fn when_it_is_stopped_a_dropped_step_is_gone_all_the_same() {
    let folder = folder();
    let script = format!("{} echo $$ > pid; exec sleep 600", far("far"));
    let step = Step::start(sh(folder.path(), &script), LONG).await;
    let supervisor = step.supervisor();
    let pid = pid_in(folder.path().join("pid")).await;
    let far = pid_in(folder.path().join("far")).await;
    signal(supervisor, Signal::SIGSTOP);
    drop(step);
    for process in [pid, far, supervisor] {
        crate::support::gone(process, Duration::from_secs(2)).await;
    }
}

#[test]
fn without_an_order_it_ends_and_starts_nothing() {
    for (input, success) in [(&b""[..], true), (b"J\0\0\0\x02{}", false), (b"hello", false)] {
        let mut supervisor = Command::new(env!("CARGO_BIN_EXE_plan-service"))
            .arg("supervise")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        supervisor.stdin.take().unwrap().write_all(input).unwrap();
        let output = supervisor.wait_with_output().unwrap();
        assert_eq!(output.status.success(), success, "{input:?}");
        assert!(output.stdout.is_empty());
        assert_eq!(output.stderr.is_empty(), success, "it says why: {input:?}");
    }
}
