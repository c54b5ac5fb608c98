//! Plans: what is written is read.

use plan_service::{
    domain::{Merge, Moment, Phase, PlanId, State, StepState},
    store::{Ending, OutputMark, OutputTail, PlanWrite},
};

use crate::kit::{Kit, event, fence, key, new_plan, oid, problem, written};

/// When somebody wants to cancel: after all else.
const AT: Moment = Moment::from_micros(i64::MAX / 2);

pub(crate) async fn a_plan_is_kept_as_it_is(kit: Kit) {
    let plan = new_plan();
    assert_eq!(kit.store.plan(plan.id).await.unwrap(), None);
    assert_eq!(kit.store.plan_version(plan.id).await.unwrap(), None);
    let first = event(&plan, 3);
    assert!(kit.store.add_plan(&plan, fence(&plan, 3), first.clone()).await.unwrap());
    let mut kept = plan.clone();
    (kept.fencing_token, kept.version) = (3, 1);
    assert_eq!(kit.store.plan(plan.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(kit.store.plan_version(plan.id).await.unwrap(), Some(1));
    assert_eq!(kit.store.events(plan.id).await.unwrap(), std::slice::from_ref(&first));

    (kept.phase, kept.state, kept.problem) = (Phase::Apply, State::Constrained, Some(problem()));
    kept.merge = Some(Merge { branch: "refs/heads/main".into(), from: oid('a'), commit: oid('b') });
    kept.steps[0].state = StepState::Failed;
    kept.run = None;
    let second = event(&kept, 4);
    let write = PlanWrite { event: Some(second.clone()), ..PlanWrite::of(&kept) };
    assert_eq!(kit.write(4, write).await, 2);
    (kept.fencing_token, kept.version) = (4, 2);
    assert_eq!(kit.store.plan(plan.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(kit.store.events(plan.id).await.unwrap(), [first.clone(), second.clone()]);

    // The same again, because its outcome was not known, is no other event.
    let write = PlanWrite { event: Some(second.clone()), ..PlanWrite::of(&kept) };
    assert_eq!(kit.write(4, write).await, 3);
    assert_eq!(kit.store.events(plan.id).await.unwrap(), [first, second]);
}

pub(crate) async fn a_plan_is_added_once(kit: Kit) {
    let plan = kit.added().await;
    let before = kit.all_of(plan.id).await;
    let mut again = plan.clone();
    again.state = State::Processing;
    assert!(!kit.store.add_plan(&again, fence(&again, 9), event(&again, 9)).await.unwrap());
    assert_eq!(kit.all_of(plan.id).await, before);
}

pub(crate) async fn output_is_counted_in_the_plan(kit: Kit) {
    let plan = kit.added().await;
    let bytes = OutputTail { total_bytes: 9, tail: vec![0, 255, b'\n'] };
    let none = OutputTail::default();
    for (version, (key, output)) in [
        (key(false, "first"), &none),
        (key(true, "first"), &none),
        (key(true, "first"), &bytes),
        (key(false, "second"), &bytes),
        (key(false, "nobody"), &none),
    ]
    .into_iter()
    .enumerate()
    {
        let done = kit.store.write_output(fence(&plan, 2), &key, output).await.unwrap();
        assert_eq!(written(done), version as u64 + 2);
        assert_eq!(kit.store.outputs(plan.id).await.unwrap().get(&key), Some(output));
    }
    assert_eq!(kit.store.outputs(plan.id).await.unwrap().len(), 4);
    let listed = kit.store.plans(&Default::default(), None, 10).await.unwrap();
    let kept = kit.store.plan(plan.id).await.unwrap().unwrap();
    assert_eq!(listed, std::slice::from_ref(&kept));
    assert_eq!((kept.steps[0].output_bytes, kept.steps[1].output_bytes), (0, 9));
    assert_eq!(kept.checks[0].output_bytes, 9);
    assert_eq!((kept.fencing_token, kept.version), (2, 6));

    kit.write(2, PlanWrite { begin_anew: true, ..PlanWrite::of(&kept) }).await;
    assert!(kit.store.outputs(plan.id).await.unwrap().is_empty());
    let kept = kit.store.plan(plan.id).await.unwrap().unwrap();
    assert_eq!((kept.steps[1].output_bytes, kept.checks[0].output_bytes), (0, 0));
}

/// Each attempt at a step writes from its beginning, and what the one before
/// wrote is gone when the next begins.
pub(crate) async fn output_is_told_apart_by_its_run(kit: Kit) {
    let plan = kit.added().await;
    let (first, second, check) = (key(false, "first"), key(false, "second"), key(true, "first"));
    let output = OutputTail { total_bytes: 5, tail: b"hello".to_vec() };
    for key in [&first, &second, &check] {
        written(kit.store.write_output(fence(&plan, 2), key, &output).await.unwrap());
    }
    let mark = |fencing_token, total_bytes| OutputMark { fencing_token, total_bytes };
    let marks = kit.store.output_marks(plan.id).await.unwrap();
    let all = [&first, &second, &check].map(|key| (key.clone(), mark(2, 5)));
    assert_eq!(marks, all.clone().into());
    assert_eq!(kit.store.output(plan.id, &check).await.unwrap(), Some((2, output.clone())));

    let again = vec![first.clone(), check.clone(), key(true, "nobody")];
    kit.write(3, PlanWrite { drop_outputs: again, ..PlanWrite::of(&plan) }).await;
    let marks = kit.store.output_marks(plan.id).await.unwrap();
    assert_eq!(marks, [(second.clone(), mark(2, 5))].into());
    assert_eq!(kit.store.output(plan.id, &check).await.unwrap(), None);
    let kept = kit.store.plan(plan.id).await.unwrap().unwrap();
    assert_eq!((kept.steps[0].output_bytes, kept.steps[1].output_bytes), (0, 5));

    // As long as before, and another one.
    written(kit.store.write_output(fence(&plan, 3), &first, &output).await.unwrap());
    assert_eq!(kit.store.output_marks(plan.id).await.unwrap()[&first], mark(3, 5));
    assert_eq!(kit.store.output(plan.id, &first).await.unwrap(), Some((3, output)));
    assert!(kit.store.output_marks(PlanId::new()).await.unwrap().is_empty());
    assert_eq!(kit.store.output(PlanId::new(), &first).await.unwrap(), None);
}

/// A wish that was noted before the end of the run is written is never lost,
/// however late it came.
pub(crate) async fn an_end_gives_way_to_the_wish_to_cancel(kit: Kit) {
    let mut plan = kit.added().await;
    (plan.phase, plan.state) = (Phase::Execute, State::Processing);
    kit.write(2, PlanWrite::of(&plan)).await;
    assert!(kit.store.request_cancel(plan.id, "enough", AT).await.unwrap());
    let before = kit.all_of(plan.id).await;

    let mut ended = plan.clone();
    ended.state = State::Complete;
    let write = || PlanWrite { event: Some(event(&ended, 2)), ..PlanWrite::of(&ended) };
    let end = async |token| kit.store.end_run(fence(&plan, token), write()).await.unwrap();
    assert_eq!(end(1).await, Ending::Refused, "the fence comes first");
    assert_eq!(end(2).await, Ending::CancelRequested("enough".to_owned()));
    assert_eq!(end(3).await, Ending::CancelRequested("enough".to_owned()));
    assert_eq!(kit.all_of(plan.id).await, before, "nothing is written");

    // Without a wish, it is a write like any other.
    kit.write(3, PlanWrite { forget_cancel: true, ..PlanWrite::of(&plan) }).await;
    assert_eq!(end(2).await, Ending::Refused);
    assert_eq!(end(3).await, Ending::Written(5));
    assert_eq!(kit.store.plan(plan.id).await.unwrap().unwrap().state, State::Complete);
    assert!(!kit.store.request_cancel(plan.id, "too late", AT).await.unwrap());
    assert_eq!(kit.store.events(plan.id).await.unwrap().len(), 2);
    let nobody = crate::kit::new_plan();
    let end = kit.store.end_run(fence(&nobody, 9), PlanWrite::of(&nobody)).await.unwrap();
    assert_eq!(end, Ending::Refused);
}

pub(crate) async fn only_what_runs_is_cancelled(kit: Kit) {
    let mut plan = kit.added().await;
    let nobody = PlanId::new();
    for id in [plan.id, nobody] {
        assert!(!kit.store.request_cancel(id, "enough", AT).await.unwrap());
        assert_eq!(kit.store.cancel_requested(id).await.unwrap(), None);
    }
    assert_eq!(kit.store.plan_version(plan.id).await.unwrap(), Some(1));

    plan.state = State::Processing;
    kit.write(2, PlanWrite::of(&plan)).await;
    let reason = "enough: \0 ' \" \u{202e}";
    assert!(kit.store.request_cancel(plan.id, reason, AT).await.unwrap());
    assert!(kit.store.request_cancel(plan.id, "another reason", AT).await.unwrap());
    assert_eq!(kit.store.cancel_requested(plan.id).await.unwrap().as_deref(), Some(reason));
    assert_eq!(kit.store.plan_version(plan.id).await.unwrap(), Some(4), "a watch sees it");
    assert_eq!(kit.store.plan(plan.id).await.unwrap().unwrap().updated_at, AT);

    // The run's own writes leave it; a new run begins without it.
    kit.write(2, PlanWrite::of(&plan)).await;
    let kept = kit.store.plan(plan.id).await.unwrap().unwrap();
    assert_eq!((kept.cancel_requested.as_deref(), kept.fencing_token), (Some(reason), 2));
    kit.write(3, PlanWrite { forget_cancel: true, ..PlanWrite::of(&plan) }).await;
    assert_eq!(kit.store.cancel_requested(plan.id).await.unwrap(), None);
    assert_eq!(kit.store.plan(plan.id).await.unwrap().unwrap().cancel_requested, None);
}

pub(crate) async fn what_runs_is_found(kit: Kit) {
    let mut expected = Vec::new();
    for state in [State::Processing, State::Queued, State::Processing, State::Complete] {
        let mut plan = new_plan();
        (plan.phase, plan.state) = (Phase::Execute, state);
        kit.add(&plan).await;
        if state == State::Processing {
            expected.push(plan.id);
        }
    }
    kit.added().await;
    expected.sort();
    assert_eq!(kit.store.processing_plans().await.unwrap(), expected);
    let counts = [
        (Phase::Action, State::Queued, 1),
        (Phase::Execute, State::Queued, 1),
        (Phase::Execute, State::Processing, 2),
        (Phase::Execute, State::Complete, 1),
    ];
    assert_eq!(kit.store.count_plans().await.unwrap(), counts);
}

/// Those of plans that may have died on the way, and of no others.
pub(crate) async fn noted_merges_are_found(kit: Kit) {
    let merge = Merge { branch: "refs/heads/main".to_owned(), from: oid('a'), commit: oid('b') };
    let mut expected = Vec::new();
    for (state, noted) in [
        (State::Processing, true),
        (State::Processing, false),
        (State::Errored, true),
        (State::Applied, true),
        (State::Cancelled, true),
    ] {
        let mut plan = new_plan();
        kit.add(&plan).await;
        (plan.phase, plan.state) = (Phase::Apply, state);
        plan.merge = noted.then(|| merge.clone());
        kit.write(2, PlanWrite::of(&plan)).await;
        if noted && !state.is_final() {
            expected.push((plan.id, merge.clone()));
        }
    }
    expected.sort_by_key(|(id, _)| *id);
    let project = new_plan().project;
    assert_eq!(kit.store.noted_merges(&project).await.unwrap(), expected);
    assert_eq!(kit.store.noted_merges(&crate::kit::name("other")).await.unwrap(), []);
    // One that is not noted any more is not found.
    let mut plan = kit.store.plan(expected[0].0).await.unwrap().unwrap();
    plan.merge = None;
    kit.write(2, PlanWrite::of(&plan)).await;
    assert_eq!(kit.store.noted_merges(&project).await.unwrap(), expected[1..]);
}

/// Plans of before the column are found, too: `migration` is the script that
/// made it.
pub(crate) async fn merges_of_old_plans_are_found(kit: &Kit, migration: &str) {
    let merge = Merge { branch: "refs/heads/ä".to_owned(), from: oid('a'), commit: oid('b') };
    let mut plan = kit.added().await;
    // Neither does one with a NUL stop it.
    assert!(kit.added().await.steps.iter().any(|step| step.argv.iter().any(|a| a.contains('\0'))));
    (plan.phase, plan.state, plan.merge) = (Phase::Apply, State::Errored, Some(merge.clone()));
    plan.steps.clear();
    (plan.checks, plan.problem) = (Vec::new(), None);
    kit.write(2, PlanWrite::of(&plan)).await;
    kit.sql("UPDATE plans SET merge = NULL").await;
    assert_eq!(kit.store.noted_merges(&plan.project).await.unwrap(), []);
    let fill = migration.lines().find(|line| line.starts_with("UPDATE ")).unwrap();
    kit.sql(fill).await;
    assert_eq!(kit.store.noted_merges(&plan.project).await.unwrap(), [(plan.id, merge)]);
    assert_eq!(kit.sql("UPDATE plans SET merge = NULL WHERE merge IS NOT NULL").await, 1);
}
