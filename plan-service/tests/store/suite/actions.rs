//! Actions.

use futures::future::join_all;
use plan_service::{
    domain::{ActionName, Moment},
    store::StoredAction,
};

use crate::kit::{Kit, action_name, name, template};

fn at(micros: i64) -> Moment {
    Moment::from_micros(micros)
}

async fn names(kit: &Kit) -> Vec<String> {
    let actions = kit.store.actions(None, None, 1_000).await.unwrap();
    actions.into_iter().map(|action| action.template.name.to_string()).collect()
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

pub(crate) async fn a_folder_of_actions_replaces_all(kit: Kit) {
    assert!(kit.store.add_action(&template("a/gone", ""), at(1)).await.unwrap());
    assert!(kit.store.add_action(&template("a/same", "same"), at(1)).await.unwrap());
    assert!(kit.store.add_action(&template("a/other", "before"), at(1)).await.unwrap());
    let folder =
        [template("a/same", "same"), template("a/other", "after"), template("a/new", "new")];
    for _ in 0..2 {
        kit.store.set_actions(&folder, at(2)).await.unwrap();
        assert_eq!(names(&kit).await, ["a/new", "a/other", "a/same"]);
        for (called, description, created_at) in
            [("a/new", "new", 2), ("a/other", "after", 2), ("a/same", "same", 1)]
        {
            let kept = kit.store.action(&action_name(called)).await.unwrap().unwrap();
            let created = kept.created_at;
            assert_eq!((&*kept.template.description, created), (description, at(created_at)));
        }
    }
    kit.store.set_actions(&[], at(3)).await.unwrap();
    assert_eq!(names(&kit).await, [""; 0]);
}

/// Each sees its own list or another's, never a mixture of two; and instances
/// that begin at the same time do not lock each other out.
pub(crate) async fn folders_of_actions_do_not_mix(kit: Kit) {
    let folders: Vec<Vec<_>> = (0..8_usize)
        .map(|of| {
            let mut folder: Vec<_> =
                (0..10).map(|at| template(&format!("n{}/a{at}", (of + at) % 3), "x")).collect();
            folder.push(template(&format!("only/of{of}"), "x"));
            folder
        })
        .collect();
    let lists: Vec<Vec<String>> = folders
        .iter()
        .map(|folder| {
            let mut names: Vec<_> = folder.iter().map(|one| one.name.to_string()).collect();
            names.sort();
            names
        })
        .collect();
    let setting = join_all(folders.iter().map(|folder| kit.store.set_actions(folder, at(1))));
    let reading = async {
        for _ in 0..30 {
            let seen = names(&kit).await;
            assert!(seen.is_empty() || lists.contains(&seen), "a mixture: {seen:?}");
        }
    };
    let (set, ()) = tokio::join!(setting, reading);
    set.into_iter().for_each(|set| set.unwrap());
    assert!(lists.contains(&names(&kit).await));
}
