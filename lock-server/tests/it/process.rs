//! The binary as a process: how it starts, what it prints, how it refuses.

use std::net::TcpListener;

use proto::lock::v1 as wire;
use service_kit::testing::{Signal, postgres};
use tonic::Code;

use super::support::{
    DEADLINE, LOCK_SERVER, Serving, acquire, assert_serves, failure, resource, run, span, take,
    until_stale,
};

/// `sqlite://` and a file in the folder.
fn sqlite(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}", folder.path().join("locks.db").display())
}

#[tokio::test]
async fn without_a_setting_locks_are_in_the_users_data_folder() {
    let data = tempfile::tempdir().unwrap();
    let env = [("XDG_DATA_HOME", data.path().to_str().unwrap())];
    let mut server = Serving::start_with(&[], &env).await;
    let file = data.path().join("lock-server/locks.db");
    server.keeps_locks_in(file.to_str().unwrap()).await;
    assert_serves(&mut server.locks()).await;
    assert!(file.is_file());
}

#[tokio::test]
async fn once_it_can_be_called_it_prints_where() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    for url in [sqlite(&folder).as_str(), "sqlite::memory:", database.url()] {
        let mut server = Serving::start(&["--database-url", url]).await;
        let port = server.address().strip_prefix("127.0.0.1:").unwrap();
        assert!(port.parse::<u16>().unwrap() > 0);
        assert_eq!(server.line, format!("lock-server listening on 127.0.0.1:{port}"));
        server.keeps_locks_in(url).await;
        assert_serves(&mut server.locks()).await;
    }
}

#[tokio::test]
async fn locks_outlive_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    for url in [sqlite(&folder).as_str(), database.url()] {
        let mut server = Serving::start(&["--database-url", url]).await;
        let lock = take(&server.locks(), "plan/42", "owner").await;
        server.process.kill();
        let server = Serving::start(&["--database-url", url]).await;
        let again = server.locks().acquire(acquire("plan/42", "owner")).await.unwrap();
        assert!(again.get_ref().reentrant, "{url}");
        assert_eq!(again.get_ref().lock.as_ref().unwrap().fencing_token, lock.fencing_token);
        let status = server.locks().acquire(acquire("plan/42", "other")).await.unwrap_err();
        failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
    }
}

#[tokio::test]
async fn a_start_purges_what_is_stale_and_says_how_much() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    for url in [sqlite(&folder).as_str(), database.url()] {
        let flags = ["--database-url", url, "--min-ttl", "100ms"];
        let mut server = Serving::start(&flags).await;
        let mut locks = server.locks();
        take(&locks, "plan/live", "owner").await;
        for id in ["plan/a", "plan/b"] {
            let short = wire::AcquireRequest { ttl: span(0, 100_000_000), ..acquire(id, "owner") };
            locks.acquire(short).await.unwrap();
            until_stale(&locks, id).await;
        }
        server.process.kill();
        let mut server = Serving::start(&flags).await;
        let purged = |line: &str| line.contains("purge") && line.contains("purged=2");
        server.process.wait_for_line(purged, DEADLINE).await;
        let mut locks = server.locks();
        let stale = locks.list_stale(wire::ListStaleRequest::default()).await.unwrap();
        assert_eq!(stale.into_inner().total_count, 0, "{url}");
        let live = wire::GetLockRequest { resource: resource("plan/live") };
        locks.get_lock(live).await.unwrap();
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["--database-url", "sqlite::memory:", "--listen", &address];
    run(&args, &[]).await.ended_with(1).complains(&["--listen", &address, "in use"]);
}

#[tokio::test]
async fn a_second_server_on_a_sqlite_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(&folder);
    let mut first = Serving::start(&["--database-url", &url]).await;
    let process = first.process.id().to_string();
    let args = ["--database-url", &url, "--listen", "127.0.0.1:0"];
    let file = url.strip_prefix("sqlite://").unwrap();
    let refused = run(&args, &[]).await.ended_with(1);
    refused.complains(&[file, &process, "in use", "--database-url"]);
    assert_serves(&mut first.locks()).await;
    // Once the first is gone, however it went, the file is free.
    first.process.kill();
    let second = Serving::start(&["--database-url", &url]).await;
    assert_serves(&mut second.locks()).await;
}

