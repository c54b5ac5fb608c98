//! Who the callers are, and which locks each of them goes round.

/// The resource type of all locks here.
pub(crate) const KIND: &str = "bench";

/// What one caller works with. It names its locks by their place in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// As long as the UUID that a program would take.
    pub(crate) owner: String,
    /// The ids of the resources.
    pub(crate) resources: Vec<String>,
}

/// Each caller has so many resources that nobody else asks for.
pub(crate) fn own(callers: usize, each: usize) -> Vec<Part> {
    let part = |caller| Part {
        owner: owner(caller),
        resources: (0..each).map(|number| resource(caller, number)).collect(),
    };
    (0..callers).map(part).collect()
}

/// All callers ask for the same few resources.
pub(crate) fn shared(callers: usize, locks: usize) -> Vec<Part> {
    let resources: Vec<_> = (0..locks).map(|number| format!("shared-{number:04}")).collect();
    (0..callers).map(|caller| Part { owner: owner(caller), resources: resources.clone() }).collect()
}

/// All callers ask for this one resource.
pub(crate) fn in_line(callers: usize, resource: &str) -> Vec<Part> {
    let part = |caller| Part { owner: owner(caller), resources: vec![resource.to_owned()] };
    (0..callers).map(part).collect()
}

/// As [`own`], and at the end of the list the first resource of the next caller.
pub(crate) fn with_neighbour(callers: usize, each: usize) -> Vec<Part> {
    let mut parts = own(callers, each);
    for (caller, part) in parts.iter_mut().enumerate() {
        part.resources.push(resource((caller + 1) % callers, 0));
    }
    parts
}

/// The callers share out what is given, each its own.
pub(crate) fn of(callers: usize, resources: &[String]) -> Vec<Part> {
    let each = (resources.len() / callers).max(1);
    let lists = resources.chunks(each).take(callers).enumerate();
    lists.map(|(caller, list)| Part { owner: owner(caller), resources: list.to_vec() }).collect()
}

fn owner(caller: usize) -> String {
    format!("bench-caller-{caller:023}")
}

fn resource(caller: usize, number: usize) -> String {
    format!("caller-{caller:04}-lock-{number:05}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_callers_share_what_is_their_own() {
        let parts = own(64, 100);
        let all: HashSet<_> = parts.iter().flat_map(|part| &part.resources).collect();
        let owners: HashSet<_> = parts.iter().map(|part| &part.owner).collect();
        assert_eq!((all.len(), owners.len()), (6_400, 64));
        assert_eq!(parts[0].owner.len(), 36);
    }

    #[test]
    fn the_neighbours_lock_is_the_last() {
        let parts = with_neighbour(3, 2);
        assert_eq!(parts[2].resources[2], parts[0].resources[0]);
        assert_eq!(parts[0].resources.len(), 3);
    }

    #[test]
    fn what_is_given_is_shared_out_evenly() {
        let resources: Vec<_> = (0..10).map(|number| number.to_string()).collect();
        let parts = of(5, &resources);
        assert_eq!(parts.len(), 5);
        assert!(parts.iter().all(|part| part.resources.len() == 2));
    }
}
