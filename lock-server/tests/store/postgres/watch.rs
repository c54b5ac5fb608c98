//! Watching where only Postgres can get it wrong: snapshots, other servers, tables
//! that somebody has locked, and histories that change.

use std::time::Duration;

use lock_server::{
    domain::LockEventKind,
    store::{Changes, StoreError},
};
use service_kit::testing::eventually;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::Instant;

use crate::kit::{Kit, MINUTE, release, resource};

const DEADLINE: Duration = Duration::from_secs(60);

/// Writes as many changes down as are given, of a lock that there is.
fn many(count: usize) -> String {
    format!("SELECT lock_changed('RENEWED', l) FROM locks l, generate_series(1, {count})")
}

fn ids(changes: &Changes) -> Vec<(LockEventKind, &str)> {
    changes.list.iter().map(|event| (event.kind, event.lock.resource.id())).collect()
}

/// Panics unless it is told that something may be missing.
fn assert_lost(changes: Result<Changes, StoreError>) {
    let changes = changes.map(|changes| changes.list.len());
    assert!(matches!(changes, Err(StoreError::ChangesLost)), "{changes:?}");
}

/// Waits until as many seconds have passed by the database's clock.
async fn until(kit: &Kit, moment: &str) {
    let sql = format!("UPDATE fencing_epoch SET epoch = epoch WHERE clock_timestamp() > {moment}");
    eventually("the time comes", DEADLINE, async || (kit.sql(&sql).await == 1).then_some(())).await;
}

/// A watch with the renewals begins beside one that has not looked for long.
#[tokio::test]
async fn to_go_on_with_the_renewals_does_not_hide_what_was_lost() {
    let kit = Kit::postgres().await;
    kit.store.watch(false).await.unwrap();
    let soon = "UPDATE fencing_epoch SET watched_until = clock_timestamp() + interval '500 ms'";
    assert_eq!(kit.sql(soon).await, 1);
    kit.store.changes(false).await.unwrap();
    kit.grant(&resource("42"), "me", MINUTE).await;
    until(&kit, "watched_until").await;
    let renewals = kit.store.watch_renewals().await;
    assert!(matches!(renewals, Err(StoreError::ChangesLost)), "{renewals:?}");
    assert_lost(kit.store.changes(true).await);
    // And where nobody watches, nothing goes on.
    assert!(kit.store.watch_renewals().await.is_err());
    kit.store.watch(true).await.unwrap();
    assert_eq!(kit.store.changes(true).await.unwrap().list, []);
}

/// Writes a change down, and makes it that of a transaction that there was in
/// another cluster and was not here yet.
async fn bring_along(kit: &Kit) {
    kit.store.watch(false).await.unwrap();
    kit.grant(&resource("dumped"), "me", MINUTE).await;
    kit.apply(release(&resource("dumped"), "me", None)).await;
    let moved = "UPDATE lock_changes SET xid = (xid::text::int8 + 1000000)::text::xid8";
    assert_eq!(kit.sql(moved).await, 2);
}

#[tokio::test]
async fn what_is_of_no_transaction_yet_is_not_told() {
    let kit = Kit::postgres().await;
    bring_along(&kit).await;
    kit.store.watch(false).await.unwrap();
    kit.grant(&resource("42"), "me", MINUTE).await;
    let changes = kit.store.changes(false).await.unwrap();
    assert_eq!(ids(&changes), [(LockEventKind::Acquired, "42")]);
}

#[tokio::test]
async fn in_another_cluster_nothing_is_left_of_what_was_written_down() {
    let kit = Kit::postgres().await;
    bring_along(&kit).await;
    kit.sql("UPDATE fencing_epoch SET cluster = 'elsewhere'").await;
    kit.store.probe().await.unwrap();
    assert_eq!(kit.sql("DELETE FROM lock_changes").await, 0);
    // What was not read is gone for those who watched, too.
    assert_lost(kit.store.changes(false).await);
}

/// Numbers of transactions that were lost are given again.
#[tokio::test]
async fn a_watch_ends_with_the_history_of_its_database() {
    let kit = Kit::postgres().await;
    kit.store.watch(false).await.unwrap();
    kit.store.changes(false).await.unwrap();
    kit.sql("UPDATE fencing_epoch SET timeline = timeline + 7").await;
    kit.grant(&resource("42"), "me", MINUTE).await;
    assert_lost(kit.store.changes(false).await);
}

