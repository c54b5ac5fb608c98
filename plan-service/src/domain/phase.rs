//! The one table of moves: which a plan may make where it stands, and where
//! each begins. Nothing else in the service decides that.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ProblemReason;

/// Where in its life a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// An action that is about to be used.
    Action,
    /// What is to be done is decided.
    Strategize,
    /// It is done, on a branch.
    Execute,
    /// It is merged.
    Apply,
}

/// How it is with the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Nothing has begun.
    Queued,
    /// A run works on it, under the plan's lock.
    Processing,
    /// The phase is done.
    Complete,
    /// The run failed or was interrupted.
    Errored,
    /// It cannot go on as it is.
    Constrained,
    /// Ended by somebody. Final.
    Cancelled,
    /// Merged. Final.
    Applied,
}

/// What can be done with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// From the action to a strategy.
    Strategize,
    /// Run the steps.
    Execute,
    /// Check and merge.
    Apply,
    /// Back to a new strategy.
    Revert,
    /// Run the phase again.
    Retry,
    /// End it.
    Cancel,
}

/// A move that a plan cannot make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {} a plan that is {phase} {state}: {why}; {}", .asked.verb(), possible_in_words(.possible))]
pub struct MoveError {
    /// What was asked for.
    pub asked: Move,
    /// Where the plan stands.
    pub phase: Phase,
    /// And how.
    pub state: State,
    /// Why not.
    pub why: &'static str,
    /// What it could do instead.
    pub possible: Vec<Move>,
}

/// Every move that can be asked for, in the order in which people want them. To
/// strategize is the service's own.
const ASKED: [Move; 5] = [Move::Execute, Move::Apply, Move::Retry, Move::Revert, Move::Cancel];

/// The phase that a move begins, for a plan that stands there: the table.
///
/// # Errors
/// When the plan cannot make the move.
pub fn start(asked: Move, phase: Phase, state: State) -> Result<Phase, MoveError> {
    allowed(asked, phase, state).map_err(|why| {
        let possible = possible_moves(phase, state);
        MoveError { asked, phase, state, why, possible }
    })
}

/// What can be asked of a plan that stands there.
pub fn possible_moves(phase: Phase, state: State) -> Vec<Move> {
    ASKED.into_iter().filter(|asked| allowed(*asked, phase, state).is_ok()).collect()
}

fn allowed(asked: Move, phase: Phase, state: State) -> Result<Phase, &'static str> {
    use {Move as M, Phase as P, State as S};
    match (asked, phase, state) {
        (_, _, S::Cancelled) => Err("it was cancelled, and that is final"),
        (_, _, S::Applied) => Err("it is applied, and that is final"),
        // Under the lock nobody works on it: who did is gone, and it is put to
        // ERRORED before anything else.
        (M::Cancel, phase, _) => Ok(phase),
        (_, _, S::Processing) => Err("a run works on it"),
        (M::Strategize, P::Action, S::Queued) => Ok(P::Strategize),
        (M::Strategize, _, _) => Err("it has been strategized already"),
        // Its first run died before it could begin.
        (M::Retry, P::Action, S::Queued | S::Errored) => Ok(P::Strategize),
        (M::Retry, phase, S::Errored) => Ok(phase),
        (M::Retry, _, _) => Err("only a plan that is ERRORED is retried"),
        (M::Revert, P::Action, _) => Err("there is nothing to go back to yet"),
        (M::Revert, P::Strategize | P::Execute | P::Apply, _) => Ok(P::Strategize),
        (_, _, S::Errored) => Err("its last run failed"),
        (_, _, S::Constrained) => Err("it cannot go on as it is"),
        (M::Execute, P::Strategize, S::Complete) => Ok(P::Execute),
        (M::Execute, P::Execute | P::Apply, _) => Err("it is executed already"),
        (M::Execute, _, _) => Err("it has no strategy yet"),
        (M::Apply, P::Execute, S::Complete) => Ok(P::Apply),
        (M::Apply, _, _) => Err("it is not executed yet"),
    }
}

