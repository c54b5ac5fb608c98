//! How much of what each step wrote has been told, so that a new connection does
//! not tell it again: a watch begins with everything that is kept.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::Timestamp;
use proto::plan::v1::{Plan, Step, StepOutput};

/// Whose output: whether a check's, and its name.
type Key = (bool, String);

/// What was heard, of all connections.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// How far each output was told.
    until: BTreeMap<Key, u64>,
    /// Those of which the beginning may come again on this connection.
    again: BTreeSet<Key>,
    /// What came before the connection's first word of the plan.
    early: Vec<StepOutput>,
    /// How often this connection has told the plan.
    plans: u64,
}

impl Heard {
    /// A connection begins.
    pub(super) fn connected(&mut self) {
        self.again = self.until.keys().cloned().collect();
        self.early.clear();
        self.plans = 0;
    }

    /// What of a part is to be told now.
    pub(super) fn part(&mut self, part: StepOutput) -> Option<StepOutput> {
        // Whether a step runs again is known once the plan is.
        if self.plans == 0 && !self.until.is_empty() {
            self.early.push(part);
            return None;
        }
        self.news(part)
    }

    /// The plan is told, after what is given back.
    pub(super) fn plan(&mut self, before: Option<&Plan>, now: &Plan) -> Vec<StepOutput> {
        self.plans += 1;
        let (before, now) = (before.map(starts).unwrap_or_default(), starts(now));
        for (key, start) in now {
            let was = before.get(&key).copied().flatten();
            // A step that runs again writes from its beginning.
            if was.is_some() && was != start {
                self.again.remove(&key);
            }
        }
        let early = std::mem::take(&mut self.early);
        let over = !early.is_empty() || self.plans > 1;
        let parts = early.into_iter().filter_map(|part| self.news(part)).collect();
        // What is kept came with the first word of the plan: from now on it is
        // new, whatever it looks like.
        if over {
            self.again.clear();
        }
        parts
    }

    fn news(&mut self, mut part: StepOutput) -> Option<StepOutput> {
        let key = (part.check, part.step.clone());
        let end = part.offset.saturating_add(part.data.len() as u64);
        if self.again.contains(&key)
            && let Some(&told) = self.until.get(&key)
        {
            if end <= told {
                return None;
            }
            let known = told.saturating_sub(part.offset);
            let known = usize::try_from(known).unwrap_or(usize::MAX).min(part.data.len());
            part.data.drain(..known);
            part.offset += known as u64;
            part.skipped_bytes = part.offset - told;
            self.again.remove(&key);
        }
        self.until.insert(key, end);
        Some(part)
    }
}

/// When each step and each check has begun.
fn starts(plan: &Plan) -> BTreeMap<Key, Option<Timestamp>> {
    let of = |check: bool, steps: &[Step]| -> Vec<_> {
        steps.iter().map(|step| ((check, step.name.clone()), step.start_time)).collect()
    };
    of(false, &plan.steps).into_iter().chain(of(true, &plan.checks)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offset: u64, data: &str) -> StepOutput {
        let (step, data) = ("a".to_owned(), data.as_bytes().to_vec());
        StepOutput { step, offset, data, ..StepOutput::default() }
    }

    fn told(part: Option<StepOutput>) -> Option<(String, u64)> {
        part.map(|part| (String::from_utf8(part.data).unwrap(), part.skipped_bytes))
    }

    fn plan(start: i64) -> Plan {
        let start_time = Some(Timestamp { seconds: start, nanos: 0 });
        let step = Step { name: "a".to_owned(), start_time, ..Step::default() };
        Plan { steps: vec![step], ..Plan::default() }
    }

    /// A connection that has told so much of step a.
    fn after(data: &str) -> Heard {
        let mut heard = Heard::default();
        heard.connected();
        assert!(heard.plan(None, &plan(1)).is_empty());
        assert_eq!(told(heard.part(part(0, data))), Some((data.to_owned(), 0)));
        heard
    }

    #[test]
    fn a_new_connection_goes_on_where_the_one_before_ended() {
        for early in [true, false] {
            let mut heard = after("one two");
            heard.connected();
            let mut parts = Vec::new();
            if early {
                assert!(heard.part(part(0, "one two three")).is_none());
            }
            parts.extend(heard.plan(Some(&plan(1)), &plan(1)));
            if !early {
                parts.extend(heard.part(part(0, "one two three")));
            }
            let parts: Vec<_> = parts.into_iter().map(|part| told(Some(part))).collect();
            assert_eq!(parts, [Some((" three".to_owned(), 0))], "early: {early}");
        }
    }

    #[test]
    fn what_is_lost_is_what_lies_between() {
        let mut heard = after("one");
        heard.connected();
        let lost = StepOutput { skipped_bytes: 8, ..part(8, "end") };
        assert!(heard.part(lost).is_none());
        let parts = heard.plan(Some(&plan(1)), &plan(1));
        assert_eq!(told(parts.into_iter().next()), Some(("end".to_owned(), 5)));
    }

    #[test]
    fn a_step_that_runs_again_is_told_from_its_beginning() {
        // While nobody was looking.
        let mut heard = after("first");
        heard.connected();
        assert!(heard.part(part(0, "again")).is_none());
        let parts = heard.plan(Some(&plan(1)), &plan(2));
        assert_eq!(told(parts.into_iter().next()), Some(("again".to_owned(), 0)));
        // And while somebody was, before the word that it has begun.
        let mut heard = after("first");
        assert_eq!(told(heard.part(part(0, "again"))), Some(("again".to_owned(), 0)));
    }

    #[test]
    fn a_check_is_not_the_step_of_its_name() {
        let mut heard = after("one");
        heard.connected();
        heard.plan(Some(&plan(1)), &plan(1));
        let check = StepOutput { check: true, ..part(0, "one") };
        assert_eq!(told(heard.part(check)), Some(("one".to_owned(), 0)));
    }
}
