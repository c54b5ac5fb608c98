//! Calls that change a lease for which the same client has guards: these know.

use std::time::Duration;

use lock_client::{AcquireOptions, LostReason, Released, Resource};
use tokio::time::timeout;

use crate::fake::{Asked, Fake, Mood, PATIENCE, broken, invalid, not_held};

const SHORT: Duration = Duration::from_millis(200);

fn options() -> AcquireOptions {
    AcquireOptions::new().ttl(Duration::from_secs(60))
}

fn plan_a() -> Resource {
    Resource::new("plan", "a")
}

fn renew_of_a() -> Asked {
    Asked::Renew("a".to_owned())
}

#[tokio::test]
async fn a_release_by_name_ends_the_guards_before_the_server_is_asked() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_release(Mood::Silent);
    let other = client.with_new_owner();
    let release = tokio::spawn({
        let owner = client.owner_id().to_owned();
        async move { other.release(plan_a(), owner, None).await }
    });
    fake.was_asked(Asked::Release("a".to_owned())).await;
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Released);
    fake.on_release(Mood::Willing);
    assert!(release.await.unwrap().unwrap().released);
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyFree);
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn a_release_of_another_token_leaves_the_guards_alone() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    let token = guard.fencing_token() + 1;
    assert!(!client.release(plan_a(), client.owner_id(), Some(token)).await.unwrap().released);
    guard.check().unwrap();
    assert!(fake.holds(&plan_a()));
}

#[tokio::test]
async fn a_release_by_name_dropped_half_way_goes_on() {
    let fake = Fake::start();
    let client = fake.client();
    let _guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_release(Mood::Silent);
    tokio::select! {
        _ = client.release(plan_a(), client.owner_id(), None) => panic!("nothing was answered"),
        () = fake.was_asked(Asked::Release("a".to_owned())) => {}
    }
    fake.on_release(Mood::Willing);
    client.flush().await;
    assert!(!fake.holds(&plan_a()));
}

#[tokio::test]
async fn a_lease_made_shorter_is_trusted_for_no_longer_from_before_the_server_is_asked() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_renew(Mood::Silent);
    let renewal = tokio::spawn({
        let (client, token) = (client.clone(), guard.fencing_token());
        async move { client.renew(plan_a(), client.owner_id(), token, Some(SHORT)).await }
    });
    fake.was_asked(renew_of_a()).await;
    assert!(guard.remaining() < SHORT, "{:?}", guard.remaining());
    // Told in time though nobody looks, and though the call is under way.
    let lost = timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!(lost.reason, LostReason::Unconfirmed);
    fake.on_renew(Mood::Willing);
    renewal.await.unwrap().unwrap();
    guard.check().unwrap_err();
}

#[tokio::test]
async fn a_lease_made_shorter_is_kept_alive_at_its_new_length() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    let (owner, token) = (client.owner_id(), guard.fencing_token());
    let second = Duration::from_secs(1);
    client.renew(plan_a(), owner, token, Some(second)).await.unwrap();
    assert!(guard.remaining() < second);
    fake.renewed("a", 2).await;
    guard.check().unwrap();
}

#[tokio::test]
async fn a_lease_made_longer_is_trusted_for_longer_once_the_server_said_so() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    let (owner, token) = (client.owner_id(), guard.fencing_token());
    let longer = Duration::from_secs(600);
    client.renew(plan_a(), owner, token, Some(longer)).await.unwrap();
    assert!(guard.remaining() > longer / 2, "{:?}", guard.remaining());
}

#[tokio::test]
async fn a_renewal_that_is_refused_for_good_ends_the_guards() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_renew(Mood::Refusing(not_held));
    client.renew(plan_a(), client.owner_id(), 1, None).await.unwrap_err();
    let lost = guard.check().unwrap_err();
    assert_eq!((lost.reason, lost.holder.as_deref()), (LostReason::NotHeld, Some("worker-7")));
}

#[tokio::test]
async fn a_renewal_that_hears_of_a_broken_lease_tells_the_guards_by_whom_and_why() {
    let fake = Fake::start();
    let client = fake.client();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_renew(Mood::Refusing(broken));
    let error = client.renew(plan_a(), client.owner_id(), 1, None).await.unwrap_err();
    let lost = guard.check().unwrap_err();
    let forced = lost.forced.as_deref().expect("by force");
    assert_eq!((&*forced.released_by, &*forced.release_reason), ("10.0.0.7", "stuck since noon"));
    assert_eq!(error.forced(), Some(forced));
}

#[tokio::test]
async fn a_renewal_that_was_wrong_leaves_the_lease_kept_alive() {
    let fake = Fake::start();
    let client = fake.client();
    let second = Duration::from_secs(1);
    let guard = client.acquire(plan_a(), options().ttl(2 * second)).await.unwrap();
    fake.on_renew(Mood::Refusing(invalid));
    client.renew(plan_a(), client.owner_id(), 1, Some(second)).await.unwrap_err();
    guard.check().unwrap();
    fake.renewed("a", 2).await;
    guard.check().unwrap();
}

#[tokio::test]
async fn a_shorter_renewal_of_unknown_outcome_can_end_no_later_guard() {
    let fake = Fake::start();
    let client = fake.builder().timeout(SHORT).build().unwrap();
    let guard = client.acquire(plan_a(), options()).await.unwrap();
    fake.on_renew(Mood::Silent);
    let ttl = Some(Duration::from_secs(30));
    client.renew(plan_a(), client.owner_id(), 1, ttl).await.unwrap_err();
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Unconfirmed);
    // What may still arrive speaks of the old token.
    assert_eq!(client.acquire(plan_a(), options()).await.unwrap().fencing_token(), 2);
}
