//! Reads a history and says what is wrong with it.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What became of a resource's row, as the database wrote it down: in the
/// order in which it happened, since the row was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Which resource.
    pub(crate) resource: String,
    /// The database's clock, after the change was decided on.
    pub(crate) at: i64,
    /// The row's owner from then on.
    pub(crate) owner: String,
    /// Its token.
    pub(crate) token: i64,
    /// When it was granted.
    pub(crate) acquired_at: i64,
    /// When it was last extended.
    pub(crate) renewed_at: i64,
    /// When it runs out; none when it is free.
    pub(crate) expires_at: Option<i64>,
}

/// A hold, as callers know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hold {
    pub(crate) resource: String,
    pub(crate) owner: String,
    pub(crate) token: i64,
}

/// A grant or a renewal that a caller was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) hold: Hold,
    /// Until when the lease ran, as the caller was told.
    pub(crate) expires_at: i64,
}

/// What the callers have to tell.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// What its owner asked to release, whatever the answer was.
    pub(crate) releases: HashSet<Hold>,
}

/// Everything that is wrong: nothing, hopefully.
pub(crate) fn check(history: &[Entry], told: &Told) -> Vec<String> {
    let mut by_resource: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in history {
        by_resource.entry(&entry.resource).or_default().push(entry);
    }
    let mut wrong: Vec<String> = by_resource
        .values()
        .flat_map(|entries| entries.windows(2))
        .filter_map(|pair| problem(pair[0], pair[1], &told.releases))
        .collect();
    // Until when each hold ran at most, as the database knows it.
    let mut until: HashMap<Hold, i64> = HashMap::new();
    for entry in history {
        let latest = until.entry(entry.hold()).or_insert(i64::MIN);
        *latest = entry.expires_at.map_or(*latest, |expires_at| expires_at.max(*latest));
    }
    for Acknowledged { hold, expires_at } in &told.acknowledged {
        match until.get(hold) {
            None => wrong.push(format!("{hold:?}: the grant was acknowledged and lost")),
            Some(latest) if latest < expires_at => {
                wrong.push(format!("{hold:?}: a renewal was acknowledged and lost"));
            }
            Some(_) => {}
        }
    }
    wrong
}

impl Entry {
    fn hold(&self) -> Hold {
        let Self { resource, owner, token, .. } = self.clone();
        Hold { resource, owner, token }
    }
}

/// What is wrong with going from one state of a row to the next.
fn problem(before: &Entry, after: &Entry, releases: &HashSet<Hold>) -> Option<String> {
    let was_live_at = |moment| before.expires_at.is_some_and(|expires_at| expires_at > moment);
    let what = if after.token < before.token {
        "the token went back"
    } else if after.token > before.token {
        if was_live_at(after.acquired_at) { "two leases were live at once" } else { return None }
    } else if forgot_its_last_owner(before, after) {
        return None;
    } else if after.owner != before.owner || after.acquired_at != before.acquired_at {
        "two grants under one token"
    } else if after.expires_at.is_none() {
        // A live lease ends before its time only when its owner says so. Only
        // those who release ask to; purges and sweeps free what is stale.
        if was_live_at(after.at) && !releases.contains(&before.hold()) {
            "a live lease was freed by somebody else"
        } else {
            return None;
        }
    } else if before.expires_at.is_none() {
        "a free resource was held again without a grant"
    } else if after.renewed_at != before.renewed_at && !was_live_at(after.renewed_at) {
        "a lease that had run out was brought back"
    } else {
        return None;
    };
    Some(format!("{}: {what}: {before:?}, then {after:?}", after.resource))
}

