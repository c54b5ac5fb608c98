//! Many commands at once.

use std::sync::Arc;

use lock_server::domain::{Command, Outcome};

use crate::kit::{Kit, MINUTE, acquire, owner, release, renew, resource, token};

/// Carries out a batch that nobody holds up.
async fn apply_now(kit: &Kit, batch: &[Command]) -> Vec<Outcome> {
    let outcomes = kit.store.apply_now(batch).await.unwrap();
    outcomes.into_iter().map(|outcome| outcome.expect("nobody holds it up")).collect()
}

pub(crate) async fn each_command_has_its_outcome(kit: Kit) {
    let (a, b, c, d) = (resource("a"), resource("b"), resource("c"), resource("d"));
    let theirs = kit.grant(&b, "you", MINUTE).await;
    let mine = kit.grant(&c, "me", MINUTE).await;
    let batch = [
        acquire(&b, "me", MINUTE),
        renew(&c, "me", mine.token, None),
        release(&d, "me", None),
        acquire(&a, "me", MINUTE),
        renew(&b, "me", theirs.token, None),
    ];
    let outcomes = apply_now(&kit, &batch).await;
    assert!(matches!(&outcomes[0], Outcome::Conflict { holder } if holder.resource == b));
    assert!(matches!(&outcomes[1], Outcome::Renewed(lock) if lock.resource == c));
    assert_eq!(outcomes[2], Outcome::Released { ended: false });
    assert!(matches!(&outcomes[3], Outcome::Granted { lock, .. } if lock.resource == a));
    assert_eq!(outcomes[4], Outcome::not_held(Some(owner("you"))));
}

pub(crate) async fn commands_for_one_resource_take_turns(kit: Kit) {
    let plan = resource("42");
    let batch = [
        acquire(&plan, "me", MINUTE),
        acquire(&plan, "you", MINUTE),
        acquire(&plan, "me", MINUTE),
        release(&plan, "me", None),
        acquire(&plan, "you", MINUTE),
        renew(&plan, "me", token(1), None),
        release(&plan, "you", None),
        release(&plan, "you", None),
    ];
    let outcomes = apply_now(&kit, &batch).await;
    let Outcome::Granted { lock: mine, reentrant: false } = &outcomes[0] else {
        panic!("{outcomes:?}")
    };
    assert!(matches!(&outcomes[1], Outcome::Conflict { holder } if holder.token == mine.token));
    assert!(
        matches!(&outcomes[2], Outcome::Granted { lock, reentrant: true } if lock.token == mine.token)
    );
    assert_eq!(outcomes[3], Outcome::Released { ended: true });
    assert!(
        matches!(&outcomes[4], Outcome::Granted { lock, reentrant: false } if lock.token > mine.token)
    );
    assert_eq!(outcomes[5], Outcome::not_held(Some(owner("you"))));
    assert_eq!(outcomes[6], Outcome::Released { ended: true });
    assert_eq!(outcomes[7], Outcome::Released { ended: false });
}

pub(crate) async fn ten_thousand_leases_in_one_batch(kit: Kit) {
    let acquires: Vec<_> =
        (0..10_000).map(|id| acquire(&resource(&id.to_string()), "me", MINUTE)).collect();
    let granted = kit.store.apply(&acquires).await.unwrap();
    let renewals: Vec<Command> = granted
        .iter()
        .enumerate()
        .map(|(id, outcome)| {
            let Outcome::Granted { lock, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(lock.resource.id(), id.to_string());
            renew(&lock.resource, "me", lock.token, None)
        })
        .collect();
    let renewed = kit.store.apply(&renewals).await.unwrap();
    assert_eq!(renewed.len(), 10_000);
    for (id, outcome) in renewed.iter().enumerate() {
        let Outcome::Renewed(lock) = outcome else { panic!("{outcome:?}") };
        assert_eq!(lock.resource.id(), id.to_string());
    }
}

pub(crate) async fn batches_in_opposite_order_do_not_deadlock(kit: Kit) {
    let kit = Arc::new(kit);
    let resources: Vec<_> = (0..40).map(|id| resource(&format!("r{id}"))).collect();
    let workers = (0..8).map(|worker| {
        let (kit, mut resources) = (Arc::clone(&kit), resources.clone());
        tokio::spawn(async move {
            let by = format!("owner-{worker}");
            for round in 0..10 {
                if (worker + round) % 2 == 0 {
                    resources.reverse();
                }
                let batch: Vec<_> = resources
                    .iter()
                    .flat_map(|one| [acquire(one, &by, MINUTE), release(one, &by, None)])
                    .collect();
                kit.store.apply_now(&batch).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

pub(crate) async fn an_empty_batch_is_nothing(kit: Kit) {
    assert_eq!(kit.store.apply(&[]).await.unwrap(), []);
}

pub(crate) async fn one_resource_under_many_tokens(kit: Kit) {
    let plan = resource("42");
    let held = kit.grant(&plan, "me", MINUTE).await;
    let mut batch: Vec<_> = (1..=2_000).map(|n| renew(&plan, "me", token(n), None)).collect();
    batch[700] = renew(&plan, "me", held.token, None);
    batch[900] = renew(&plan, "you", held.token, None);
    let outcomes = kit.store.apply(&batch).await.unwrap();
    for (place, outcome) in outcomes.iter().enumerate() {
        match place {
            700 => assert!(matches!(outcome, Outcome::Renewed(lock) if lock.token == held.token)),
            900 => assert_eq!(*outcome, Outcome::not_held(Some(owner("me")))),
            _ => assert_eq!(*outcome, Outcome::not_held(None)),
        }
    }
}