#[tokio::test]
async fn migrations_can_be_run_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    for url in [sqlite(&folder).as_str(), database.url()] {
        let never = ["--database-url", url, "--migrate", "never", "--listen", "127.0.0.1:0"];
        let refused = run(&never, &[]).await.ended_with(1);
        refused.complains(&[url, "lock-server migrate", "--migrate auto"]);
        for _again in 0..2 {
            let migrated = run(&["migrate", "--database-url", url], &[]).await.ended_with(0);
            assert!(migrated.stdout.contains(url), "{migrated:?}");
        }
        let server = Serving::start(&never).await;
        assert_serves(&mut server.locks()).await;
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_ends_the_start() {
    let missing = tempfile::tempdir().unwrap();
    let file = missing.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let below_a_file = format!("sqlite://{}/locks.db", file.display());
    let port = service_kit::testing::free_port();
    let nobody = format!("postgres://postgres@127.0.0.1:{port}/locks");
    for url in [below_a_file.as_str(), &nobody] {
        let args = ["--database-url", url, "--listen", "127.0.0.1:0"];
        let place = url.split("://").nth(1).unwrap();
        run(&args, &[]).await.ended_with(1).complains(&["cannot use the database", place]);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite(&folder);
    let text = "not a database, but somebody's thesis ".repeat(100);
    std::fs::write(folder.path().join("locks.db"), &text).unwrap();
    let args = ["--database-url", &url, "--listen", "127.0.0.1:0"];
    run(&args, &[]).await.ended_with(1).complains(&["locks.db", "not a database"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("locks.db")).unwrap(), text);
}

#[tokio::test]
async fn health_asks_the_server_at_its_address() {
    let mut server = Serving::start(&["--database-url", "sqlite::memory:"]).await;
    let address = server.address().to_owned();
    for (args, word) in [(&["health"][..], "ready"), (&["health", "--live"], "alive")] {
        let args = [args, &["--listen", &address]].concat();
        let well = run(&args, &[]).await.ended_with(0);
        assert!(well.stdout.contains(&address) && well.stdout.contains(word), "{well:?}");
    }
    let by_variable = run(&["health"], &[("LOCK_SERVER_LISTEN", &address)]).await;
    by_variable.ended_with(0);
    server.process.signal(Signal::SIGTERM);
    server.assert_ends_well(DEADLINE).await;
    for args in [&["health"][..], &["health", "--live"]] {
        let args = [args, &["--listen", &address]].concat();
        run(&args, &[]).await.ended_with(1).complains(&[&address, "cannot connect"]);
    }
}

/// A database that accepts a connection and says nothing: a start waits for it
/// for a while, and a signal ends that.
#[tokio::test]
async fn a_start_can_be_interrupted() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://postgres@{}/locks", silent.local_addr().unwrap());
    let flags = ["--listen", "127.0.0.1:0", "--store-timeout", "60s", "--database-url", &url];
    let none: [(&str, &str); 0] = [];
    let mut server = service_kit::testing::Process::start(LOCK_SERVER, flags, none);
    let connection = silent.accept().await.unwrap();
    server.signal(service_kit::testing::Signal::SIGTERM);
    let status = server.wait(DEADLINE).await;
    assert!(status.success(), "{status}: {}", server.output());
    drop(connection);
}

#[tokio::test]
async fn a_postgres_without_the_database_says_how_to_make_it() {
    let database = postgres::database().await;
    let missing = format!("{}_missing", database.url());
    for command in [&["--listen", "127.0.0.1:0"][..], &["migrate"]] {
        let args = [command, &["--database-url", &missing]].concat();
        run(&args, &[]).await.ended_with(1).complains(&[&missing, "does not exist", "createdb"]);
    }
}

/// Where locks were expected, a new database means a mistyped URL.
#[tokio::test]
async fn a_new_database_is_told_apart_from_a_known_one() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::database().await;
    for url in [sqlite(&folder).as_str(), database.url()] {
        for is_new in [true, false] {
            let mut server = Serving::start(&["--database-url", url]).await;
            server.keeps_locks_in(url).await;
            let said = server.process.output().contains("this database is new");
            assert_eq!(said, is_new, "{}", server.process.output());
            server.process.kill();
        }
    }
}
