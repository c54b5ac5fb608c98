//! What only SQLite can get wrong.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lock_server::{
    domain::{Acquire, Command, Outcome, Span, Wait},
    store::{
        Migrate, OpenError, Store, StoreError, StoreOptions, Wake, open, postgres::pooler::Pooler,
    },
};
use service_kit::testing::eventually;
use sqlx::{
    Connection as _, SqlStr, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
};
use tempfile::TempDir;

use crate::kit::{Kit, MINUTE, acquire, metadata, options, owner, release, resource};

const DEADLINE: Duration = Duration::from_secs(20);

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

/// Somebody who has begun to write in the `sqlite3` shell.
struct Shell(SqliteConnection);

impl Shell {
    async fn writing(options: &StoreOptions) -> Self {
        let url = format!("{:?}", options.url);
        let url = url.trim_start_matches("DatabaseUrl(").trim_end_matches(')');
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        Self(connection)
    }

    async fn done(mut self) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

/// A store in a new folder that gives up after this long.
async fn store_with(timeout: Duration) -> (TempDir, StoreOptions, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { timeout, ..options(&url_in(&folder)) };
    let store = open(&options, Pooler::Auto).await.unwrap();
    (folder, options, store)
}

/// Asks for a resource, and waits until the store has been told.
async fn asks(store: &Arc<dyn Store>, id: &str) -> tokio::task::JoinHandle<()> {
    let (store, command) = (Arc::clone(store), acquire(&resource(id), "me", MINUTE));
    let (told, being_told) = tokio::sync::oneshot::channel();
    let asking = tokio::spawn(async move {
        let mut asking = std::pin::pin!(store.apply(std::slice::from_ref(&command)));
        // The first poll sends it.
        let first = futures::poll!(&mut asking);
        assert!(first.is_pending(), "somebody else writes");
        told.send(()).unwrap();
        asking.await.unwrap();
    });
    being_told.await.unwrap();
    asking
}

#[tokio::test]
async fn somebody_who_locks_the_file_is_waited_for_as_long_as_is_allowed() {
    let (_folder, options, store) = store_with(Duration::from_millis(300)).await;
    let shell = Shell::writing(&options).await;
    let started = Instant::now();
    let batch = [acquire(&resource("42"), "me", MINUTE)];
    let refused = futures::future::join_all((0..4).map(|_| store.apply(&batch))).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    for result in refused {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Timeout(_) | StoreError::Sqlite(_)), "{error:?}");
    }
    assert!(store.get(&resource("42")).await.unwrap().is_none(), "reading goes on");
    shell.done().await;
    eventually("it is granted", DEADLINE, async || store.apply(&batch).await.ok()).await;
}

