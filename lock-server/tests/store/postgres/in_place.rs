//! That rows are updated in place, and that what finds stale and long-free rows
//! finds them all the same.

use std::time::Duration;

use lock_server::domain::{Command, Lock, Outcome, Span, StaleFilter};
use service_kit::testing::eventually;

use crate::kit::{Kit, MINUTE, acquire, owner, release, renew, resource};

const HOUR: Span = Span::from_micros(60 * MINUTE.micros());
const DEADLINE: Duration = Duration::from_secs(30);

/// Every row that somebody must look at in time.
async fn assert_no_row_is_overlooked(kit: &Kit) {
    let late = kit.sql("UPDATE locks SET ttl = ttl WHERE sweep_at > expires_at").await;
    assert_eq!(late, 0, "rows would be looked at too late");
}

/// As the sweeper does.
async fn sweep(kit: &Kit) {
    kit.store.prune(HOUR, 2).await.unwrap();
}

async fn apply(kit: &Kit, commands: &[Command]) -> Vec<Lock> {
    let outcomes = kit.store.apply_now(commands).await.unwrap();
    outcomes
        .into_iter()
        .map(|outcome| match outcome.expect("nobody holds it up") {
            Outcome::Granted { lock, .. } | Outcome::Renewed(lock) => lock,
            other => panic!("neither granted nor renewed: {other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn commands_update_rows_in_place() {
    const RESOURCES: usize = 200;
    const ROUNDS: usize = 20;
    let kit = Kit::postgres().await;
    let resources: Vec<_> = (0..RESOURCES).map(|id| resource(&format!("r{id}"))).collect();
    let all = |command: fn(&_) -> Command| resources.iter().map(command).collect::<Vec<_>>();
    for _ in 0..ROUNDS {
        let locks = apply(&kit, &all(|one| acquire(one, "me", MINUTE))).await;
        let renewals: Vec<_> =
            locks.iter().map(|lock| renew(&lock.resource, "me", lock.token, None)).collect();
        apply(&kit, &renewals).await;
        kit.store.apply_now(&all(|one| release(one, "me", None))).await.unwrap();
    }
    let updates = RESOURCES * (3 * ROUNDS - 1);
    // Sessions tell their counts as they end.
    kit.store.close().await;
    eventually("most updates are in place", DEADLINE, async || {
        let counted = format!(
            "UPDATE fencing_epoch SET epoch = epoch WHERE EXISTS (
                 SELECT FROM pg_stat_user_tables WHERE relname = 'locks'
                 AND n_tup_upd >= {updates} AND n_tup_hot_upd >= 0.5 * n_tup_upd)"
        );
        (kit.sql(&counted).await == 1).then_some(())
    })
    .await;
}

/// The plans are made while the table is empty, and read no more of a full one
/// than what a batch is about.
#[tokio::test]
async fn a_batch_reads_the_rows_that_it_names_and_no_others() {
    reads_few_rows(Kit::postgres().await).await;
}

/// And so do the statements that tell watchers.
#[tokio::test]
async fn a_batch_of_which_somebody_is_told_reads_no_others_either() {
    let kit = Kit::postgres().await;
    kit.store.watch(true).await.unwrap();
    let store = std::sync::Arc::clone(&kit.store);
    reads_few_rows(kit).await;
    drop(store);
}

async fn reads_few_rows(kit: Kit) {
    const OTHERS: usize = 20_000;
    let round = async |from: usize| {
        let ids: Vec<_> = (from..from + 40).map(|id| resource(&format!("r{id}"))).collect();
        let acquires = |by| ids.iter().map(|id| acquire(id, by, MINUTE)).collect::<Vec<_>>();
        let releases = |by| ids.iter().map(|id| release(id, by, None)).collect::<Vec<_>>();
        apply(&kit, &acquires("me")).await;
        kit.store.apply_now(&acquires("you")).await.unwrap();
        kit.store.apply_now(&releases("me")).await.unwrap();
        let locks = apply(&kit, &acquires("me")).await;
        let renewals: Vec<_> =
            locks.iter().map(|lock| renew(&lock.resource, "me", lock.token, None)).collect();
        apply(&kit, &renewals).await;
        let (first, second) = ids.split_at(20);
        let mut mixed: Vec<_> = first.iter().map(|id| release(id, "me", None)).collect();
        mixed.extend(second.iter().map(|id| acquire(id, "you", MINUTE)));
        kit.store.apply_now(&mixed).await.unwrap();
    };
    round(0).await;
    let others = format!(
        "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
             renewed_at, freed_at, ttl)
         SELECT 'plan', 'other-' || id, 'other', 1, now(), now(), now(), '1 h'
         FROM generate_series(1, {OTHERS}) id"
    );
    kit.sql(&others).await;
    round(100).await;
    // And so do those that are made when more is known.
    kit.sql("ANALYZE").await;
    round(200).await;
    kit.store.close().await;
    eventually("few rows are read", DEADLINE, async || {
        let counted = format!(
            "UPDATE fencing_epoch SET epoch = epoch WHERE EXISTS (
                 SELECT FROM pg_stat_user_tables WHERE relname = 'locks' AND n_tup_upd > 200
                 AND seq_tup_read + idx_tup_fetch < {OTHERS} / 4)"
        );
        (kit.sql(&counted).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_renewed_sooner_or_later_is_found_when_it_is_stale() {
    let kit = Kit::postgres().await;
    let (short, long) = (resource("short"), resource("long"));
    let [first, second] =
        [kit.grant(&short, "me", HOUR).await, kit.grant(&long, "me", MINUTE).await];
    let tick = Span::from_micros(1_000);
    apply(&kit, &[renew(&long, "me", second.token, Some(HOUR))]).await;
    assert_no_row_is_overlooked(&kit).await;
    let sooner = apply(&kit, &[renew(&short, "me", first.token, Some(tick))]).await.remove(0);
    assert_no_row_is_overlooked(&kit).await;
    eventually("it is stale", DEADLINE, async || {
        let lock = kit.get(&short).await.unwrap();
        (lock.now > sooner.expires_at).then_some(())
    })
    .await;
    let stale = kit.store.list_stale(&StaleFilter::default(), None, 10).await.unwrap();
    assert_eq!((stale.total, &stale.locks[0].resource), (1, &short));
    assert_eq!(kit.purge(&StaleFilter::default(), 10).await, 1);
    assert!(kit.get(&long).await.is_some());
}

#[tokio::test]
async fn the_sweeper_puts_off_what_is_live() {
    let kit = Kit::postgres().await;
    for id in ["a", "b", "c", "d", "e"] {
        kit.grant(&resource(id), "me", HOUR).await;
    }
    let due = "UPDATE locks SET ttl = ttl WHERE sweep_at <= clock_timestamp()";
    assert_eq!(kit.sql("UPDATE locks SET sweep_at = '-infinity'").await, 5);
    sweep(&kit).await;
    assert_eq!(kit.sql(due).await, 0);
    assert_no_row_is_overlooked(&kit).await;
    // Stale ones stay in sight.
    kit.age(&resource("c"), 60).await;
    sweep(&kit).await;
    assert_eq!(kit.sql(due).await, 1);
    assert_eq!(kit.purge(&StaleFilter::default(), 10).await, 1);
    assert!(kit.get(&resource("a")).await.is_some());
}

#[tokio::test]
async fn a_free_row_is_not_its_last_owners_for_long() {
    let kit = Kit::postgres().await;
    let (freed, held) = (resource("freed"), resource("held"));
    for one in [&freed, &held] {
        kit.grant(one, "me", HOUR).await;
    }
    kit.apply(release(&freed, "me", None)).await;
    kit.sql("UPDATE locks SET sweep_at = '-infinity'").await;
    sweep(&kit).await;
    assert_eq!(kit.sql("UPDATE locks SET ttl = ttl WHERE owner_id = 'me'").await, 1);
    let again = kit.grant(&freed, "me", HOUR).await;
    assert_eq!(again.owner, owner("me"));
    let all = kit.store.release_owner(&owner("me"), 10).await.unwrap();
    assert_eq!((all.rows, all.live), (2, 2));
    assert_no_row_is_overlooked(&kit).await;
}

#[tokio::test]
async fn a_row_that_an_older_version_wrote_is_looked_at() {
    let kit = Kit::postgres().await;
    kit.sql(
        "INSERT INTO locks (resource_type, resource_id, owner_id, fencing_token, acquired_at,
            renewed_at, expires_at, ttl) VALUES ('plan', 'old', 'me', 1, now(), now(),
            now() - interval '1 h', interval '1 h')",
    )
    .await;
    let stale = kit.store.list_stale(&StaleFilter::default(), None, 10).await.unwrap();
    assert_eq!(stale.total, 1);
}
