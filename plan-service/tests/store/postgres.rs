//! What only a Postgres can get wrong.

use std::time::{Duration, Instant};

use plan_service::store::{OpenError, OpenOptions, PlanWrite, StoreError, open};
use service_kit::{
    database::{DatabaseUrl, Migrate},
    testing::{PgBouncer, PostgresServer, TcpProxy, postgres},
};
use sqlx::{Connection as _, PgConnection};

use crate::{
    kit::{Kit, fence, open_at, options, written},
    suite,
};

async fn refused(url: &str, options: &OpenOptions) -> OpenError {
    open(&DatabaseUrl::parse(url).unwrap(), options).await.unwrap_err()
}

#[tokio::test]
async fn never_migrate_refuses_an_empty_database() {
    let database = postgres::database().await;
    let never = OpenOptions { migrate: Migrate::Never, ..options() };
    let refusal = refused(database.url(), &never).await;
    assert!(matches!(refusal, OpenError::Schema(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("run `plan-service migrate` first"), "{refusal}");
    let store = open_at(database.url()).await;
    assert_eq!(store.engine(), "postgres");
    open(&DatabaseUrl::parse(database.url()).unwrap(), &never).await.unwrap();
}

#[tokio::test]
async fn what_it_cannot_use_is_refused_with_a_reason() {
    let gone = refused("postgres://me:secret@127.0.0.1:1/nowhere", &options()).await;
    assert!(matches!(gone, OpenError::Database { .. }), "{gone:?}");
    assert!(!gone.to_string().contains("secret"), "{gone}");
    let wrong = refused("postgres://h:port/d", &options()).await;
    assert!(matches!(wrong, OpenError::Url { .. }), "{wrong:?}");
    let database = postgres::database().await;
    let missing = refused(&format!("{}_not", database.url()), &options()).await;
    assert!(matches!(missing, OpenError::Missing(_)), "{missing:?}");
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let name = database.url().rsplit('/').next().unwrap();
    let set = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut connection).await.unwrap();
    let hasty = refused(database.url(), &options()).await;
    assert!(hasty.to_string().contains("synchronous_commit = off"), "{hasty}");
}

/// Statements change connections all the time there, and the proxy takes no
/// startup parameters.
#[tokio::test(flavor = "multi_thread")]
async fn works_behind_a_transaction_pooling_proxy() {
    let database = postgres::database().await;
    let proxy = PgBouncer::before(&database, "").await;
    let kit = Kit::at(proxy.url()).await;
    suite::actions::one_of_100_creates_the_action(kit).await;
    let kit = Kit::at(proxy.url()).await;
    suite::fences::a_late_write_changes_nothing(kit).await;
    let kit = Kit::at(proxy.url()).await;
    suite::many::nobody_sees_half_a_plan(kit).await;
}

/// A database that stops answering fails each request in time, and what hung is
/// not used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_fails_in_time_and_recovers() {
    let kit = Kit::postgres().await;
    let plan = kit.added().await;
    let (_, place) = kit.url.split_once('@').unwrap();
    let (address, _) = place.split_once('/').unwrap();
    let proxy = TcpProxy::start(address.parse().unwrap()).await;
    let through = kit.url.replace(address, &proxy.address().to_string());
    let hasty = OpenOptions { timeout: Duration::from_millis(300), ..options() };
    let store = open(&DatabaseUrl::parse(&through).unwrap(), &hasty).await.unwrap();
    store.probe().await.unwrap();
    proxy.stall().await;
    let started = Instant::now();
    for _ in 0..4 {
        let done = store.write_plan(fence(&plan, 2), PlanWrite::of(&plan)).await;
        assert!(matches!(done, Err(StoreError::Timeout)), "{done:?}");
        assert!(matches!(store.probe().await, Err(StoreError::Timeout)));
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // What hung is gone, and what it asked for has not happened.
    proxy.cut().await;
    assert!(matches!(store.probe().await, Err(StoreError::Database(_))));
    proxy.resume().await;
    store.probe().await.unwrap();
    let done = store.write_plan(fence(&plan, 3), PlanWrite::of(&plan)).await.unwrap();
    assert_eq!(written(done), 2);
}

/// Connections that were idle when the database restarted are not held against
/// whoever asks next.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_not_noticed_afterwards() {
    let server = PostgresServer::start();
    let kit = Kit::at(&server.url("postgres")).await;
    let plan = kit.added().await;
    let before = kit.store.plan(plan.id).await.unwrap();
    server.kill();
    let gone = kit.store.plan(plan.id).await.unwrap_err();
    assert!(matches!(gone, StoreError::Database(_)), "{gone:?}");
    server.start_again();
    assert_eq!(kit.store.plan(plan.id).await.unwrap(), before);
    server.restart();
    assert_eq!(kit.write(2, PlanWrite::of(&plan)).await, 2);
}

/// An instance that is stopped in the middle of a write keeps the others from
/// the plan only for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_somebody_keeps_fails_in_time() {
    let kit = Kit::postgres().await;
    let (plan, other) = (kit.added().await, kit.added().await);
    let hasty = OpenOptions { timeout: Duration::from_millis(500), ..options() };
    let store = open(&DatabaseUrl::parse(&kit.url).unwrap(), &hasty).await.unwrap();
    let mut connection = PgConnection::connect(&kit.url).await.unwrap();
    let mut keeping = connection.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM plans WHERE plan_id = $1 FOR UPDATE")
        .bind(plan.id.to_string())
        .execute(&mut *keeping)
        .await
        .unwrap();
    let done = store.write_plan(fence(&plan, 2), PlanWrite::of(&plan)).await;
    assert!(matches!(done, Err(StoreError::Timeout)), "{done:?}");
    let done = store.write_plan(fence(&other, 2), PlanWrite::of(&other)).await.unwrap();
    assert_eq!(written(done), 2, "another plan is not held up");
    assert_eq!(store.plan(plan.id).await.unwrap().unwrap().version, 1);
    keeping.rollback().await.unwrap();
    let done = store.write_plan(fence(&plan, 2), PlanWrite::of(&plan)).await.unwrap();
    assert_eq!(written(done), 2, "the one that timed out did not happen");
}

/// What has become a standby is told by those who write, and by the probe.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_not_ready() {
    let primary = PostgresServer::start();
    let kit = Kit::at(&primary.url("postgres")).await;
    let plan = kit.added().await;
    let standby = PostgresServer::standby_of(&primary);
    let never = OpenOptions { migrate: Migrate::Never, ..options() };
    let url = DatabaseUrl::parse(&standby.url("postgres")).unwrap();
    let store = open(&url, &never).await.unwrap();
    assert!(store.plan(plan.id).await.unwrap().is_some());
    assert!(matches!(store.probe().await, Err(StoreError::Database(_))));
    let done = store.write_plan(fence(&plan, 2), PlanWrite::of(&plan)).await;
    assert!(matches!(done, Err(StoreError::Database(_))), "{done:?}");
    primary.kill();
    standby.promote().await;
    store.probe().await.unwrap();
    let done = store.write_plan(fence(&plan, 2), PlanWrite::of(&plan)).await.unwrap();
    assert_eq!(written(done), 2);
}

#[tokio::test]
async fn merges_of_plans_from_before_are_found() {
    let script = include_str!("../../../migrations/plan/postgres/0003_noted_merges.sql");
    crate::suite::plans::merges_of_old_plans_are_found(&Kit::postgres().await, script).await;
}
