//! Statements that are held up at the worst moment.

use std::time::Duration;

use lock_server::{
    domain::{Outcome, Span},
    store::StoreError,
};

use super::stage::{Stage, granted};
use crate::kit::{MINUTE, acquire, release, renew, resource};

/// An acquire waits for the row; meanwhile somebody else is granted, with a
/// token far beyond any clock, and releases.
#[tokio::test]
async fn a_grant_that_waited_is_above_what_was_granted_meanwhile() {
    let mut stage = Stage::set(Duration::from_secs(60)).await;
    stage.grant("first", MINUTE).await;
    stage.store.apply(&[release(&resource("42"), "first", None)]).await.unwrap();
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = '42' FOR UPDATE").await;
    let waiting = stage.stuck(acquire(&resource("42"), "second", MINUTE)).await;
    let grant = "UPDATE locks SET owner_id = 'other', fencing_token = fencing_token + 86400000000";
    stage.sql(grant).await;
    let meanwhile = stage.number("SELECT fencing_token FROM locks").await;
    stage.sql("COMMIT").await;
    let lock = granted(&waiting.await.unwrap().unwrap());
    assert!(lock.token.get() > meanwhile.unsigned_abs(), "{} after {meanwhile}", lock.token);
}

/// An acquire waits for a row that another session inserts at the same moment.
#[tokio::test]
async fn a_grant_that_waited_for_an_insert_sees_it() {
    let mut stage = Stage::set(Duration::from_secs(60)).await;
    let insert = "BEGIN; INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token,
        acquired_at, renewed_at, expires_at, ttl) VALUES ('plan', '42', 'other', 9000000000000000,
        clock_timestamp(), clock_timestamp(), clock_timestamp() + interval '1 h', '1 h')";
    stage.sql(insert).await;
    let waiting = stage.stuck(acquire(&resource("42"), "me", MINUTE)).await;
    stage.sql("COMMIT").await;
    let outcomes = waiting.await.unwrap().unwrap();
    let Outcome::Conflict { holder } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(holder.owner.as_str(), "other");
    stage.sql("UPDATE locks SET expires_at = NULL, freed_at = clock_timestamp()").await;
    assert!(stage.grant("me", MINUTE).await.token.get() > 9_000_000_000_000_000);
}

/// A renewal waits for the row until its lease has run out, and the other
/// session then changes nothing: Postgres does not look at the row again.
#[tokio::test]
async fn a_renewal_that_waited_past_its_lease_is_refused() {
    let mut stage = Stage::set(Duration::from_secs(60)).await;
    let ttl = Span::from_micros(300_000);
    let lock = stage.grant("me", ttl).await;
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = '42' FOR UPDATE").await;
    let waiting = stage.stuck(renew(&resource("42"), "me", lock.token, Some(MINUTE))).await;
    stage.let_pass(Duration::from_millis(300)).await;
    stage.sql("ROLLBACK").await;
    let outcomes = waiting.await.unwrap().unwrap();
    assert_eq!(outcomes[0], Outcome::Expired { expired_at: lock.expires_at });
    assert!(!stage.store.get(&resource("42")).await.unwrap().unwrap().is_live());
}

/// A release waits for the row until its lease has run out: no live lease
/// ended by it, but the resource is free.
#[tokio::test]
async fn a_release_that_waited_past_its_lease_ended_none() {
    let mut stage = Stage::set(Duration::from_secs(60)).await;
    let lock = stage.grant("me", Span::from_micros(300_000)).await;
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = '42' FOR UPDATE").await;
    let waiting = stage.stuck(release(&resource("42"), "me", Some(lock.token))).await;
    stage.let_pass(Duration::from_millis(300)).await;
    stage.sql("ROLLBACK").await;
    assert_eq!(waiting.await.unwrap().unwrap(), [Outcome::Released { ended: false }]);
    assert_eq!(stage.store.get(&resource("42")).await.unwrap(), None);
}

/// A re-entry waits for the row until its own lease has run out: a new grant
/// with a new token, from now on.
#[tokio::test]
async fn a_reentry_that_waited_past_its_lease_is_a_new_grant() {
    let mut stage = Stage::set(Duration::from_secs(60)).await;
    let lock = stage.grant("me", Span::from_micros(300_000)).await;
    stage.sql("BEGIN; SELECT FROM locks WHERE resource_id = '42' FOR UPDATE").await;
    let waiting = stage.stuck(acquire(&resource("42"), "me", MINUTE)).await;
    stage.let_pass(Duration::from_millis(300)).await;
    stage.sql("ROLLBACK").await;
    let again = granted(&waiting.await.unwrap().unwrap());
    assert!(again.token > lock.token);
    assert!(again.acquired_at >= lock.expires_at, "granted while the old lease ran");
    assert_eq!(again.expires_at, again.acquired_at.plus(MINUTE), "the lease counts from its grant");
}

/// Holds an insert by the server up between the reading of the clock, which
/// its token comes from, and the writing of the row.
const STALL: &str = "
    CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF current_setting('application_name') = 'lock-server' THEN
            PERFORM pg_advisory_lock(42);
            PERFORM pg_advisory_unlock(42);
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER stall BEFORE INSERT ON locks FOR EACH ROW EXECUTE FUNCTION stall();
    SELECT pg_advisory_lock(42)";

/// While an insert is held up, another server is granted the same resource,
/// releases it, and a pruner forgets it: the worst that can happen to a token.
/// The token that was granted.
async fn grant_and_forget_meanwhile(stage: &mut Stage) -> u64 {
    let grant = "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token,
            acquired_at, renewed_at, expires_at, freed_at, ttl)
        SELECT 'plan', '42', 'other', (extract(epoch FROM now) * 1000000)::bigint,
               now, now, NULL, now, interval '1 h'
        FROM (SELECT clock_timestamp() AS now) clock";
    stage.sql(grant).await;
    let meanwhile = stage.number("SELECT fencing_token FROM locks").await;
    stage
        .sql(&format!("UPDATE fencing_epoch SET token_floor = {meanwhile}; DELETE FROM locks"))
        .await;
    meanwhile.unsigned_abs()
}

#[tokio::test]
async fn a_grant_that_stalled_for_too_long_refuses_itself() {
    let mut stage = Stage::set(Duration::from_millis(200)).await;
    stage.sql(STALL).await;
    let waiting = stage.stuck(acquire(&resource("42"), "me", MINUTE)).await;
    stage.let_pass(Duration::from_millis(200)).await;
    let meanwhile = grant_and_forget_meanwhile(&mut stage).await;
    stage.sql("SELECT pg_advisory_unlock(42)").await;
    let refused = waiting.await.unwrap();
    assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
    assert_eq!(stage.store.get(&resource("42")).await.unwrap(), None);
    let lock = stage.grant("me", MINUTE).await;
    assert!(lock.token.get() > meanwhile, "{} after {meanwhile}", lock.token);
}

/// The same without the refusal: the rig has teeth.
#[tokio::test]
async fn without_the_refusal_a_token_would_go_back() {
    let mut stage = Stage::set(Duration::from_secs(3600)).await;
    stage.sql(STALL).await;
    let waiting = stage.stuck(acquire(&resource("42"), "me", MINUTE)).await;
    let meanwhile = grant_and_forget_meanwhile(&mut stage).await;
    stage.sql("SELECT pg_advisory_unlock(42)").await;
    let lock = granted(&waiting.await.unwrap().unwrap());
    assert!(lock.token.get() < meanwhile, "{} after {meanwhile}", lock.token);
}
