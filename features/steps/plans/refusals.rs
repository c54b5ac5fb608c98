//! Refusals of the plan service, and what they tell.

use std::collections::BTreeSet;

use cucumber::{gherkin::Step, then};

use crate::{
    answer::{bytes_on_the_wire, shown},
    vocabulary::{column, pairs, text},
    world::plans::{PlanWorld, Refusal},
};

/// What a default client of gRPC reads of the headers of an answer.
const MOST_BYTES: usize = 8 * 1024;

#[then(regex = r"^the call is refused with (\w+)$")]
async fn is_refused(world: &mut PlanWorld, reason: String) {
    assert_eq!(world.refusal().reason, reason, "{}", shown(world.status()));
}

#[then("the refusal tells")]
async fn tells(world: &mut PlanWorld, step: &Step) {
    let refusal = world.refusal();
    for (key, value) in pairs(step) {
        assert_eq!(refusal.told(key), text(value), "{key}");
    }
}

#[then("the refusal takes less than 8 KiB on the wire")]
async fn is_small(world: &mut PlanWorld) {
    let bytes = bytes_on_the_wire(world.status());
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
}

/// The fields that a refusal names; none twice.
fn fields(refusal: &Refusal) -> BTreeSet<String> {
    let request = refusal.details.bad_request().expect("BadRequest");
    let violations = &request.field_violations;
    assert!(violations.iter().all(|violation| !violation.description.is_empty()));
    let fields: BTreeSet<_> = violations.iter().map(|violation| violation.field.clone()).collect();
    assert_eq!(fields.len(), violations.len(), "a field twice: {violations:?}");
    fields
}

#[then("the refusal names exactly the fields")]
async fn names_fields(world: &mut PlanWorld, step: &Step) {
    let wanted: BTreeSet<_> = column(step).into_iter().map(str::to_owned).collect();
    assert_eq!(fields(&world.refusal()), wanted);
}

#[then(regex = r#"^the refusal names exactly the fields "(.+)"$"#)]
async fn names_these_fields(world: &mut PlanWorld, list: String) {
    let wanted = list.split(", ").map(str::to_owned).collect();
    assert_eq!(fields(&world.refusal()), wanted);
}

#[then(regex = r#"^the refusal describes it with "(.+)"$"#)]
async fn describes_it(world: &mut PlanWorld, words: String) {
    let refusal = world.refusal();
    let request = refusal.details.bad_request().expect("BadRequest");
    let described = &request.field_violations[0].description;
    assert!(described.contains(&words), "{described}");
}

#[then(regex = r#"^the refusal's PreconditionFailure names "(.+)"$"#)]
async fn names_file(world: &mut PlanWorld, file: String) {
    let refusal = world.refusal();
    let failure = refusal.details.precondition_failure().expect("PreconditionFailure");
    let named: Vec<_> = failure.violations.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(named, [file]);
}

/// Either at once, or as the state that the plan comes to.
#[then(regex = r"^it fails because of (\w+)$")]
async fn fails_because_of(world: &mut PlanWorld, reason: String) {
    if world.answer.as_ref().is_some_and(Result::is_err) {
        assert_eq!(world.refusal().reason, reason);
        return;
    }
    let id = world.plan_id("the plan");
    let plan = world.comes_to_rest(&id).await;
    let problem = plan.problem.unwrap_or_else(|| panic!("it did not fail"));
    assert_eq!(problem.reason, reason, "{problem:?}");
    assert!(!problem.message.is_empty());
}