/// Whether the name of the last owner was taken out of a free row: the sweeper
/// of Postgres does so, and it is nobody's hold any more.
fn forgot_its_last_owner(before: &Entry, after: &Entry) -> bool {
    before.expires_at.is_none()
        && Entry { owner: String::new(), at: after.at, ..before.clone() } == *after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(owner: &str, token: i64, acquired: i64, renewed: i64, expires: Option<i64>) -> Entry {
        Entry {
            resource: "plan/1".into(),
            at: renewed,
            owner: owner.into(),
            token,
            acquired_at: acquired,
            renewed_at: renewed,
            expires_at: expires,
        }
    }

    fn hold(owner: &str, token: i64) -> Hold {
        Hold { resource: "plan/1".into(), owner: owner.into(), token }
    }

    /// What is wrong when `a` alone released its hold 10.
    fn found(history: &[Entry]) -> Vec<String> {
        check(history, &Told { releases: [hold("a", 10)].into(), ..Told::default() })
    }

    fn only(history: &[Entry], words: &str) {
        let wrong = found(history);
        assert!(wrong.len() == 1 && wrong[0].contains(words), "{wrong:?}");
    }

    #[test]
    fn a_good_history_passes() {
        let good = [
            entry("a", 10, 10, 10, Some(20)),
            entry("a", 10, 10, 15, Some(25)),
            entry("a", 10, 10, 15, None),
            entry("b", 26, 26, 26, Some(36)),
            entry("c", 40, 36, 36, Some(46)),
        ];
        assert_eq!(found(&good), Vec::<String>::new());
    }

    #[test]
    fn finds_an_overlap() {
        only(&[entry("a", 10, 10, 10, Some(20)), entry("b", 11, 19, 19, Some(29))], "two leases");
    }

    #[test]
    fn finds_a_token_that_went_back() {
        only(&[entry("a", 10, 10, 10, None), entry("b", 9, 30, 30, Some(40))], "went back");
    }

    #[test]
    fn finds_a_token_that_was_granted_twice() {
        only(&[entry("a", 10, 10, 10, None), entry("b", 10, 30, 30, Some(40))], "one token");
    }

    #[test]
    fn a_free_row_may_forget_its_last_owner_and_a_held_one_may_not() {
        let free = entry("b", 10, 10, 15, None);
        let forgotten = entry("", 10, 10, 15, None);
        let held = entry("b", 26, 26, 26, Some(36));
        assert_eq!(found(&[free.clone(), forgotten.clone(), held.clone()]), Vec::<String>::new());
        only(&[held, entry("", 26, 26, 26, Some(36))], "one token");
        only(&[free, entry("c", 10, 10, 15, None)], "one token");
        only(&[forgotten, entry("b", 10, 10, 15, Some(25))], "one token");
    }

    #[test]
    fn finds_a_lease_that_was_brought_back() {
        only(&[entry("a", 10, 10, 10, Some(20)), entry("a", 10, 10, 20, Some(30))], "brought back");
        only(&[entry("a", 10, 10, 10, None), entry("a", 10, 10, 12, Some(30))], "held again");
    }

    #[test]
    fn finds_a_grant_that_was_lost() {
        let history = [entry("a", 10, 10, 10, Some(20)), entry("a", 10, 10, 15, Some(25))];
        let found = |owner: &str, token, expires_at| {
            let acknowledged = vec![Acknowledged { hold: hold(owner, token), expires_at }];
            check(&history, &Told { acknowledged, ..Told::default() })
        };
        assert_eq!(found("a", 10, 25), Vec::<String>::new());
        assert!(found("a", 11, 20)[0].contains("grant was acknowledged and lost"));
        assert!(found("b", 10, 20)[0].contains("grant was acknowledged and lost"));
        assert!(found("a", 10, 26)[0].contains("renewal was acknowledged and lost"));
    }

    #[test]
    fn finds_a_live_lease_that_another_freed() {
        only(&[entry("b", 10, 10, 10, Some(20)), entry("b", 10, 10, 15, None)], "somebody else");
        // Stale by then: a purge.
        let purged = [entry("b", 10, 10, 10, Some(20)), entry("b", 10, 10, 20, None)];
        assert_eq!(found(&purged), Vec::<String>::new());
    }
}
