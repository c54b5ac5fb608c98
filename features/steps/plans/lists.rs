//! Lists, their pages and their filters.

use cucumber::then;
use proto::plan::v1 as wire;

use crate::{answer::shown, world::plans::PlanWorld};

async fn actions(world: &PlanWorld, request: wire::ListActionsRequest) -> (String, String) {
    let answer = world.ask(async |mut client| client.list_actions(request).await).await;
    let page = answer.unwrap_or_else(|status| panic!("{}", shown(&status)));
    let names: Vec<_> = page.actions.into_iter().map(|action| action.name).collect();
    (names.join(" "), page.next_page_token)
}

#[then(regex = r#"^the actions, (\d+) to a page, are "(.*)" and "(.*)"$"#)]
async fn pages_of_actions(world: &mut PlanWorld, page_size: i32, one: String, other: String) {
    let first = wire::ListActionsRequest { page_size, ..Default::default() };
    let (told, page_token) = actions(world, first.clone()).await;
    assert_eq!(told, one);
    assert!(!page_token.is_empty(), "there is another page");
    let second = wire::ListActionsRequest { page_token, ..first };
    assert_eq!(actions(world, second).await, (other, String::new()));
}

#[then(regex = r#"^the actions of the namespace (\w+) are "(.*)"$"#)]
async fn actions_of(world: &mut PlanWorld, namespace: String, wanted: String) {
    let request = wire::ListActionsRequest { namespace: Some(namespace), ..Default::default() };
    assert_eq!(actions(world, request).await, (wanted, String::new()));
}

async fn plans(world: &PlanWorld, request: wire::ListPlansRequest) -> (String, String) {
    let answer = world.ask(async |mut client| client.list_plans(request).await).await;
    let page = answer.unwrap_or_else(|status| panic!("{}", shown(&status)));
    (world.names_of(&page.plans), page.next_page_token)
}

#[then(regex = r#"^the plans, (\d+) to a page, are "(.*)" and "(.*)"$"#)]
async fn pages_of_plans(world: &mut PlanWorld, page_size: i32, one: String, other: String) {
    let first = wire::ListPlansRequest { page_size, ..Default::default() };
    let (told, page_token) = plans(world, first.clone()).await;
    assert_eq!(told, one);
    assert!(!page_token.is_empty(), "there is another page");
    let second = wire::ListPlansRequest { page_token, ..first };
    assert_eq!(plans(world, second).await, (other, String::new()));
}

#[then(regex = r#"^the plans with (\S+=\S+(?: \S+=\S+)?) are "(.*)"$"#)]
async fn plans_with(world: &mut PlanWorld, filters: String, wanted: String) {
    let mut request = wire::ListPlansRequest::default();
    for filter in filters.split(' ') {
        let (field, value) = filter.split_once('=').expect("field=value");
        match field {
            "project" => request.project = Some(value.to_owned()),
            "action" => request.action = Some(value.to_owned()),
            "phase" => {
                let name = format!("PLAN_PHASE_{value}");
                request.set_phase(wire::PlanPhase::from_str_name(&name).expect("a phase"));
            }
            "state" => {
                let name = format!("PLAN_STATE_{value}");
                request.set_state(wire::PlanState::from_str_name(&name).expect("a state"));
            }
            other => panic!("no filter {other}"),
        }
    }
    assert_eq!(plans(world, request).await, (wanted, String::new()));
}
