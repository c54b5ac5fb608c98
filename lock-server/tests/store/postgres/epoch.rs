//! Tokens after the database's history has changed.

use lock_server::{
    domain::Lock,
    store::{open, postgres::pooler::Pooler},
};
use service_kit::testing::postgres;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::kit::{Kit, MINUTE, options, resource};

const DAY: u64 = 24 * 60 * 60 * 1_000_000;

fn clock_part(lock: &Lock) -> u64 {
    lock.token.get() - lock.acquired_at.micros().unsigned_abs()
}

/// As if the write-ahead log's timeline had changed under a running server.
#[tokio::test]
async fn a_new_timeline_lifts_tokens_at_the_very_next_grant() {
    let kit = Kit::postgres().await;
    let before = kit.grant(&resource("a"), "me", MINUTE).await;
    assert_eq!(clock_part(&before), 0);
    assert_eq!(kit.sql("UPDATE fencing_epoch SET timeline = timeline + 7").await, 1);
    let after = kit.grant(&resource("b"), "me", MINUTE).await;
    assert_eq!(clock_part(&after), DAY);
    let later = kit.grant(&resource("c"), "me", MINUTE).await;
    assert_eq!(clock_part(&later), DAY, "once for each change");
}

/// As if the database had been dumped here and restored into another cluster.
#[tokio::test]
async fn another_cluster_lifts_tokens_at_the_next_probe() {
    let kit = Kit::postgres().await;
    kit.sql("UPDATE fencing_epoch SET cluster = 'elsewhere', epoch = 4").await;
    kit.store.probe().await.unwrap();
    let after = kit.grant(&resource("a"), "me", MINUTE).await;
    assert_eq!(clock_part(&after), 1_004 * DAY, "more than any backup forgot");
    kit.store.probe().await.unwrap();
    let later = kit.grant(&resource("b"), "me", MINUTE).await;
    assert_eq!(clock_part(&later), 1_004 * DAY);
}

/// A held lock keeps its token, and a known resource goes on from it.
#[tokio::test]
async fn an_epoch_changes_nothing_for_who_holds_a_lock() {
    let kit = Kit::postgres().await;
    let held = kit.grant(&resource("a"), "me", MINUTE).await;
    kit.sql("UPDATE fencing_epoch SET timeline = timeline + 1").await;
    let renewal = crate::kit::renew(&resource("a"), "me", held.token, None);
    let renewed = kit.apply(renewal).await;
    assert!(
        matches!(renewed, lock_server::domain::Outcome::Renewed(lock) if lock.token == held.token)
    );
}

/// A role that may not ask for the timeline can still serve.
#[tokio::test]
async fn a_database_that_tells_no_timeline_has_one_epoch() {
    let database = postgres::database().await;
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let name: String =
        sqlx::query("SELECT current_database()").fetch_one(&mut admin).await.unwrap().get(0);
    let role = format!("plain_{name}");
    let setup = format!(
        "REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC;
         CREATE ROLE {role} LOGIN;
         GRANT CREATE, USAGE ON SCHEMA public TO {role}"
    );
    sqlx::raw_sql(AssertSqlSafe(setup)).execute(&mut admin).await.unwrap();
    let url = database.url().replace("postgres://postgres@", &format!("postgres://{role}@"));
    let store = open(&options(&url), Pooler::Auto).await.unwrap();
    let acquire = crate::kit::acquire(&resource("a"), "me", MINUTE);
    let outcomes = store.apply(&[acquire]).await.unwrap();
    assert!(matches!(&outcomes[0], lock_server::domain::Outcome::Granted { .. }), "{outcomes:?}");
    store.probe().await.unwrap();
}
