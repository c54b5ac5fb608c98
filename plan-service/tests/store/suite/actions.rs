//! Actions.

use futures::future::join_all;
use plan_service::{
    domain::{ActionName, Moment},
    store::StoredAction,
};

use crate::kit::{Kit, name, template};

fn at(micros: i64) -> Moment {
    Moment::from_micros(micros)
}

pub(crate) async fn an_action_is_kept_as_it_is(kit: Kit) {
    let added = template("edit/rename", "renames");
    assert_eq!(kit.store.action(&added.name).await.unwrap(), None);
    assert!(kit.store.add_action(&added, at(7)).await.unwrap());
    let other = template("edit/rename", "something else");
    assert!(!kit.store.add_action(&other, at(8)).await.unwrap());
    let kept = StoredAction { template: added.clone(), created_at: at(7) };
    assert_eq!(kit.store.action(&added.name).await.unwrap(), Some(kept));
}

/// An earlier planner lost some of these.
pub(crate) async fn one_of_100_creates_the_action(kit: Kit) {
    let all: Vec<_> = (0..100).map(|at| template("edit/rename", &format!("by {at}"))).collect();
    let answers = join_all(all.iter().map(|one| kit.store.add_action(one, at(1)))).await;
    let mut won = all.iter().zip(answers).filter_map(|(one, won)| won.unwrap().then_some(one));
    let winner = won.next().expect("one of them");
    assert_eq!(won.next(), None);
    let kept = kit.store.action(&winner.name).await.unwrap().unwrap();
    assert_eq!(&kept.template, winner);
}

pub(crate) async fn actions_are_listed_by_name(kit: Kit) {
    let sorted = ["a-b/z", "a/b", "a/b-c", "a/b_c", "a/bc", "a0/b"];
    for called in ["a/bc", "a0/b", "a/b_c", "a-b/z", "a/b", "a/b-c"] {
        assert!(kit.store.add_action(&template(called, ""), at(1)).await.unwrap());
    }
    for (namespace, wanted) in
        [(None, &sorted[..]), (Some(name("a")), &sorted[1..5]), (Some(name("none")), &[])]
    {
        let mut listed = Vec::new();
        let mut after: Option<ActionName> = None;
        loop {
            let page = kit.store.actions(namespace.as_ref(), after.as_ref(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            after = Some(last.template.name.clone());
            listed.extend(page.into_iter().map(|action| action.template.name.to_string()));
        }
        assert_eq!(listed, wanted);
    }
}
