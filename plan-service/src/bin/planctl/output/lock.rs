//! What is known of a plan's lock: that somebody holds it, that nobody does, or
//! nothing, and why.

use proto::plan::v1::{GetPlanResponse, LockView, PlanDiagnostics};
use service_kit::cli::{
    Style, escape,
    escape::escaped,
    span,
    time::{seconds, since, until},
};

/// What is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Lock {
    /// Nobody has asked, or there is no answer yet: nothing is said of it.
    #[default]
    Unasked,
    /// Somebody holds it, or has let its lease run out.
    Held(LockView),
    /// Nobody holds it.
    NotHeld,
    /// The lock server has not told, in these words.
    NotKnown(String),
}

impl Lock {
    /// Of an answer to the question for the plan with its lock.
    pub(crate) fn of(answer: &GetPlanResponse) -> Self {
        Self::told(answer.lock.as_ref(), &answer.lock_error)
    }

    /// Of a plan from near.
    pub(crate) fn from_near(it: &PlanDiagnostics) -> Self {
        Self::told(it.lock.as_ref(), &it.lock_error)
    }

    fn told(lock: Option<&LockView>, error: &str) -> Self {
        match (lock, error) {
            (Some(lock), _) => Self::Held(lock.clone()),
            // Also of a plan that is PROCESSING: then its run is gone.
            (None, "") => Self::NotHeld,
            (None, error) => Self::NotKnown(error.to_owned()),
        }
    }

    /// For people: as the rest of a line that begins with `lock`, if there is
    /// anything to say.
    pub(crate) fn words(&self, style: Style) -> Option<String> {
        Some(match self {
            Self::Unasked => return None,
            Self::Held(lock) => held(lock, style),
            Self::NotHeld => "not held".to_owned(),
            Self::NotKnown(error) => {
                format!("{}: {}", style.warning("not known"), escape::line(error))
            }
        })
    }
}

/// Who holds it, and for how long by this machine's clock.
fn held(lock: &LockView, style: Style) -> String {
    let (owner, token) = (escaped(&lock.owner_id), lock.fencing_token);
    let expiry = match (lock.expire_time, lock.stale) {
        (Some(at), true) => {
            let ago = span::human(since(at));
            style.warning(&format!("expired {} ({ago} ago)", seconds(at)))
        }
        (Some(at), false) => format!("expires {} (in {})", seconds(at), span::human(until(at))),
        (None, _) => "expires at an unknown time".to_owned(),
    };
    let waiting = match lock.queue_length {
        0 => String::new(),
        waiting => format!(", {waiting} in line"),
    };
    format!("held by {owner}, {expiry}, token {token}{waiting}")
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use proto::plan::v1::{Plan, PlanState};

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn a_lock_says_until_when() {
        let lock = LockView {
            owner_id: "me\u{202e}".to_owned(),
            fencing_token: 7,
            expire_time: at(0),
            stale: true,
            queue_length: 2,
            ..LockView::default()
        };
        let line = Lock::Held(lock.clone()).words(Style::plain()).unwrap();
        assert!(line.starts_with("held by me\\u{202e}, expired 1970-01-01T00:00:00Z ("), "{line}");
        assert!(line.ends_with(" ago), token 7, 2 in line"), "{line}");
        let far = LockView { expire_time: at(32_503_680_000), stale: false, ..lock };
        let line = Lock::Held(far).words(Style::plain()).unwrap();
        assert!(line.contains("expires 3000-01-01T00:00:00Z (in "), "{line}");
    }

    #[test]
    fn a_lock_is_free_only_if_somebody_has_looked() {
        let answer = |state: PlanState, lock: Option<LockView>, lock_error: &str| {
            let plan = Some(Plan { state: state.into(), ..Plan::default() });
            Lock::of(&GetPlanResponse { plan, lock, lock_error: lock_error.to_owned() })
        };
        let view = LockView::default();
        let processing = PlanState::Processing;
        assert_eq!(answer(processing, Some(view.clone()), ""), Lock::Held(view));
        assert_eq!(answer(processing, None, "away"), Lock::NotKnown("away".to_owned()));
        assert_eq!(answer(PlanState::Errored, None, "x"), Lock::NotKnown("x".to_owned()));
        assert_eq!(answer(PlanState::Errored, None, ""), Lock::NotHeld);
        assert_eq!(answer(processing, None, ""), Lock::NotHeld);
    }

    #[test]
    fn nothing_is_said_before_the_first_answer() {
        assert_eq!(Lock::default().words(Style::plain()), None);
        let words = Lock::NotKnown("away\u{1b}[2J".to_owned()).words(Style::plain());
        assert_eq!(words.unwrap(), "not known: away\\u{1b}[2J");
    }
}