impl State {
    /// Whether nothing ever changes it again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Cancelled | Self::Applied)
    }

    /// The state that a problem leads to.
    pub fn of(reason: ProblemReason) -> Self {
        match reason {
            ProblemReason::MergeConflict => Self::Constrained,
            ProblemReason::Cancelled => Self::Cancelled,
            _ => Self::Errored,
        }
    }
}

impl Move {
    /// As a person says it, and as `planctl` is told.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Strategize => "strategize",
            Self::Execute => "execute",
            Self::Apply => "apply",
            Self::Revert => "revert",
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }
}

fn possible_in_words(possible: &[Move]) -> String {
    match possible {
        [] => "nothing is possible any more".to_owned(),
        moves => {
            let verbs: Vec<_> = moves.iter().map(|one| one.verb()).collect();
            format!("possible: {}", verbs.join(", "))
        }
    }
}

impl Phase {
    /// As it stands in the contract and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Action => "ACTION",
            Self::Strategize => "STRATEGIZE",
            Self::Execute => "EXECUTE",
            Self::Apply => "APPLY",
        }
    }
}

impl State {
    /// As it stands in the contract and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Processing => "PROCESSING",
            Self::Complete => "COMPLETE",
            Self::Errored => "ERRORED",
            Self::Constrained => "CONSTRAINED",
            Self::Cancelled => "CANCELLED",
            Self::Applied => "APPLIED",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 4] = [Phase::Action, Phase::Strategize, Phase::Execute, Phase::Apply];
    const STATES: [State; 7] = [
        State::Queued,
        State::Processing,
        State::Complete,
        State::Errored,
        State::Constrained,
        State::Cancelled,
        State::Applied,
    ];

    /// The whole table, written out a second time as a list of what is allowed.
    #[test]
    fn exactly_these_moves_are_allowed() {
        use {Move as M, Phase as P, State as S};
        let mut allowed = vec![
            (M::Strategize, P::Action, S::Queued, P::Strategize),
            (M::Execute, P::Strategize, S::Complete, P::Execute),
            (M::Apply, P::Execute, S::Complete, P::Apply),
        ];
        allowed.push((M::Retry, P::Action, S::Queued, P::Strategize));
        allowed.push((M::Retry, P::Action, S::Errored, P::Strategize));
        for phase in PHASES {
            if phase != P::Action {
                allowed.push((M::Retry, phase, S::Errored, phase));
            }
            for state in [S::Queued, S::Complete, S::Errored, S::Constrained] {
                allowed.push((M::Cancel, phase, state, phase));
                if phase != P::Action {
                    allowed.push((M::Revert, phase, state, P::Strategize));
                }
            }
            allowed.push((M::Cancel, phase, S::Processing, phase));
        }
        for asked in ASKED.into_iter().chain([M::Strategize]) {
            for phase in PHASES {
                for state in STATES {
                    let expected = allowed
                        .iter()
                        .find(|one| (one.0, one.1, one.2) == (asked, phase, state))
                        .map(|one| one.3);
                    let found = start(asked, phase, state).ok();
                    assert_eq!(found, expected, "{asked} from {phase} {state}");
                }
            }
        }
    }

    #[test]
    fn only_what_can_be_asked_for_is_told_as_possible() {
        assert_eq!(possible_moves(Phase::Action, State::Queued), [Move::Retry, Move::Cancel]);
    }

    #[test]
    fn a_refusal_names_the_move_the_reason_and_what_is_possible() {
        let refused = start(Move::Apply, Phase::Strategize, State::Complete).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot apply a plan that is STRATEGIZE COMPLETE: it is not executed yet; possible: \
             execute, revert, cancel"
        );
        let refused = start(Move::Cancel, Phase::Apply, State::Applied).unwrap_err();
        assert!(refused.to_string().ends_with("nothing is possible any more"));
    }
}
