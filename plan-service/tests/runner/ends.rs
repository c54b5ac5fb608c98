//! How commands end, and how that is told.

use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::PermissionsExt as _,
    },
    path::Path,
    time::{Duration, Instant},
};

use plan_service::runner::{End, Stop};

use crate::support::{LONG, SOON, Step, file, folder, job, pid_in, run, sh};

#[tokio::test]
async fn exit_codes_are_told_as_they_are() {
    let folder = folder();
    for code in [0, 1, 3, 126, 127, 137, 255] {
        let (_, end) = run(sh(folder.path(), &format!("exit {code}"))).await;
        assert_eq!(end, End::Exited(code));
    }
}

#[tokio::test]
async fn signals_are_told_as_they_are() {
    let folder = folder();
    // The last one is a real-time signal, for which many libraries have no name.
    for signal in [6, 9, 11, 15, 40] {
        let (_, end) = run(sh(folder.path(), &format!("kill -{signal} $$"))).await;
        assert_eq!(end, End::Signaled(signal));
    }
}

#[tokio::test]
async fn orphans_that_a_real_time_signal_ends_disturb_nobody() {
    let folder = folder();
    let script = "(sh -c 'kill -40 $$' & sh -c 'kill -41 $$' & true); sleep 0.1; exit 5";
    // And no complaint that they could not be ended.
    assert_eq!(run(sh(folder.path(), script)).await, (String::new(), End::Exited(5)));
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_asked_and_then_killed() {
    let folder = folder();
    let limit = Duration::from_millis(300);
    let mut polite = sh(folder.path(), "trap 'echo asked; exit 0' TERM; sleep 600 & wait");
    polite.time_limit = limit;
    let (output, end) = run(polite).await;
    assert_eq!((output.as_str(), end), ("asked\n", End::TimedOut));

    let mut stubborn = sh(folder.path(), "trap '' TERM; exec sleep 600");
    stubborn.time_limit = limit;
    let started = Instant::now();
    assert_eq!(run(stubborn).await.1, End::TimedOut);
    assert!(started.elapsed() >= limit + Duration::from_secs(2), "the grace");
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn a_stopped_step_has_a_grace_or_none() {
    let folder = folder();
    let script = "trap 'echo asked; exit 0' TERM; echo $$ > pid; sleep 600 & wait";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    pid_in(folder.path().join("pid")).await;
    step.running.stop(Stop::Gently);
    assert_eq!(step.finish().await, (b"asked\n".to_vec(), End::Stopped));

    let stubborn = "trap '' TERM; touch there; exec sleep 600";
    let mut step = Step::start(sh(folder.path(), stubborn), LONG).await;
    file(folder.path().join("there")).await;
    let asked = Instant::now();
    step.running.stop(Stop::Gently);
    step.running.stop(Stop::AtOnce);
    assert_eq!(step.end().await, End::Stopped);
    assert!(asked.elapsed() < Duration::from_secs(2), "the second word counts");
}

#[tokio::test]
async fn a_step_that_was_suspended_can_still_be_asked() {
    let folder = folder();
    let script = "trap 'echo asked; exit 0' TERM; echo $$ > pid; kill -STOP $$; exit 1";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    pid_in(folder.path().join("pid")).await;
    step.running.stop(Stop::Gently);
    assert_eq!(step.finish().await, (b"asked\n".to_vec(), End::Stopped));
}

fn write(path: &Path, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_program_is_looked_for_from_the_folder_or_in_the_path_of_the_step() {
    let folder = folder();
    fs::create_dir(folder.path().join("bin")).unwrap();
    write(&folder.path().join("bin/tool"), b"#!/bin/sh\necho tool \"$@\"\n", 0o755);
    let (output, end) = run(job(folder.path(), &["./bin/tool", "a  b", "*"])).await;
    assert_eq!((output.as_str(), end), ("tool a  b *\n", End::Exited(0)));
    let mut named = job(folder.path(), &["tool"]);
    assert!(matches!(run(named.clone()).await.1, End::NotFound(_)));
    named.env.insert("PATH".into(), folder.path().join("bin").into());
    assert_eq!(run(named).await.0, "tool\n");
}

#[tokio::test]
async fn what_cannot_be_run_is_told_in_words() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir(path.join("folder")).unwrap();
    write(&path.join("plain"), b"#!/bin/sh\n", 0o644);
    write(&path.join("garbage"), b"\x01\x02\x03\x04 no program", 0o755);
    write(&path.join("orphan"), b"#!/gone/interpreter -x\n", 0o755);
    let long = "x".repeat(4 * 1024 * 1024);
    for (argv, words) in [
        (["./folder", ""], "is a folder"),
        (["./plain", ""], "is not executable"),
        (["./garbage", ""], "no binary for this machine"),
        (["./orphan", ""], "\"/gone/interpreter -x\", which is not there"),
        (["sh", &long], "too long"),
    ] {
        let End::NotExecutable(why) = run(job(path, &argv)).await.1 else {
            panic!("{}", argv[0]);
        };
        assert!(why.contains(words), "{}: {why}", argv[0]);
    }
    for (program, words) in [("./gone", "from the top of the worktree"), ("gone", "PATH")] {
        let End::NotFound(why) = run(job(path, &[program])).await.1 else { panic!("{program}") };
        assert!(why.contains(words), "{program}: {why}");
    }
    let nowhere = run(sh(&path.join("nowhere"), "true")).await.1;
    assert!(matches!(&nowhere, End::NotFound(why) if why.contains("nowhere")), "{nowhere:?}");
}

#[tokio::test]
async fn names_and_values_may_be_any_bytes() {
    let folder = folder();
    let odd = OsString::from_vec(vec![b'o', 0xff, b' ', b'\n', b'"']);
    let cwd = folder.path().join(&odd);
    fs::create_dir(&cwd).unwrap();
    let mut step = sh(&cwd, "printf %s \"$1$ODD\" > written");
    step.argv.extend(["sh".into(), odd.clone()]);
    step.env.insert("ODD".into(), odd.clone());
    assert_eq!(run(step).await.1, End::Exited(0));
    let twice = [odd.as_bytes(), odd.as_bytes()].concat();
    assert_eq!(fs::read(cwd.join("written")).unwrap(), twice);
}

#[tokio::test]
async fn many_steps_run_beside_each_other() {
    let folder = folder();
    let steps: Vec<_> = (0..50)
        .map(|at| tokio::spawn(run(sh(folder.path(), &format!("echo {at}; exit {at}")))))
        .collect();
    for (at, step) in steps.into_iter().enumerate() {
        let code = i32::try_from(at).unwrap();
        assert_eq!(step.await.unwrap(), (format!("{at}\n"), End::Exited(code)));
    }
}
