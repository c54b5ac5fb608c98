//! Waiting in line: who waits for whom, and circles of that.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use super::{OwnerId, Resource};

/// An owner who holds something that is waited for, and itself waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// Who waits.
    pub owner: OwnerId,
    /// For what.
    pub resource: Resource,
    /// Who holds that.
    pub holder: OwnerId,
    /// The waiter's place: the greater, the younger.
    pub place: i64,
}

/// Owners who wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// Each waits for the resource that the next one holds, the last one for
    /// what the first one holds. The first is the youngest wait.
    waits: Vec<WaitsFor>,
}

/// The circles in who waits for whom, each once, by its youngest wait. Where
/// circles share waits, breaking those that are told leaves none.
pub fn circles(waits: &[WaitsFor]) -> Vec<Circle> {
    let mut waits: Vec<&WaitsFor> = waits.iter().collect();
    waits.sort_by_key(|wait| wait.place);
    // The waits so far have no circle among them: each is added unless it closes
    // one, and what closes one is its youngest.
    let mut open: HashMap<&OwnerId, Vec<&WaitsFor>> = HashMap::new();
    let mut circles = Vec::new();
    for wait in waits {
        match way(&open, &wait.holder, &wait.owner) {
            Some(way) => {
                let mut circle = vec![wait.clone()];
                circle.extend(way.into_iter().cloned());
                circles.push(Circle { waits: circle });
            }
            None => open.entry(&wait.owner).or_default().push(wait),
        }
    }
    circles
}

/// The waits that lead from one owner to another; none where they do not.
fn way<'a>(
    open: &HashMap<&'a OwnerId, Vec<&'a WaitsFor>>,
    from: &'a OwnerId,
    to: &OwnerId,
) -> Option<Vec<&'a WaitsFor>> {
    if from == to {
        return Some(Vec::new());
    }
    let mut came_by: HashMap<&OwnerId, &WaitsFor> = HashMap::new();
    let mut seen = HashSet::from([from]);
    let mut next = vec![from];
    while let Some(owner) = next.pop() {
        for wait in open.get(owner).into_iter().flatten() {
            if !seen.insert(&wait.holder) {
                continue;
            }
            came_by.insert(&wait.holder, wait);
            if wait.holder == *to {
                let mut way = Vec::new();
                let mut at = to;
                while at != from {
                    let wait = came_by[at];
                    way.push(wait);
                    at = &wait.owner;
                }
                way.reverse();
                return Some(way);
            }
            next.push(&wait.holder);
        }
    }
    None
}

// === impl Circle ===

impl Circle {
    /// The wait that is to end: the youngest.
    pub fn youngest(&self) -> &WaitsFor {
        &self.waits[0]
    }

    /// Each wait, from the youngest on.
    pub fn waits(&self) -> &[WaitsFor] {
        &self.waits
    }
}

impl fmt::Display for Circle {
    /// `owner → type/id → owner → … → the first owner`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for wait in &self.waits {
            write!(f, "{} → {} → ", wait.owner.as_str(), wait.resource)?;
        }
        f.write_str(self.waits[0].owner.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ResourceType;

    fn waits(text: &[(&str, &str)]) -> Vec<WaitsFor> {
        let wait = |(place, (owner, holder)): (usize, &(&str, &str))| WaitsFor {
            owner: OwnerId::parse(owner).unwrap(),
            resource: Resource::parse_id(ResourceType::parse("plan").unwrap(), holder).unwrap(),
            holder: OwnerId::parse(holder).unwrap(),
            place: i64::try_from(place).unwrap(),
        };
        text.iter().enumerate().map(wait).collect()
    }

    fn told(text: &[(&str, &str)]) -> Vec<String> {
        circles(&waits(text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_chain_is_no_circle() {
        assert!(told(&[]).is_empty());
        assert!(told(&[("a", "b"), ("b", "c"), ("a", "c"), ("d", "b")]).is_empty());
    }

    #[test]
    fn the_youngest_wait_of_a_circle_is_told() {
        assert_eq!(told(&[("a", "b"), ("b", "a")]), ["b → plan/a → a → plan/b → b"]);
        assert_eq!(
            told(&[("c", "a"), ("x", "a"), ("a", "b"), ("b", "c"), ("b", "x")]),
            [
                "b → plan/c → c → plan/a → a → plan/b → b",
                "b → plan/x → x → plan/a → a → plan/b → b",
            ]
        );
    }

    #[test]
    fn what_is_broken_breaks_the_others_that_share_it() {
        // Both circles go over a → b, the youngest.
        assert_eq!(told(&[("b", "a"), ("b", "c"), ("c", "a"), ("a", "b")]).len(), 1);
    }

    #[test]
    fn a_large_web_without_a_circle_is_no_work() {
        let name = |layer: usize, at: usize| format!("{layer}-{at}");
        let mut web = Vec::new();
        for layer in 0..30 {
            for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                web.push((name(layer, from), name(layer + 1, to)));
            }
        }
        let web: Vec<_> = web.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert!(told(&web).is_empty());
    }
}
