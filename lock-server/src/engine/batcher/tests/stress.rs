//! Anything at any moment: commands come, callers go, batches are answered out
//! of order, left out and failed, and the rules hold throughout.

use std::{collections::HashMap, time::Duration};

use super::{
    scene::{Caller, Scene, batching},
    script::{Call, name_of},
};
use crate::{domain::Command, store::StoreError};

const STEPS: usize = 3_000;
const RESOURCES: u8 = 6;

/// What the test has seen so far.
#[derive(Default)]
struct Seen {
    /// For each resource, the number of its last command that is over.
    last: HashMap<String, u64>,
}

fn number_of(command: &Command) -> u64 {
    name_of(command).rsplit(' ').next().unwrap().parse().unwrap()
}

impl Seen {
    /// Panics when the call breaks a rule.
    fn check(&mut self, call: &Call, under_way: &[Call], most: usize, mixed: bool, seed: u64) {
        assert!((1..=most).contains(&call.commands.len()), "seed {seed}: {:?}", call.names());
        if !mixed {
            let kind = call.commands[0].kind();
            let alike = call.commands.iter().all(|command| command.kind() == kind);
            assert!(alike, "seed {seed}: {:?}", call.names());
        }
        let mut before = HashMap::new();
        for command in &call.commands {
            let (name, resource) = (name_of(command), command.resource().to_string());
            let mut elsewhere = under_way.iter().flat_map(|other| &other.commands);
            let twice = elsewhere.any(|other| other.resource() == command.resource());
            assert!(!twice, "seed {seed}: {name:?} is in another call as well");
            let number = number_of(command);
            let last = self.last.get(&resource).copied().max(before.insert(resource, number));
            assert!(last < Some(number), "seed {seed}: {last:?} before {name:?}");
        }
    }

    /// Says something to a call.
    fn react(&mut self, call: Call, random: &mut fastrand::Rng) {
        // Nothing behind what is left out may be carried out.
        let mut left: Vec<&Command> = Vec::new();
        for command in call.commands.iter().filter(|_| !call.alone) {
            let behind = left.iter().any(|one| one.resource() == command.resource());
            if behind || random.u8(..8) == 0 {
                left.push(command);
            }
        }
        let fails = random.u8(..10) == 0;
        for command in &call.commands {
            if fails || !left.contains(&command) {
                self.last.insert(command.resource().to_string(), number_of(command));
            }
        }
        if fails && random.bool() {
            call.fail(StoreError::Timeout(Duration::ZERO));
        } else if fails {
            call.fail(StoreError::Contended);
        } else {
            let left: Vec<_> = left.into_iter().map(|one| name_of(one).to_owned()).collect();
            let left: Vec<_> = left.iter().map(String::as_str).collect();
            call.leave_out(&left);
        }
    }
}

async fn run(at_a_time: usize, mixed: bool, most: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::set(batching(at_a_time, mixed, most));
    let mut seen = Seen::default();
    let (mut under_way, mut callers): (Vec<Call>, Vec<Caller>) = (Vec::new(), Vec::new());
    for number in 1..=STEPS {
        match random.u8(..10) {
            0..5 => {
                let kind = random.choice(["acquire", "renew", "release"]).unwrap();
                let resource = random.u8(..RESOURCES);
                callers.push(scene.ask(&format!("{kind} r{resource} {number}")));
            }
            5 if !callers.is_empty() => drop(callers.swap_remove(random.usize(..callers.len()))),
            6..9 if !under_way.is_empty() => {
                let call = under_way.swap_remove(random.usize(..under_way.len()));
                seen.react(call, &mut random);
            }
            _ => {}
        }
        if random.bool() {
            while let Some(call) = scene.next_now().await {
                seen.check(&call, &under_way, most, mixed, seed);
                under_way.push(call);
            }
            let batches = under_way.iter().filter(|call| !call.alone).count();
            assert!(batches <= at_a_time, "seed {seed}: {batches} batches at a time");
        }
        callers.retain(|caller| !caller.has_answer());
    }
    // The end: everything is answered, by the store or by a failure before.
    loop {
        while let Some(call) = scene.next_now().await {
            seen.check(&call, &under_way, most, mixed, seed);
            under_way.push(call);
        }
        let Some(call) = under_way.pop() else { break };
        seen.react(call, &mut random);
    }
    callers.retain(|caller| !caller.has_answer());
    assert!(callers.is_empty(), "seed {seed}: without an answer: {callers:?}");
    scene.is_clean().await;
}

#[tokio::test]
async fn the_rules_hold_whatever_happens() {
    for (at_a_time, mixed, most) in [(1, true, 500), (1, false, 2), (2, false, 3), (3, true, 2)] {
        run(at_a_time, mixed, most, fastrand::u64(..)).await;
    }
}
