//! Changesets.

use futures::future::join_all;
use plan_service::{
    domain::{Change, ChangeKind, Moment, RepoPath},
    store::{Fenced, PlanWrite},
};

use crate::kit::{Kit, change, fence, name, oid, written};

const AT: Moment = Moment::from_micros(1_234_567);

pub(crate) async fn a_changeset_is_kept_as_it_is(kit: Kit) {
    let plan = kit.added().await;
    let at = fence(&plan, 2);
    let handle = kit.store.start_changeset(at, &name("first"), AT).await.unwrap().unwrap();
    let renamed = Change {
        kind: ChangeKind::Renamed,
        path: RepoPath(b"new \xff\xfe\n".to_vec()),
        old_path: Some(RepoPath(b"old \x80".to_vec())),
        old_mode: String::new(),
        new_mode: "120000".to_owned(),
        binary: true,
        added_lines: u32::MAX.into(),
        removed_lines: 0,
    };
    let kinds = ["ADDED", "MODIFIED", "DELETED", "MODE_CHANGED", "TYPE_CHANGED"];
    let mut all = vec![renamed];
    for kind in kinds {
        all.push(Change { kind: ChangeKind::parse(kind).unwrap(), ..change(1) });
    }
    let _ = kit.store.record_changes(&handle, &all[..4]).await.unwrap();
    let _ = kit.store.record_changes(&handle, &[]).await.unwrap();
    let _ = kit.store.record_changes(&handle, &all[4..]).await.unwrap();
    for commit in [None, Some(oid('d'))] {
        if let Some(commit) = &commit {
            let finished = vec![(handle.clone(), commit.clone())];
            kit.write(2, PlanWrite { finished, ..PlanWrite::of(&plan) }).await;
        }
        let found = kit.store.changesets(plan.id, None, 10, 10).await.unwrap();
        assert_eq!(found.len(), 1);
        let found = &found[0];
        assert_eq!((found.id, found.plan, &*found.step), (handle.id(), plan.id, "first"));
        assert_eq!((&found.commit, found.created_at), (&commit, AT));
        assert_eq!((&found.changes, found.change_count), (&all, 6));
    }
}

pub(crate) async fn many_changes_keep_their_order(kit: Kit) {
    let plan = kit.added().await;
    let handle =
        kit.store.start_changeset(fence(&plan, 2), &name("first"), AT).await.unwrap().unwrap();
    let all: Vec<_> = (0..2_345).map(change).collect();
    let _ = kit.store.record_changes(&handle, &all[..1_200]).await.unwrap();
    let _ = kit.store.record_changes(&handle, &all[1_200..]).await.unwrap();
    for most in [0, 1, 1_201, 10_000] {
        let found = kit.store.changesets(plan.id, None, 10, most).await.unwrap();
        assert_eq!(found[0].changes, all[..all.len().min(most as usize)]);
        assert_eq!(found[0].change_count, 2_345);
    }
}

pub(crate) async fn changesets_are_listed_by_id(kit: Kit) {
    let (plan, other) = (kit.added().await, kit.added().await);
    let mut ids = Vec::new();
    for number in 0..5 {
        for plan in [&plan, &other] {
            let at = fence(plan, 2);
            let handle = kit.store.start_changeset(at, &name("first"), AT).await.unwrap().unwrap();
            let _ = kit.store.record_changes(&handle, &[change(number)]).await.unwrap();
            if plan.id == other.id {
                ids.push(handle.id());
            }
        }
    }
    assert!(ids.is_sorted(), "ids have the order of the starts");
    for size in [1, 2, 5, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = kit.store.changesets(other.id, after, size, 1).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= size as usize);
            after = Some(last.id);
            found.extend(page);
        }
        assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), ids);
        for (number, found) in found.iter().enumerate() {
            assert_eq!(found.changes, [change(number)]);
        }
    }
}

