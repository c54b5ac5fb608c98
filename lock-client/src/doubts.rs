//! Leases that a request which is still under way may end.
//!
//! A release that nobody answered may be stuck in a connection that stands
//! still, and arrive at any time. If the same lease is granted again meanwhile,
//! re-entrantly and with the same token, that release ends it, and whoever was
//! granted it believes in it for longer than the server does. So the token is
//! remembered here, and a lease that carries it is given back, with an answer,
//! before another one is asked for: no request under way names the new token.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::hold::Key;

/// No connection holds a request up for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How many there may be before old ones are looked for.
const FEW: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Doubts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Rarely more than one token for a resource: each grant ends those before.
    tokens: HashMap<Key, Vec<Doubt>>,
    tidy_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    token: u64,
    since: Instant,
}

impl Doubts {
    /// A request that was sent before now may end the lease with this token.
    pub(crate) fn set(&self, key: &Key, token: u64, now: Instant) {
        let mut state = self.state();
        if state.tokens.len() >= state.tidy_at {
            state.forget(|doubt| now.saturating_duration_since(doubt.since) >= LONGEST);
            // Twice as many: so looking through all costs little for each.
            state.tidy_at = 2 * state.tokens.len().max(FEW);
        }
        let doubts = state.tokens.entry(key.clone()).or_default();
        doubts.retain(|doubt| doubt.token != token);
        doubts.push(Doubt { token, since: now });
    }

    /// Whether the lease with this token is not to be relied on.
    pub(crate) fn has(&self, key: &Key, token: u64) -> bool {
        let state = self.state();
        state.tokens.get(key).is_some_and(|doubts| doubts.iter().any(|one| one.token == token))
    }

    /// The leases with this token and smaller ones are over. Tokens only grow,
    /// so none of them comes back.
    pub(crate) fn over(&self, key: &Key, token: u64) {
        let mut state = self.state();
        let Some(doubts) = state.tokens.get_mut(key) else { return };
        doubts.retain(|doubt| doubt.token > token);
        if doubts.is_empty() {
            state.tokens.remove(key);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, which: impl Fn(&Doubt) -> bool) {
        self.tokens.retain(|_, doubts| {
            doubts.retain(|doubt| !which(doubt));
            !doubts.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resource;

    fn key(id: impl ToString) -> Key {
        Key { owner_id: "me".to_owned(), resource: Resource::new("plan", id.to_string()) }
    }

    #[test]
    fn a_token_is_in_doubt_until_it_or_a_later_one_is_over() {
        let (doubts, now) = (Doubts::default(), Instant::now());
        for token in [2, 1, 9, 9] {
            doubts.set(&key("a"), token, now);
        }
        let in_doubt = || [1, 2, 3, 9].map(|token| doubts.has(&key("a"), token));
        assert_eq!(in_doubt(), [true, true, false, true]);
        assert!(!doubts.has(&key("b"), 1));
        doubts.over(&key("a"), 2);
        assert_eq!(in_doubt(), [false, false, false, true]);
        doubts.over(&key("a"), 10);
        assert!(doubts.state().tokens.is_empty());
    }

    #[test]
    fn old_ones_are_forgotten_when_there_are_many() {
        let (doubts, now) = (Doubts::default(), Instant::now());
        for id in 0..2 * FEW {
            doubts.set(&key(id), 1, now);
        }
        doubts.set(&key("new"), 1, now + LONGEST);
        assert_eq!(doubts.state().tokens.len(), 1);
    }
}
