//! A standby takes over, and what the primary granted last is lost.

use lock_server::{
    domain::Outcome,
    store::{open, postgres::pooler::Pooler},
};
use service_kit::testing::PostgresServer;

use crate::kit::{MINUTE, acquire, options, resource};

/// The standby stopped before the last grants: an asynchronous failover at its
/// worst. Tokens still do not go back, and rise by more than two clocks differ.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_not_go_back_when_grants_are_lost() {
    let primary = PostgresServer::start();
    let url = primary.url("postgres");
    let store = open(&options(&url), Pooler::Auto).await.unwrap();
    let token_of = |outcomes: Vec<Outcome>| match &outcomes[0] {
        Outcome::Granted { lock, reentrant: false } => lock.token.get(),
        other => panic!("not a grant: {other:?}"),
    };
    let known = resource("known to both");
    let first = token_of(store.apply(&[acquire(&known, "me", MINUTE)]).await.unwrap());

    let standby = PostgresServer::standby_of(&primary);
    standby.stop_fast();
    let lost = resource("known to the primary only");
    let granted = token_of(store.apply(&[acquire(&lost, "me", MINUTE)]).await.unwrap());
    store.close().await;
    primary.kill();

    standby.start_again();
    standby.promote().await;
    let store = open(&options(&standby.url("postgres")), Pooler::Auto).await.unwrap();
    assert_eq!(store.get(&lost).await.unwrap(), None, "the grant was lost");
    let day = 24 * 60 * 60 * 1_000_000;
    let again = token_of(store.apply(&[acquire(&lost, "you", MINUTE)]).await.unwrap());
    assert!(
        again > granted + day,
        "{again} after {granted}: a clock that is hours behind would do"
    );
    let held = store.get(&known).await.unwrap().unwrap();
    assert_eq!(held.token.get(), first, "what was not lost is as it was");
}