/// What is finished, or dropped, takes no more; and a write that is to finish
/// what is not there does not happen.
pub(crate) async fn what_is_over_takes_no_more(kit: Kit) {
    let mut plan = kit.added().await;
    let start = async |token| {
        let at = fence(&plan, token);
        kit.store.start_changeset(at, &name("first"), AT).await.unwrap().unwrap()
    };
    let (finished, dropped) = (start(2).await, start(2).await);
    let done = vec![(finished.clone(), oid('a'))];
    kit.write(2, PlanWrite { finished: done, ..PlanWrite::of(&plan) }).await;
    assert_eq!(kit.store.record_changes(&finished, &[change(0)]).await.unwrap(), Fenced::Refused);
    // To finish it again in the same way is no harm: the answer may have been lost.
    let done = vec![(finished.clone(), oid('a'))];
    kit.write(2, PlanWrite { finished: done, ..PlanWrite::of(&plan) }).await;
    kit.write(2, PlanWrite { drop_unfinished: true, ..PlanWrite::of(&plan) }).await;
    let found = kit.store.changesets(plan.id, None, 10, 10).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [finished.id()]);
    assert_eq!(kit.store.record_changes(&dropped, &[change(0)]).await.unwrap(), Fenced::Refused);

    let before = kit.all_of(plan.id).await;
    plan.generation = 99;
    for (handle, commit) in [(&dropped, 'a'), (&finished, 'b')] {
        let finished = vec![(handle.clone(), oid(commit))];
        let write = PlanWrite { finished, ..PlanWrite::of(&plan) };
        let done = kit.store.write_plan(fence(&plan, 3), write).await.unwrap();
        assert_eq!(done, Fenced::Refused);
        assert_eq!(kit.all_of(plan.id).await, before);
    }
}

/// One write can finish some, and drop the others.
pub(crate) async fn a_plan_begins_anew(kit: Kit) {
    let (plan, other) = (kit.added().await, kit.added().await);
    let mut handles = Vec::new();
    for plan in [&plan, &plan, &plan, &other] {
        let at = fence(plan, 2);
        let handle = kit.store.start_changeset(at, &name("first"), AT).await.unwrap().unwrap();
        let _ = kit.store.record_changes(&handle, &[change(0), change(1)]).await.unwrap();
        handles.push(handle);
    }
    let write = PlanWrite {
        finished: vec![(handles[1].clone(), oid('a'))],
        drop_unfinished: true,
        ..PlanWrite::of(&plan)
    };
    kit.write(2, write).await;
    let found = kit.store.changesets(plan.id, None, 10, 10).await.unwrap();
    assert_eq!(found.iter().map(|one| one.id).collect::<Vec<_>>(), [handles[1].id()]);
    assert_eq!(found[0].changes, [change(0), change(1)]);
    kit.write(3, PlanWrite { begin_anew: true, ..PlanWrite::of(&plan) }).await;
    assert!(kit.store.changesets(plan.id, None, 10, 10).await.unwrap().is_empty());
    assert_eq!(kit.store.changesets(other.id, None, 10, 10).await.unwrap().len(), 1);
    assert_eq!(kit.store.events(plan.id).await.unwrap().len(), 1, "the history stays");
}

/// An earlier planner recorded into "the most recent changeset": parallel steps
/// into each other's.
pub(crate) async fn parallel_steps_record_each_into_its_own(kit: Kit) {
    const STEPS: usize = 50;
    const CHANGES: usize = 200;
    let plan = kit.added().await;
    let (kit, plan) = (&kit, &plan);
    let record = async |step: usize| {
        let called = name(&format!("step-{step}"));
        let at = fence(plan, 2);
        let handle = kit.store.start_changeset(at, &called, AT).await.unwrap().unwrap();
        for number in 0..CHANGES {
            let change = change(step * CHANGES + number);
            let done = kit.store.record_changes(&handle, &[change]).await.unwrap();
            assert!(written(done) > 0);
        }
        handle.id()
    };
    let ids = join_all((0..STEPS).map(record)).await;
    let found = kit.store.changesets(plan.id, None, 1_000, 1_000).await.unwrap();
    assert_eq!(found.len(), STEPS);
    for (step, id) in ids.into_iter().enumerate() {
        let changeset = found.iter().find(|one| one.id == id).unwrap();
        assert_eq!(changeset.step, format!("step-{step}"));
        let expected: Vec<_> = (0..CHANGES).map(|at| change(step * CHANGES + at)).collect();
        assert_eq!(changeset.changes, expected, "in order, and no other's");
        assert_eq!(changeset.change_count, CHANGES as u64);
    }
    let writes = 1 + STEPS + STEPS * CHANGES;
    assert_eq!(kit.store.plan_version(plan.id).await.unwrap(), Some(writes as u64));
}
