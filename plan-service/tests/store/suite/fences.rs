//! A run that has lost its plan writes nothing, anywhere.

use plan_service::{
    domain::{Fence, Moment, PlanId, State},
    store::{Fenced, OutputTail, PlanWrite, StoreError},
};

use crate::kit::{Kit, change, event, fence, key, name, oid, written};

const AT: Moment = Moment::from_micros(1);

/// Every write of a run whose token is not the greatest is refused, and nothing
/// at all is other than before.
pub(crate) async fn a_late_write_changes_nothing(kit: Kit) {
    let mut plan = kit.added().await;
    let late = fence(&plan, 4);
    let kept = kit.store.start_changeset(late, &name("first"), AT).await.unwrap().unwrap();
    let _ = kit.store.record_changes(&kept, &[change(0)]).await.unwrap();
    let output = OutputTail { total_bytes: 3, tail: b"abc".to_vec() };
    let _ = kit.store.write_output(late, &key(false, "first"), &output).await.unwrap();
    // The other run begins.
    plan.state = State::Processing;
    kit.write(5, PlanWrite::of(&plan)).await;
    assert!(kit.store.request_cancel(plan.id, "enough", AT).await.unwrap());
    let before = kit.all_of(plan.id).await;
    assert_eq!(before.changesets[0].change_count, 1);

    let mut other = plan.clone();
    (other.state, other.generation) = (State::Complete, 9);
    let write = PlanWrite {
        event: Some(event(&other, 4)),
        finished: vec![(kept.clone(), oid('b'))],
        forget_cancel: true,
        begin_anew: true,
        drop_unfinished: true,
        drop_outputs: vec![key(false, "first")],
        ..PlanWrite::of(&other)
    };
    assert_eq!(kit.store.write_plan(late, write).await.unwrap(), Fenced::Refused);
    assert_eq!(kit.all_of(plan.id).await, before, "write_plan");
    assert_eq!(kit.store.start_changeset(late, &name("second"), AT).await.unwrap(), None);
    assert_eq!(kit.all_of(plan.id).await, before, "start_changeset");
    let recorded = kit.store.record_changes(&kept, &[change(1)]).await.unwrap();
    assert_eq!(recorded, Fenced::Refused);
    assert_eq!(kit.all_of(plan.id).await, before, "record_changes");
    for called in ["first", "second"] {
        let other = OutputTail { total_bytes: 9, tail: b"other".to_vec() };
        let done = kit.store.write_output(late, &key(false, called), &other).await.unwrap();
        assert_eq!(done, Fenced::Refused);
        assert_eq!(kit.all_of(plan.id).await, before, "write_output");
    }
}

/// Every write raises the token, so that an earlier run loses by any of them.
pub(crate) async fn every_write_raises_the_token(kit: Kit) {
    let plan = kit.added().await;
    let token = async || kit.store.plan(plan.id).await.unwrap().unwrap().fencing_token;
    let version = async || kit.store.plan_version(plan.id).await.unwrap().unwrap();
    assert_eq!((token().await, version().await), (1, 1));
    assert_eq!(kit.write(2, PlanWrite::of(&plan)).await, 2);
    assert_eq!((token().await, version().await), (2, 2));
    let started = kit.store.start_changeset(fence(&plan, 3), &name("first"), AT).await.unwrap();
    let started = started.unwrap();
    assert_eq!(started.fence(), fence(&plan, 3));
    assert_eq!((token().await, version().await), (3, 3));
    assert_eq!(written(kit.store.record_changes(&started, &[change(0)]).await.unwrap()), 4);
    assert_eq!((token().await, version().await), (3, 4));
    let output = OutputTail::default();
    let done = kit.store.write_output(fence(&plan, 7), &key(true, "first"), &output).await;
    assert_eq!(written(done.unwrap()), 5);
    assert_eq!((token().await, version().await), (7, 5));
    // The same token, as often as it likes.
    assert_eq!(kit.write(7, PlanWrite::of(&plan)).await, 6);
    assert_eq!(kit.write(7, PlanWrite::of(&plan)).await, 7);
}

pub(crate) async fn what_is_not_there_is_not_written(kit: Kit) {
    let plan = crate::kit::new_plan();
    let at = fence(&plan, 1);
    let done = kit.store.write_plan(at, PlanWrite::of(&plan)).await.unwrap();
    assert_eq!(done, Fenced::Refused);
    assert_eq!(kit.store.start_changeset(at, &name("first"), AT).await.unwrap(), None);
    let output = OutputTail::default();
    let done = kit.store.write_output(at, &key(false, "first"), &output).await.unwrap();
    assert_eq!(done, Fenced::Refused);
    let all = kit.all_of(plan.id).await;
    assert!(all.plan.is_none() && all.events.is_empty() && all.outputs.is_empty());
}

/// Tokens go up to what the lock server can give, and the plan is the fence's.
pub(crate) async fn a_fence_that_cannot_be_is_an_error(kit: Kit) {
    let plan = kit.added().await;
    let before = kit.all_of(plan.id).await;
    let wrong = |error: StoreError| matches!(error, StoreError::Database(_));
    for token in [0, 1 << 63, u64::MAX] {
        let at = fence(&plan, token);
        let new = crate::kit::new_plan();
        let added = kit.store.add_plan(&new, fence(&new, token), event(&new, 1)).await;
        assert!(wrong(added.unwrap_err()));
        assert_eq!(kit.store.plan(new.id).await.unwrap(), None);
        assert!(wrong(kit.store.write_plan(at, PlanWrite::of(&plan)).await.unwrap_err()));
        assert!(wrong(kit.store.start_changeset(at, &name("first"), AT).await.unwrap_err()));
        let output = OutputTail::default();
        let done = kit.store.write_output(at, &key(false, "first"), &output).await;
        assert!(wrong(done.unwrap_err()));
    }
    let others = Fence { plan: PlanId::new(), token: 9 };
    assert!(wrong(kit.store.write_plan(others, PlanWrite::of(&plan)).await.unwrap_err()));
    assert_eq!(kit.all_of(plan.id).await, before);
    let greatest = (1 << 63) - 1;
    kit.write(greatest, PlanWrite::of(&plan)).await;
    assert_eq!(kit.store.plan(plan.id).await.unwrap().unwrap().fencing_token, greatest);
}
