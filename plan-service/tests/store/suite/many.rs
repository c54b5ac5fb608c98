//! Many at once, and those who give up.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
};

use futures::future::join_all;
use plan_service::{
    domain::{Moment, PlanId, State},
    store::{Fenced, PlanFilter, PlanWrite, StoreError},
};

use crate::kit::{Kit, change, event, fence, name, new_plan, template};

/// 1,000 plans are made and used at once, while others read: nothing is lost.
pub(crate) async fn a_thousand_plans_lose_nothing(kit: Kit) {
    const PLANS: usize = 1_000;
    let plans: Vec<_> = (0..PLANS).map(|_| new_plan()).collect();
    let make = async |at: usize| {
        let mut plan = plans[at].clone();
        let action = template(&format!("n{}/a{at}", at % 7), "x");
        assert!(kit.store.add_action(&action, Moment::now()).await.unwrap());
        kit.add(&plan).await;
        (plan.state, plan.generation) = (State::Processing, 1);
        let write = PlanWrite { event: Some(event(&plan, 1)), ..PlanWrite::of(&plan) };
        assert_eq!(kit.write(1, write).await, 2);
    };
    let done = AtomicBool::new(false);
    let making = async {
        join_all((0..PLANS).map(make)).await;
        done.store(true, Ordering::Relaxed);
    };
    let reading = async {
        while !done.load(Ordering::Relaxed) {
            for plan in kit.store.plans(&PlanFilter::default(), None, 20).await.unwrap() {
                let is_whole = match plan.state {
                    State::Queued => (plan.generation, plan.version) == (0, 1),
                    State::Processing => (plan.generation, plan.version) == (1, 2),
                    _ => false,
                };
                assert!(is_whole, "half a plan: {plan:?}");
            }
        }
    };
    tokio::join!(making, reading);
    let all: BTreeSet<_> = plans.iter().map(|plan| plan.id).collect();
    let found = kit.store.processing_plans().await.unwrap();
    assert_eq!(found.into_iter().collect::<BTreeSet<PlanId>>(), all);
    assert_eq!(kit.store.actions(None, None, 10_000).await.unwrap().len(), PLANS);
    let events = join_all(plans.iter().map(|plan| kit.store.events(plan.id))).await;
    assert!(events.into_iter().all(|events| events.unwrap().len() == 2));
}

/// A document's fields belong together, and so do those that are kept beside it.
pub(crate) async fn nobody_sees_half_a_plan(kit: Kit) {
    const WRITES: u32 = 200;
    let first = kit.added().await;
    let done = AtomicBool::new(false);
    let writing = async {
        let mut plan = first.clone();
        for number in 1..=WRITES {
            plan.generation = number;
            plan.arguments.insert("word".to_owned(), number.to_string());
            plan.updated_at = Moment::from_micros(number.into());
            kit.write(number.into(), PlanWrite::of(&plan)).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let reading = async || {
        let mut last = 0;
        while !done.load(Ordering::Relaxed) {
            let plan = kit.store.plan(first.id).await.unwrap().unwrap();
            let number = plan.generation;
            if number > 0 {
                assert_eq!(plan.arguments["word"], number.to_string());
                assert_eq!(plan.updated_at.micros(), i64::from(number));
                assert_eq!(
                    (plan.fencing_token, plan.version),
                    (number.into(), (number + 1).into())
                );
            }
            assert!(number >= last, "{number} after {last}");
            last = number;
        }
    };
    tokio::join!(writing, reading(), reading(), reading());
    assert_eq!(kit.store.plan(first.id).await.unwrap().unwrap().generation, WRITES);
}

/// Takes so many steps of a future, then gives up on it: at once, or when it
/// could take the next.
async fn steps_of<T>(future: impl Future<Output = T>, steps: u32, at_once: bool) -> Option<T> {
    let mut future = pin!(future);
    let mut taken = 0;
    poll_fn(|context| {
        if taken == steps {
            return Poll::Ready(None);
        }
        taken += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if at_once && taken == steps => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Who gives up on a call in the middle leaves nothing half done behind, and
/// nobody is kept out.
pub(crate) async fn who_gives_up_leaves_nothing_half_done(kit: Kit) {
    let plan = kit.added().await;
    let at = fence(&plan, 1);
    let handle = kit
        .store
        .start_changeset(at, &name("first"), Moment::from_micros(1))
        .await
        .unwrap()
        .unwrap();
    let (mut in_time, mut given_up) = (0, 0);
    for round in 0..400_u32 {
        let changes = [change(0), change(1), change(2)];
        let recording = kit.store.record_changes(&handle, &changes);
        match steps_of(recording, round / 2 % 40, round % 2 == 0).await {
            Some(done) => {
                assert!(matches!(done.unwrap(), Fenced::Written(_)));
                in_time += 1;
            }
            None => given_up += 1,
        }
    }
    // This one waits for what may still be under way.
    let version = kit.write(1, PlanWrite::of(&plan)).await;
    let found = kit.store.changesets(plan.id, None, 10, 10_000).await.unwrap().remove(0);
    let threes = found.changes.len() / 3;
    assert_eq!(found.change_count, found.changes.len() as u64);
    for (number, found) in found.changes.iter().enumerate() {
        assert_eq!(*found, change(number % 3), "at {number}");
    }
    assert_eq!(found.changes.len(), threes * 3);
    assert_eq!(version, 3 + threes as u64, "a version for each that happened");
    assert!((in_time..=in_time + given_up).contains(&threes));
    assert!(given_up > 0 && in_time > 0, "{given_up} given up, {in_time} in time");
}

/// A store that was closed says so at once.
pub(crate) async fn a_closed_store_says_so(kit: Kit) {
    let plan = kit.added().await;
    kit.store.probe().await.unwrap();
    kit.store.close().await;
    kit.store.close().await;
    let closed = |error: StoreError| matches!(error, StoreError::Database(_));
    assert!(closed(kit.store.probe().await.unwrap_err()));
    assert!(closed(kit.store.plan(plan.id).await.unwrap_err()));
    let at = fence(&plan, 1);
    assert!(closed(kit.store.write_plan(at, PlanWrite::of(&plan)).await.unwrap_err()));
    assert!(closed(kit.store.projects(None, 1).await.unwrap_err()));
}
