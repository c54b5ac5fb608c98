//! A random walk: the same commands go to a store and to the pure rules, and
//! must come to the same.

use std::collections::HashMap;

use lock_server::domain::{
    Change, Command, FencingToken, Lock, Outcome, Resource, Row, Span, Timestamp, decide,
};

use crate::kit::{Kit, MINUTE, acquire_with, beside, release, renew, resource, token};

const STEPS: usize = 400;

/// The rules with rows of their own, and a clock that moves by hand.
#[derive(Default)]
struct Model {
    rows: HashMap<Resource, Row>,
    now: i64,
}

impl Model {
    fn apply(&mut self, command: &Command) -> Outcome {
        self.now += 1_000;
        let now = Timestamp::from_micros(self.now);
        let resource = command.resource();
        let decision = decide(command, self.rows.get(resource).cloned(), now, 0);
        match decision.change {
            Change::Keep => {}
            Change::Put(row) => drop(self.rows.insert(resource.clone(), row)),
            Change::Free => {
                if let Some(row) = self.rows.get_mut(resource) {
                    row.expires_at = None;
                }
            }
        }
        decision.outcome
    }

    fn age(&mut self, resource: &Resource) {
        if let Some(row) = self.rows.get_mut(resource) {
            row.expires_at = Some(Timestamp::from_micros(self.now - 1));
        }
    }
}

/// The tokens of each resource, in the order of their grants. Two resources may
/// well have the same token.
type Ranks = HashMap<(Resource, FencingToken), usize>;

/// What an outcome says, but for its times; tokens as their rank.
fn shape(outcome: &Outcome, ranks: &mut Ranks) -> String {
    let mut rank = |lock: &Lock| {
        let next = ranks.len();
        *ranks.entry((lock.resource.clone(), lock.token)).or_insert(next)
    };
    match outcome {
        Outcome::Granted { lock, reentrant } => format!(
            "granted {} {reentrant} #{} {} {:?}",
            lock.owner.as_str(),
            rank(lock),
            lock.ttl,
            lock.metadata.entries()
        ),
        Outcome::Conflict { holder } => {
            format!("conflict {} #{}", holder.owner.as_str(), rank(holder))
        }
        Outcome::Renewed(lock) => format!("renewed #{} {}", rank(lock), lock.ttl),
        Outcome::Expired { .. } => "expired".to_owned(),
        Outcome::NotHeld { holder, .. } => format!("not held, but by {holder:?}"),
        Outcome::Released { ended } => format!("released {ended}"),
        other => unreachable!("nobody waits in this walk: {other:?}"),
    }
}

pub(crate) async fn walks_like_the_model(kit: Kit) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = Model::default();
    let (mut seen_there, mut seen_here) = (Ranks::new(), Ranks::new());
    // For each resource, the last token that the store and the model granted.
    let mut tokens: HashMap<Resource, (FencingToken, FencingToken)> = HashMap::new();
    for step in 0..STEPS {
        let what = resource(&format!("r{}", random.u8(..3)));
        let who = format!("owner-{}", random.u8(..2));
        let (there, here) = tokens.get(&what).copied().unwrap_or((token(1), token(1)));
        let wrong = random.u8(..6) == 0;
        let pick = |token| if wrong { beside(token) } else { token };
        let ttl = Span::from_micros(MINUTE.micros() * random.i64(1..4));
        let commands = match random.u8(..8) {
            0..3 => {
                let entries: &[_] = if random.bool() { &[("k", "v")] } else { &[] };
                [(); 2].map(|()| acquire_with(&what, &who, ttl, entries))
            }
            3 | 4 => {
                let ttl = random.bool().then_some(ttl);
                [there, here].map(|token| renew(&what, &who, pick(token), ttl))
            }
            5 | 6 => {
                let named = random.bool();
                [there, here].map(|token| release(&what, &who, named.then(|| pick(token))))
            }
            _ => {
                if kit.get(&what).await.is_some() {
                    kit.age(&what, 1).await;
                    model.age(&what);
                }
                continue;
            }
        };
        let [for_store, for_model] = commands;
        let outcome = kit.apply(for_store.clone()).await;
        let expected = model.apply(&for_model);
        assert_eq!(
            shape(&outcome, &mut seen_there),
            shape(&expected, &mut seen_here),
            "seed {seed}, step {step}: {for_store:?}"
        );
        if let (Outcome::Granted { lock, .. }, Outcome::Granted { lock: modelled, .. }) =
            (outcome, expected)
        {
            let last = tokens.insert(what, (lock.token, modelled.token));
            assert!(last.is_none_or(|(last, _)| last <= lock.token), "seed {seed}, step {step}");
        }
    }
}
