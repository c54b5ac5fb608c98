//! What only a SQLite file, or memory, can get wrong.

use std::time::{Duration, Instant};

use plan_service::store::{OpenError, OpenOptions, PlanWrite, StoreError, open};
use service_kit::database::{DatabaseUrl, Migrate};
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::kit::{Kit, fence, open_at, options};

async fn beside(kit: &Kit) -> SqliteConnection {
    let path = kit.url.strip_prefix("sqlite://").unwrap();
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let kit = Kit::file().await;
    let plan = kit.added().await;
    let before = kit.store.plan(plan.id).await.unwrap();
    kit.store.close().await;
    let again = kit.another().await;
    assert_eq!(again.plan(plan.id).await.unwrap(), before);
    assert_eq!(again.engine(), "sqlite");
}

#[tokio::test]
async fn it_keeps_a_journal_ahead() {
    let kit = Kit::file().await;
    let mut beside = beside(&kit).await;
    let mode: String =
        sqlx::query("PRAGMA journal_mode").fetch_one(&mut beside).await.unwrap().get(0);
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn each_memory_is_its_own() {
    let (one, other) = (Kit::memory().await, Kit::memory().await);
    let plan = one.added().await;
    assert!(one.store.plan(plan.id).await.unwrap().is_some());
    assert_eq!(other.store.plan(plan.id).await.unwrap(), None);
    assert_eq!(one.store.engine(), "sqlite");
}

/// Readers do not wait for a writer of another process, and writers not for
/// ever.
#[tokio::test]
async fn a_file_that_another_keeps_fails_in_time() {
    let kit = Kit::file().await;
    let plan = kit.added().await;
    let url = DatabaseUrl::parse(&kit.url).unwrap();
    let hasty = OpenOptions { timeout: Duration::from_millis(300), ..options() };
    let store = open(&url, &hasty).await.unwrap();
    let mut beside = beside(&kit).await;
    let keeping = beside.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        let done = store.write_plan(fence(&plan, 2), PlanWrite::of(&plan)).await;
        assert!(matches!(done, Err(StoreError::Timeout)), "{done:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(store.plan(plan.id).await.unwrap().unwrap().version, 1);
    store.probe().await.unwrap();
    keeping.rollback().await.unwrap();
    let done = store.write_plan(fence(&plan, 2), PlanWrite::of(&plan)).await.unwrap();
    assert_eq!(crate::kit::written(done), 2, "none of those that timed out happened");
}

#[tokio::test]
async fn never_migrate_refuses_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/plans.db", folder.path().display());
    let parsed = DatabaseUrl::parse(&url).unwrap();
    let never = OpenOptions { migrate: Migrate::Never, ..options() };
    let refusal = open(&parsed, &never).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Schema(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("run `plan-service migrate` first"), "{refusal}");
    open_at(&url).await;
    open(&parsed, &never).await.unwrap();
    // What is in memory cannot have been migrated first.
    open(&DatabaseUrl::parse("sqlite::memory:").unwrap(), &never).await.unwrap();
}

#[tokio::test]
async fn what_it_cannot_use_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "this is no database, and longer than its head is: ".repeat(30)).unwrap();
    let refused = async |path: String| {
        let url = DatabaseUrl::parse(&format!("sqlite://{path}")).unwrap();
        open(&url, &options()).await.unwrap_err()
    };
    let refusal = refused(format!("{}/below/plans.db", file.display())).await;
    assert!(matches!(refusal, OpenError::File { .. }), "{refusal:?}");
    for path in [file.display().to_string(), folder.path().display().to_string()] {
        let refusal = refused(path.clone()).await;
        assert!(matches!(refusal, OpenError::Database { .. }), "{refusal:?}");
        assert!(refusal.to_string().contains(&path), "{refusal}");
    }
}

#[tokio::test]
async fn merges_of_plans_from_before_are_found() {
    let script = include_str!("../../../migrations/plan/sqlite/0003_noted_merges.sql");
    crate::suite::plans::merges_of_old_plans_are_found(&Kit::file().await, script).await;
}
