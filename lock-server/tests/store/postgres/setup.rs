//! Opening a Postgres store.

use std::time::Duration;

use lock_server::{
    domain::Outcome,
    store::{Migrate, OpenError, StoreError, StoreOptions, open, postgres::pooler::Pooler},
};
use service_kit::testing::{PostgresServer, TcpProxy, postgres};

use crate::kit::{Kit, MINUTE, acquire, options, release, renew, resource};

#[tokio::test]
async fn never_migrate_refuses_an_empty_database() {
    let database = postgres::database().await;
    let auto = options(database.url());
    let never = StoreOptions { migrate: Migrate::Never, ..auto.clone() };
    let refusal = open(&never, Pooler::Auto).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Schema(_)), "{refusal:?}");
    assert!(refusal.to_string().contains("run `lock-server migrate` first"), "{refusal}");
    open(&auto, Pooler::Auto).await.unwrap();
    open(&never, Pooler::Auto).await.unwrap();
}

#[tokio::test]
async fn many_may_migrate_at_once() {
    let database = postgres::database().await;
    let options = options(database.url());
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let options = options.clone();
            tokio::spawn(async move { open(&options, Pooler::Auto).await.map(drop) })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
}

/// Through a view there is no `ctid`, as there is none in other databases that
/// speak Postgres' protocol.
#[tokio::test]
async fn works_where_there_is_no_ctid() {
    let kit = Kit::postgres().await;
    kit.sql("ALTER TABLE locks RENAME TO locks_kept; CREATE VIEW locks AS TABLE locks_kept").await;
    for _ in 0..2 {
        let batch = ["a", "b", "c"].map(|id| acquire(&resource(id), "me", MINUTE));
        for outcome in kit.store.apply_now(&batch).await.unwrap() {
            assert!(matches!(outcome, Some(Outcome::Granted { reentrant: false, .. })));
        }
        let mixed = [
            release(&resource("a"), "me", None),
            acquire(&resource("b"), "you", MINUTE),
            acquire(&resource("d"), "you", MINUTE),
            release(&resource("c"), "me", None),
        ];
        let outcomes = kit.store.apply_now(&mixed).await.unwrap();
        let released = Some(Outcome::Released { ended: true });
        assert_eq!((&outcomes[0], &outcomes[3]), (&released, &released));
        assert!(matches!(outcomes[1], Some(Outcome::Conflict { .. })), "{outcomes:?}");
        assert!(matches!(outcomes[2], Some(Outcome::Granted { .. })), "{outcomes:?}");
        let rest = [release(&resource("b"), "me", None), release(&resource("d"), "you", None)];
        assert_eq!(kit.store.apply_now(&rest).await.unwrap(), [released.clone(), released]);
    }
}

/// Through a proxy that lends connections for a transaction, statements are
/// not prepared under a name and stand in a transaction each.
#[tokio::test]
async fn works_without_named_statements() {
    let database = postgres::database().await;
    let store = open(&options(database.url()), Pooler::Transaction).await.unwrap();
    let plan = resource("42");
    for round in 0..10 {
        let by = format!("owner-{round}");
        let granted = store.apply(&[acquire(&plan, &by, MINUTE)]).await.unwrap();
        let lock_server::domain::Outcome::Granted { lock, .. } = &granted[0] else {
            panic!("{granted:?}")
        };
        store
            .apply(&[renew(&plan, &by, lock.token, None), release(&plan, &by, None)])
            .await
            .unwrap();
    }
    assert_eq!(store.get(&plan).await.unwrap(), None);
}

#[tokio::test]
async fn what_it_cannot_use_is_refused_with_a_reason() {
    let gone = options("postgres://postgres@127.0.0.1:1/nowhere");
    let refusal = open(&gone, Pooler::Auto).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Database { .. }), "{refusal:?}");
    let wrong = options("postgres://h:port/d");
    let refusal = open(&wrong, Pooler::Auto).await.unwrap_err();
    assert!(matches!(refusal, OpenError::Url { .. }), "{refusal:?}");
}

/// A database that stops answering fails each request in time, and the
/// connections that hung are not used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_fails_in_time_and_recovers() {
    let server = PostgresServer::start();
    let database = server.database().await;
    let url: String = database.url().to_owned();
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let proxy = TcpProxy::start(format!("127.0.0.1:{port}").parse().unwrap()).await;
    let through = url.replace(port, &proxy.address().port().to_string());
    let options = StoreOptions { timeout: Duration::from_millis(300), ..options(&through) };
    let store = open(&options, Pooler::Auto).await.unwrap();
    let command = [acquire(&resource("42"), "me", MINUTE)];
    store.apply(&command).await.unwrap();
    proxy.stall().await;
    for _ in 0..20 {
        let started = tokio::time::Instant::now();
        let error = store.apply(&command).await.unwrap_err();
        assert!(matches!(error, StoreError::Timeout(_)), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
    proxy.cut().await;
    assert!(store.apply(&command).await.is_err());
    proxy.resume().await;
    store.apply(&command).await.unwrap();
}

#[tokio::test]
async fn an_operator_reads_the_views() {
    let kit = Kit::postgres().await;
    kit.grant(&resource("live"), "me", MINUTE).await;
    kit.grant(&resource("stale"), "me", MINUTE).await;
    kit.age(&resource("stale"), 1).await;
    kit.grant(&resource("free"), "me", MINUTE).await;
    kit.apply(release(&resource("free"), "me", None)).await;
    for (view, id) in [("held_locks", "live"), ("stale_locks", "stale")] {
        let found = kit
            .sql(&format!(
                "DELETE FROM locks WHERE resource_id IN (SELECT resource_id FROM {view})"
            ))
            .await;
        assert_eq!(found, 1);
        assert_eq!(kit.get(&resource(id)).await, None);
    }
}
