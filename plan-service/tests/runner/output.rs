//! What commands write.

use std::fs;

use plan_service::runner::{End, TailBuffer};

use crate::support::{LONG, Step, file, folder, job, run, sh};

#[tokio::test]
async fn both_streams_come_together_in_the_order_in_which_they_were_written() {
    let folder = folder();
    let script = "i=0; while [ $i -lt 500 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
    let expected: String = (0..500).map(|at| format!("o{at}\ne{at}\n")).collect();
    assert_eq!(run(sh(folder.path(), script)).await, (expected, End::Exited(0)));
}

#[tokio::test]
async fn output_comes_while_the_step_runs() {
    let folder = folder();
    let script = "printf half; until [ -e go ]; do sleep 0.01; done; printf ' and \\377'";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    assert_eq!(step.running.output().await.unwrap(), b"half");
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(step.finish().await, (b" and \xff".to_vec(), End::Exited(0)));
    assert_eq!(step.running.output().await, None, "and nothing after the end");
    assert_eq!(step.end().await, End::Exited(0), "however often one asks");
}

#[tokio::test]
async fn a_read_that_is_given_up_loses_nothing() {
    let folder = folder();
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    let mut output = Vec::new();
    let mut given_up = 0;
    let end = loop {
        tokio::select! {
            biased;
            part = step.running.output() => match part {
                Some(part) => output.extend(part),
                None => break step.end().await,
            },
            () = tokio::task::yield_now() => given_up += 1,
        }
    };
    let expected: String = (0..2_000).map(|at| format!("line {at}\n")).collect();
    assert_eq!((String::from_utf8(output).unwrap(), end), (expected, End::Exited(0)));
    assert!(given_up > 0);
}

#[tokio::test]
async fn a_gibibyte_of_output_ends_well_in_little_memory() {
    const SIZE: u64 = 1 << 30;
    let folder = folder();
    let size = SIZE.to_string();
    let mut step = Step::start(job(folder.path(), &["head", "-c", &size, "/dev/zero"]), LONG).await;
    let mut tail = TailBuffer::new(64 * 1024);
    let mut most = 0;
    while let Some(part) = step.running.output().await {
        tail.push(&part);
        // It is there until the last of it has been read.
        if tail.total_bytes() > SIZE / 2 && most == 0 {
            most = peak_kib(step.running.supervisor());
        }
    }
    assert_eq!(step.end().await, End::Exited(0));
    assert_eq!(tail.total_bytes(), SIZE);
    assert_eq!(tail.tail(), vec![0; 64 * 1024]);
    assert!((1..64 * 1024).contains(&most), "{most} KiB");
}

/// The most memory that a process has ever had.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_step_that_closes_its_output_goes_on() {
    let folder = folder();
    let script = "exec >&- 2>&-; touch closed; until [ -e go ]; do sleep 0.01; done; exit 7";
    let mut step = Step::start(sh(folder.path(), script), LONG).await;
    file(folder.path().join("closed")).await;
    fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(step.finish().await, (Vec::new(), End::Exited(7)));
}

#[tokio::test]
async fn what_nobody_reads_is_dropped_by_the_end() {
    let folder = folder();
    let mut step = Step::start(sh(folder.path(), "head -c 10000000 /dev/zero; exit 3"), LONG).await;
    assert_eq!(step.end().await, End::Exited(3));
}
