//! Freeing stale locks, and forgetting free resources without their tokens.

use lock_server::{
    domain::{ResourceType, Span, StaleFilter},
    store::StoreError,
};

use crate::kit::{Kit, MINUTE, acquire, release, resource, resource_of};

const HOUR: Span = Span::from_micros(3_600_000_000);

pub(crate) async fn purges_stale_locks_only(kit: Kit) {
    let (live, stale) = (resource("live"), resource("stale"));
    kit.grant(&live, "me", MINUTE).await;
    let old = kit.grant(&stale, "me", MINUTE).await;
    kit.age(&stale, 1).await;
    assert_eq!(kit.purge(&StaleFilter::default(), 100).await, 1);
    assert_eq!(kit.get(&stale).await, None);
    assert!(kit.get(&live).await.unwrap().is_live());
    assert_eq!(kit.purge(&StaleFilter::default(), 100).await, 0);
    assert!(kit.grant(&stale, "you", MINUTE).await.token > old.token);
}

pub(crate) async fn purges_what_matches_in_steps(kit: Kit) {
    for id in 0..5 {
        let plan = resource(&id.to_string());
        kit.grant(&plan, "me", MINUTE).await;
        kit.age(&plan, 100 + id).await;
    }
    kit.grant(&resource_of("build", "x"), "me", MINUTE).await;
    kit.age(&resource_of("build", "x"), 500).await;
    let plans = StaleFilter {
        kind: Some(ResourceType::parse("plan").unwrap()),
        older_than: Span::from_micros(50_000_000),
    };
    assert_eq!(kit.purge(&plans, 3).await, 3);
    assert_eq!(kit.purge(&plans, 3).await, 2);
    let older = StaleFilter { kind: None, older_than: HOUR };
    assert_eq!(kit.purge(&older, 3).await, 0);
    assert!(kit.get(&resource_of("build", "x")).await.is_some());
}

pub(crate) async fn a_pruned_resource_starts_above_its_tokens(kit: Kit) {
    let plan = resource("42");
    kit.grant(&plan, "me", MINUTE).await;
    // As if the database's clock had been a day ahead when it was granted.
    kit.sql("UPDATE locks SET fencing_token = fencing_token + 86400000000").await;
    let ahead = kit.get(&plan).await.unwrap().token;
    kit.apply(release(&plan, "me", None)).await;
    kit.sql_of(
        "UPDATE locks SET freed_at = freed_at - 7200000000,
         not_free_before = not_free_before - 7200000000",
        "UPDATE locks SET freed_at = freed_at - interval '2 h', sweep_at = '-infinity'",
    )
    .await;
    assert_eq!(kit.store.prune(HOUR, 100).await.unwrap(), 1);
    assert_eq!(kit.sql("UPDATE locks SET ttl = ttl").await, 0, "the row is gone");
    let next = kit.grant(&plan, "me", MINUTE).await.token;
    assert!(next > ahead, "{next} after {ahead}");
    let other = kit.grant(&resource("never seen"), "me", MINUTE).await.token;
    assert!(other > ahead, "any resource without a row may be one that was pruned");
}

pub(crate) async fn prunes_only_what_is_free_for_long(kit: Kit) {
    let (held, stale, freed) = (resource("held"), resource("stale"), resource("freed"));
    for one in [&held, &stale, &freed] {
        kit.grant(one, "me", MINUTE).await;
    }
    kit.age(&stale, 7_200).await;
    kit.apply(release(&freed, "me", None)).await;
    assert_eq!(kit.store.prune(HOUR, 100).await.unwrap(), 0);
    kit.sql_of(
        "UPDATE locks SET freed_at = freed_at - 7200000000,
         not_free_before = not_free_before - 7200000000",
        "UPDATE locks SET freed_at = freed_at - interval '2 h', sweep_at = '-infinity'",
    )
    .await;
    assert_eq!(kit.store.prune(HOUR, 100).await.unwrap(), 1);
    assert!(kit.get(&held).await.is_some() && kit.get(&stale).await.is_some());
}

pub(crate) async fn a_closed_store_says_so(kit: Kit) {
    kit.store.probe().await.unwrap();
    kit.store.close().await;
    let error = kit.store.apply(&[acquire(&resource("42"), "me", MINUTE)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error:?}");
    assert!(kit.store.probe().await.is_err());
}
