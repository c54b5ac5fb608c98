//! What owners asked and what they were told, and what is wrong with that.

use std::collections::HashMap;

use super::{Entry, Micros, SECOND, What};

/// How far the clocks of owners and database may be apart.
const SLACK: Micros = SECOND / 20;

/// How long after its wait an answer may come.
pub(crate) const ANSWERED_WITHIN: Micros = 15 * SECOND;

/// How long after a call its server may believe that it still waits.
const NOTICED_WITHIN: Micros = SECOND / 2;

/// How long after an outage a server may still count as gone.
const BACK_WITHIN: Micros = 2 * SECOND;

/// Everything that owners have to tell.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) calls: Vec<Call>,
    pub(crate) endings: Vec<Ending>,
    /// What was done to servers.
    pub(crate) outages: Vec<Outage>,
}

/// When a server was not there.
#[derive(Debug, Clone)]
pub(crate) struct Outage {
    pub(crate) server: usize,
    pub(crate) from: Micros,
    pub(crate) to: Micros,
}

/// One call to acquire.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) owner: String,
    /// Which server was asked.
    pub(crate) server: usize,
    pub(crate) asked_at: Micros,
    /// How long it was to wait.
    pub(crate) wait: Micros,
    pub(crate) ended_at: Micros,
    pub(crate) end: End,
}

/// How a call to acquire ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Granted {
        token: i64,
        expires_at: Micros,
        /// The caller held it already.
        reentrant: bool,
    },
    /// Another one holds it.
    Conflict,
    /// `ReleaseAll` took the owner out of line.
    Cancelled,
    /// The server could not, or is gone.
    Failed,
    /// The owner did not want to wait any longer.
    GaveUp,
    /// There was no answer until long after the wait.
    Unanswered,
}

/// That an owner asked to end a hold, or to end all of its holds and waits.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) owner: String,
    /// None for all.
    pub(crate) token: Option<i64>,
    pub(crate) asked_at: Micros,
    /// None when there was no answer: it may happen at any time after.
    pub(crate) answered_at: Option<Micros>,
}

impl Told {
    /// Whether the owner had asked to end this hold by then.
    pub(super) fn asked_to_end(&self, owner: &str, token: i64, at: Micros) -> bool {
        self.endings.iter().any(|ending| {
            ending.owner == owner
                && ending.token.is_none_or(|ended| ended == token)
                && ending.asked_at <= at + SLACK
                && (ending.token.is_some()
                    || ending.answered_at.is_none_or(|answered_at| at <= answered_at + SLACK))
        })
    }

    /// Whether the owner was ever told that it has this hold.
    pub(super) fn knew_of(&self, owner: &str, token: i64) -> bool {
        self.calls.iter().any(|call| {
            let granted = matches!(call.end, End::Granted { token: told, .. } if told == token);
            granted && call.owner == owner
        })
    }

    /// Whether a call of the owner that was there at one moment was still there
    /// at, and for a while after, another, at a server that was there as well.
    pub(super) fn was_served(&self, owner: &str, from: Micros, to: Micros) -> bool {
        self.calls.iter().any(|call| {
            call.owner == owner
                && call.asked_at + SLACK < from
                && call.ended_at > to + NOTICED_WITHIN
                && call.asked_at + call.wait > to + NOTICED_WITHIN
                && !self.outages.iter().any(|outage| {
                    let is_near = outage.from <= to && to <= outage.to + BACK_WITHIN;
                    outage.server == call.server && is_near
                })
        })
    }
}

/// What is wrong with what owners were told.
pub(super) fn check(history: &[Entry], told: &Told) -> Vec<String> {
    let mut until: HashMap<(&str, i64), Micros> = HashMap::new();
    for entry in history {
        if let What::Lock(row) = &entry.what {
            let latest = until.entry((&row.owner, row.token)).or_insert(Micros::MIN);
            *latest = row.expires_at.map_or(*latest, |expires_at| expires_at.max(*latest));
        }
    }
    let wrong_with = |call: &Call| -> Option<&'static str> {
        if call.ended_at > call.asked_at + call.wait + ANSWERED_WITHIN {
            return Some("was not answered in time");
        }
        match call.end {
            End::Granted { token, expires_at, .. } => {
                match until.get(&(call.owner.as_str(), token)) {
                    None => Some("was told of a grant that is not there"),
                    Some(latest) if *latest < expires_at => Some("was told of a longer lease"),
                    Some(_) => None,
                }
            }
            End::Conflict if call.ended_at + SLACK < call.asked_at + call.wait => {
                Some("was sent away before its wait was over")
            }
            End::Cancelled if !told.asked_to_end_all(call) => {
                Some("was cancelled though nobody asked for that")
            }
            End::Unanswered => Some("was never answered"),
            End::Conflict | End::Cancelled | End::Failed | End::GaveUp => None,
        }
    };
    let wrong = told.calls.iter().filter_map(|call| Some((wrong_with(call)?, call)));
    wrong.map(|(problem, call)| format!("a call {problem}: {call:?}")).collect()
}

impl Told {
    fn asked_to_end_all(&self, call: &Call) -> bool {
        self.endings.iter().any(|ending| {
            ending.token.is_none() && ending.owner == call.owner && ending.asked_at <= call.ended_at
        })
    }
}
