//! The disk is full for a while: nothing is acknowledged that is not on it, and
//! the server goes on when there is room again.

use std::process::Command;

use service_kit::testing::{Process, eventually};
use tonic::Code;

use crate::support::{DEADLINE, LOCK_SERVER, acquire, client, failure};

/// Limits how large the files of a process may grow, which fails a write as a
/// full disk does.
fn limit_files(process: u32, most: &str) {
    let limit = format!("--fsize={most}:unlimited");
    let status = Command::new("prlimit").args(["--pid", &process.to_string(), &limit]).status();
    assert!(status.expect("prlimit (Debian's util-linux) is installed").success());
}

#[tokio::test]
async fn a_full_disk_passes() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}", folder.path().join("locks.db").display());
    // A write past the limit is to fail, not to end the process.
    let script = format!(
        "trap '' XFSZ; exec '{LOCK_SERVER}' --listen 127.0.0.1:0 --database-url '{database}'"
    );
    let none: [(&str, &str); 0] = [];
    let mut server = Process::start("sh", ["-c", &script], none);
    let line = server.wait_for_line(|line| line.contains("listening on"), DEADLINE).await;
    let mut locks = client(&format!("http://{}", line.split(' ').nth(3).unwrap()));

    locks.acquire(acquire("plan/before", "me")).await.unwrap();
    limit_files(server.id(), "4096");
    let error = locks.acquire(acquire("plan/meanwhile", "me")).await.unwrap_err();
    failure(&error, Code::Unavailable, "STORE_UNAVAILABLE");

    limit_files(server.id(), "unlimited");
    eventually("the server grants again", DEADLINE, async || {
        locks.acquire(acquire("plan/after", "me")).await.ok()
    })
    .await;
    for (resource, is_held) in [("plan/before", true), ("plan/meanwhile", false)] {
        let found = locks
            .get_lock(proto::lock::v1::GetLockRequest {
                resource: crate::support::resource(resource),
            })
            .await;
        assert_eq!(found.is_ok(), is_held, "{resource}");
    }
}
