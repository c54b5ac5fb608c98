//! Lists of plans.

use plan_service::{
    domain::{Phase, Plan, PlanId, State},
    store::PlanFilter,
};

use crate::kit::{Kit, action_name, name, plan_at};

async fn listed(kit: &Kit, filter: &PlanFilter, size: u32) -> Vec<PlanId> {
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = kit.store.plans(filter, before, size).await.unwrap();
        let Some(last) = page.last() else { return listed };
        assert!(page.len() <= size as usize);
        before = Some(last.id);
        listed.extend(page.into_iter().map(|plan| plan.id));
    }
}

/// Made at random moments, some at the same one, with ids that do not follow
/// them.
async fn some_plans(kit: &Kit) -> Vec<Plan> {
    let mut plans = Vec::new();
    for at in 0..40_i64 {
        let mut plan = plan_at((at * 7) % 11);
        if at % 2 == 0 {
            plan.project = name("other");
        }
        if at % 3 == 0 {
            plan.action = action_name("edit/format");
        }
        if at % 4 == 0 {
            (plan.phase, plan.state) = (Phase::Execute, State::Complete);
        }
        kit.add(&plan).await;
        plans.push(plan);
    }
    plans.sort_by_key(|plan| std::cmp::Reverse((plan.created_at, plan.id)));
    plans
}

pub(crate) async fn plans_are_listed_newest_first(kit: Kit) {
    let plans = some_plans(&kit).await;
    let all: Vec<_> = plans.iter().map(|plan| plan.id).collect();
    for size in [1, 7, 40, 1_000] {
        assert_eq!(listed(&kit, &PlanFilter::default(), size).await, all, "by {size}");
    }
    assert!(kit.store.plans(&PlanFilter::default(), None, 0).await.unwrap().is_empty());
    let nobody = Some(PlanId::new());
    assert!(kit.store.plans(&PlanFilter::default(), nobody, 10).await.unwrap().is_empty());
}

pub(crate) async fn plans_are_filtered(kit: Kit) {
    let plans = some_plans(&kit).await;
    let (projects, actions) = (["site", "other"], ["edit/rename", "edit/format"]);
    let mut found = 0;
    for project in [None, Some(projects[0]), Some(projects[1]), Some("none")] {
        for action in [None, Some(actions[0]), Some(actions[1])] {
            for phase in [None, Some(Phase::Action), Some(Phase::Execute)] {
                for state in [None, Some(State::Queued), Some(State::Complete)] {
                    let filter = PlanFilter {
                        project: project.map(name),
                        action: action.map(action_name),
                        phase,
                        state,
                    };
                    let fits = |plan: &&Plan| {
                        filter.project.as_ref().is_none_or(|project| *project == plan.project)
                            && filter.action.as_ref().is_none_or(|action| *action == plan.action)
                            && phase.is_none_or(|phase| phase == plan.phase)
                            && state.is_none_or(|state| state == plan.state)
                    };
                    let expected: Vec<_> = plans.iter().filter(fits).map(|plan| plan.id).collect();
                    assert_eq!(listed(&kit, &filter, 9).await, expected, "{filter:?}");
                    found += expected.len();
                }
            }
        }
    }
    assert!(found > plans.len());
}