/// Others delete what they have read when a while has passed, and do not know who
/// reads still.
#[tokio::test]
async fn who_reads_for_too_long_may_miss_something() {
    let kit = Kit::postgres().await;
    kit.grant(&resource("42"), "me", MINUTE).await;
    kit.store.watch(true).await.unwrap();
    kit.sql(&many(16_000)).await;
    kit.sql("CREATE TABLE began AS SELECT clock_timestamp() AS at").await;
    for seconds in [0, 6, 12] {
        until(&kit, &format!("(SELECT at FROM began) + interval '{seconds} s'")).await;
        let changes = kit.store.changes(true).await.unwrap();
        assert_eq!((changes.list.len(), changes.more), (5_000, true), "after {seconds} s");
    }
    until(&kit, "(SELECT at FROM began) + interval '16 s'").await;
    assert_lost(kit.store.changes(true).await);
}

#[tokio::test]
async fn what_all_have_read_is_deleted_while_somebody_watches() {
    let kit = Kit::postgres().await;
    kit.store.watch(false).await.unwrap();
    kit.grant(&resource("old"), "me", MINUTE).await;
    kit.store.watch(false).await.unwrap();
    kit.grant(&resource("young"), "me", MINUTE).await;
    assert_eq!(kit.store.changes(false).await.unwrap().list.len(), 1);
    let left = "UPDATE lock_changes SET kind = kind";
    assert_eq!(kit.sql(left).await, 2);
    eventually("what is old is deleted", DEADLINE, async || {
        kit.store.changes(false).await.unwrap();
        (kit.sql(left).await == 1).then_some(())
    })
    .await;
}

/// It may be much, and nobody is to read it.
#[tokio::test]
async fn what_has_run_out_before_anybody_watches_is_not_written_down() {
    let kit = Kit::postgres().await;
    kit.grant(&resource("42"), "me", MINUTE).await;
    kit.age(&resource("42"), 5).await;
    kit.store.watch(false).await.unwrap();
    assert_eq!(kit.store.changes(false).await.unwrap().list, []);
    assert_eq!(kit.sql("UPDATE lock_changes SET kind = kind").await, 0);
    assert_eq!(kit.sql("UPDATE locks SET ttl = ttl WHERE expiry_told = fencing_token").await, 1);
}

/// Somebody else, who has locked a table.
async fn locked(kit: &Kit, table: &str) -> PgConnection {
    let mut other = kit.session().await;
    let sql = AssertSqlSafe(format!("BEGIN; LOCK TABLE {table} MODE"));
    sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
    other
}

/// Looks again and again: all that is told.
async fn look_for(kit: &Kit, time: Duration, what: &str) -> usize {
    let (began, mut told) = (Instant::now(), 0);
    while began.elapsed() < time {
        let changes = kit.store.changes(false).await;
        told += changes.unwrap_or_else(|error| panic!("{what}: {error:?}")).list.len();
    }
    told
}

#[tokio::test]
async fn what_somebody_has_locked_is_read_later() {
    let kit = Kit::postgres().await;
    kit.store.watch(false).await.unwrap();
    kit.grant(&resource("42"), "me", MINUTE).await;
    let table = "lock_changes IN ACCESS EXCLUSIVE";
    let other = locked(&kit, table).await;
    for _ in 0..20 {
        let changes = kit.store.changes(false).await.unwrap();
        assert_eq!((ids(&changes), changes.more), (vec![], true), "the look is not over");
    }
    drop(other);
    assert_eq!(look_for(&kit, Duration::from_millis(500), table).await, 1);
    // As who makes an index.
    let table = "locks IN SHARE";
    let other = locked(&kit, table).await;
    assert_eq!(look_for(&kit, Duration::from_millis(500), table).await, 0);
    kit.store.watch(false).await.unwrap();
    assert_eq!(look_for(&kit, Duration::from_millis(500), table).await, 0);
    drop(other);
    // To say that somebody watches takes more time than that, but not for ever.
    let table = "fencing_epoch IN EXCLUSIVE";
    let other = locked(&kit, table).await;
    assert_eq!(look_for(&kit, Duration::from_secs(7), table).await, 0);
    let lost =
        eventually("the watch ends", DEADLINE, async || kit.store.changes(false).await.err());
    assert!(matches!(lost.await, StoreError::ChangesLost));
    drop(other);
}
