//! What only SQLite can get wrong.

use lock_server::store::{Migrate, OpenError, StoreOptions, open, postgres::pooler::Pooler};

use crate::kit::{Kit, MINUTE, acquire, options, resource};

fn url_in(folder: &tempfile::TempDir) -> String {
    format!("sqlite://{}", folder.path().join("deep/er/locks.db").display())
}

#[tokio::test]
async fn makes_the_folder_and_keeps_the_locks() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&url_in(&folder));
    let store = open(&options, Pooler::Auto).await.unwrap();
    store.apply(&[acquire(&resource("42"), "me", MINUTE)]).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(&options, Pooler::Auto).await.unwrap();
    assert!(store.get(&resource("42")).await.unwrap().unwrap().is_live());
}

#[tokio::test]
async fn a_second_server_on_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&url_in(&folder));
    let first = open(&options, Pooler::Auto).await.unwrap();
    let refusal = open(&options, Pooler::Auto).await.unwrap_err();
    assert!(matches!(refusal, OpenError::InUse { .. }), "{refusal:?}");
    let text = refusal.to_string();
    assert!(text.contains("locks.db is in use"), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    drop(first);
    open(&options, Pooler::Auto).await.unwrap();
}

#[tokio::test]
async fn never_migrate_refuses_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let auto = options(&url_in(&folder));
    let never = StoreOptions { migrate: Migrate::Never, ..auto.clone() };
    let refusal = open(&never, Pooler::Auto).await.unwrap_err().to_string();
    assert!(refusal.contains("run `lock-server migrate` first"), "{refusal}");
    drop(open(&auto, Pooler::Auto).await.unwrap());
    open(&never, Pooler::Auto).await.unwrap();
}

#[tokio::test]
async fn locks_in_memory_work_too() {
    let never = StoreOptions { migrate: Migrate::Never, ..options("sqlite::memory:") };
    let store = open(&never, Pooler::Auto).await.unwrap();
    store.apply(&[acquire(&resource("42"), "me", MINUTE)]).await.unwrap();
    assert!(store.get(&resource("42")).await.unwrap().is_some());
    store.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a database, but long enough to be taken for one ".repeat(20))
        .unwrap();
    let wrong = options(&format!("sqlite://{}", path.display()));
    let refusal = open(&wrong, Pooler::Auto).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Database { .. }), "{refusal:?}");
    let below = options(&format!("sqlite://{}/locks.db", path.display()));
    let refusal = open(&below, Pooler::Auto).await.unwrap_err();
    assert!(matches!(refusal, OpenError::File { .. }), "{refusal:?}");
}

#[tokio::test]
async fn an_operator_reads_the_views() {
    let kit = Kit::sqlite().await;
    kit.grant(&resource("live"), "me", MINUTE).await;
    kit.grant(&resource("stale"), "me", MINUTE).await;
    kit.age(&resource("stale"), 1).await;
    for (view, id) in [("held_locks", "live"), ("stale_locks", "stale")] {
        let changed = kit
            .sql(&format!(
                "UPDATE locks SET metadata = '{{\"{view}\":\"\"}}' WHERE resource_id IN \
                 (SELECT resource_id FROM {view})"
            ))
            .await;
        assert_eq!(changed, 1);
        let lock = kit.get(&resource(id)).await.unwrap();
        assert!(lock.metadata.entries().contains_key(view));
    }
}
