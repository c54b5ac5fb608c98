//! What the tests are made of: real instances of the service, git projects, and
//! ways to wait for what happens in them.

mod action;
mod command;
mod errors;
mod gate;
mod instance;
mod locks;
mod machine;
mod plans;
mod repo;
mod scene;
pub(crate) mod stubborn_git;
mod turn;

use std::time::Duration;

pub(crate) use self::{
    action::{Template, sh},
    command::{PLAN_SERVICE, PLANCTL, run},
    errors::{failure, is_conflict},
    gate::Gate,
    instance::Instance,
    locks::{Locks, lock_client},
    machine::{Program, peak_memory, uptime},
    plans::Plans,
    repo::Repo,
    scene::Scene,
};

/// What nothing here takes as long as.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Panics, with the lines that are in one of them only, unless both are the same.
#[track_caller]
pub(crate) fn assert_same<const N: usize>(found: &[String; N], expected: &[String; N]) {
    for (found, expected) in found.iter().zip(expected) {
        let only = |these: &str, those: &str| -> Vec<String> {
            let those: Vec<_> = those.lines().collect();
            these.lines().filter(|line| !those.contains(line)).map(str::to_owned).collect()
        };
        let (new, gone) = (only(found, expected), only(expected, found));
        assert!(found == expected, "new: {new:#?}\ngone: {gone:#?}");
    }
}