#[tokio::test]
async fn a_command_whose_caller_has_gone_before_its_turn_is_not_carried_out() {
    let (_folder, options, store) = store_with(Duration::from_secs(30)).await;
    let shell = Shell::writing(&options).await;
    let first = asks(&store, "first").await;
    let gone = asks(&store, "gone").await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    shell.done().await;
    first.await.unwrap();
    store.probe().await.unwrap();
    assert!(store.get(&resource("first")).await.unwrap().is_some());
    assert!(store.get(&resource("gone")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_failure_of_this_program_is_told_and_passes() {
    let kit = Kit::sqlite().await;
    let (broken, whole) = (resource("broken"), resource("whole"));
    kit.grant(&broken, "me", MINUTE).await;
    kit.sql("PRAGMA ignore_check_constraints = ON; UPDATE locks SET fencing_token = 0").await;
    let batch = [acquire(&whole, "me", MINUTE), acquire(&broken, "me", MINUTE)];
    let error = kit.store.apply(&batch).await.unwrap_err();
    assert!(matches!(error, StoreError::Aborted), "{error:?}");
    assert_eq!(kit.get(&whole).await, None, "what is not acknowledged is not half done");
    kit.sql("UPDATE locks SET fencing_token = 1").await;
    assert_eq!(kit.store.apply(&batch).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_there_before_a_migration_is_there_after_it() {
    const FIRST: &str = include_str!("../../../migrations/lock/sqlite/0001_locks.sql");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    let url = format!("sqlite://{}", path.display());
    let mut connection = SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap();
    let sql = SqlStr::from_static(FIRST);
    let first = Migration::new(1, "locks".into(), MigrationType::Simple, sql, false);
    let mut migrator = Migrator::with_migrations(vec![first]);
    migrator.dangerous_set_table_name("lock_schema_migrations");
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    let rows = "INSERT INTO locks VALUES
        ('plan', 'live', 'me', 7, 1, 2, 4102444800000000, NULL, 60000000, 3, '{\"a\":\"b\"}'),
        ('plan', 'stale', 'me', 8, 1, 2, 3, NULL, 60000000, 0, '{}'),
        ('plan', 'free', 'me', 9, 1, 2, NULL, 3, 60000000, 0, '{}');
        UPDATE fencing_epoch SET token_floor = 5000000000000000";
    sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let store = open(&options(&url), Pooler::Auto).await.unwrap();
    let live = store.get(&resource("live")).await.unwrap().unwrap();
    assert!(live.is_live());
    assert_eq!((live.owner.as_str(), live.token.get(), live.ttl), ("me", 7, MINUTE));
    assert_eq!(live.metadata.entries()["a"], "b");
    assert!(!store.get(&resource("stale")).await.unwrap().unwrap().is_live());
    assert!(store.get(&resource("free")).await.unwrap().is_none());
    assert_eq!(store.prune(Span::from_micros(60_000_000), 100).await.unwrap(), 1);
    let granted = store.apply(&[acquire(&resource("free"), "me", MINUTE)]).await.unwrap();
    assert!(format!("{granted:?}").contains("5000000000000001"), "{granted:?}");
}

/// As the server of the version before writes a new row.
#[tokio::test]
async fn a_row_that_says_nothing_of_when_it_was_freed_is_pruned_too() {
    let kit = Kit::sqlite().await;
    kit.sql(
        "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
                            renewed_at, freed_at, ttl)
         VALUES ('plan', 'old', 'me', 1, 1, 1, 1, 1)",
    )
    .await;
    assert_eq!(kit.store.prune(MINUTE, 100).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_not_free_for_long_does_not_hide_what_is() {
    let kit = Kit::sqlite().await;
    for id in ["held", "held too", "held as well", "freed"] {
        kit.grant(&resource(id), "me", MINUTE).await;
    }
    kit.apply(release(&resource("freed"), "me", None)).await;
    let hour = Span::from_micros(3_600_000_000);
    kit.sql("UPDATE locks SET not_free_before = not_free_before - 7200000001").await;
    kit.sql(
        "UPDATE locks SET freed_at = freed_at - 7200000000, not_free_before = not_free_before + 1
         WHERE resource_id = 'freed'",
    )
    .await;
    assert_eq!(kit.store.prune(hour, 2).await.unwrap(), 1);
    let looked_at = "UPDATE locks SET ttl = ttl
         WHERE not_free_before < (unixepoch() - 3600) * 1000000";
    assert_eq!(kit.sql(looked_at).await, 0, "they are not looked at again");
    assert!(kit.get(&resource("held")).await.unwrap().is_live());
}

/// A process starts again within the time for which its places are kept.
#[tokio::test]
async fn a_place_in_line_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&url_in(&folder));
    let plan = resource("42");
    let ask = |by, again| {
        Command::Acquire(Acquire {
            resource: plan.clone(),
            owner: owner(by),
            ttl: MINUTE,
            metadata: metadata(&[]),
            wait: Some(Wait { time: MINUTE, again }),
        })
    };
    let store = open(&options, Pooler::Auto).await.unwrap();
    let batch = [acquire(&plan, "me", MINUTE), ask("a", false), ask("b", false), ask("c", false)];
    store.apply(&batch).await.unwrap();
    store.close().await;
    drop(store);

    let store = open(&options, Pooler::Auto).await.unwrap();
    let mut wakes = store.wakes().unwrap();
    store.say_alive().await.unwrap();
    assert_eq!(store.drop_gone_waiters(10).await.unwrap(), 0, "they may come back");
    // The second comes back before it is its turn, the first after.
    let outcomes = store.apply(&[ask("b", false), release(&plan, "me", None)]).await.unwrap();
    let Outcome::Waiting { holder, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(holder.waiters, 3);
    assert!(wakes.try_recv().is_err(), "who has it is not here");
    assert_eq!(store.look_after_waiters().await.unwrap().settled, []);
    let outcomes = store.apply(&[ask("a", false), release(&plan, "a", None)]).await.unwrap();
    assert!(matches!(outcomes[0], Outcome::Claimed { .. }), "{outcomes:?}");
    let Ok(Wake::Granted { lock, .. }) = wakes.try_recv() else { panic!("the second is not told") };
    assert_eq!((lock.owner, lock.waiters), (owner("b"), 1));

    // The third does not.
    sqlx::raw_sql(
        "UPDATE lock_servers SET alive_until = 1
         WHERE server = (SELECT server FROM lock_waiters)",
    )
    .execute(&mut SqliteConnection::connect(&url_in(&folder)).await.unwrap())
    .await
    .unwrap();
    assert_eq!(store.drop_gone_waiters(10).await.unwrap(), 1);
    assert_eq!(store.get(&plan).await.unwrap().unwrap().waiters, 0);
    store.apply(&[release(&plan, "b", None)]).await.unwrap();
    assert_eq!(store.get(&plan).await.unwrap(), None);
}
