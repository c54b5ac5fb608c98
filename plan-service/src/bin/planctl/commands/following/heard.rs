//! How much of what each step wrote has been told, so that a new connection does
//! not tell it again: a watch begins with everything that is kept.

use std::{cmp::Ordering, collections::BTreeMap};

use proto::plan::v1::StepOutput;

/// Whose output: whether a check's, and its name.
type Key = (bool, String);

/// What was heard, of all connections.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// How far each output was told, and in which run it was written.
    until: BTreeMap<Key, (u64, u64)>,
}

impl Heard {
    /// What of a part is to be told now.
    pub(super) fn part(&mut self, mut part: StepOutput) -> Option<StepOutput> {
        let run = part.fencing_token;
        let end = part.offset.saturating_add(part.data.len() as u64);
        let (last, told) = self.until.entry((part.check, part.step.clone())).or_default();
        match run.cmp(last) {
            // Of a run that is over: another server tells what it has not heard yet.
            Ordering::Less => return None,
            Ordering::Equal => {
                if end <= *told {
                    return None;
                }
                let known = told.saturating_sub(part.offset);
                let known = usize::try_from(known).unwrap_or(usize::MAX).min(part.data.len());
                part.data.drain(..known);
                part.offset += known as u64;
                part.skipped_bytes = part.offset - *told;
            }
            Ordering::Greater => {}
        }
        (*last, *told) = (run, end);
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(run: u64, offset: u64, data: &str) -> StepOutput {
        let (step, data) = ("a".to_owned(), data.as_bytes().to_vec());
        StepOutput { step, offset, data, fencing_token: run, ..StepOutput::default() }
    }

    fn told(part: Option<StepOutput>) -> Option<(String, u64)> {
        part.map(|part| (String::from_utf8(part.data).unwrap(), part.skipped_bytes))
    }

    fn after(data: &str) -> Heard {
        let mut heard = Heard::default();
        assert_eq!(told(heard.part(part(3, 0, data))), Some((data.to_owned(), 0)));
        heard
    }

    #[test]
    fn a_new_connection_goes_on_where_the_one_before_ended() {
        let mut heard = after("one two");
        assert_eq!(told(heard.part(part(3, 0, "one two"))), None);
        assert_eq!(told(heard.part(part(3, 0, "one two three"))), Some((" three".to_owned(), 0)));
        assert_eq!(told(heard.part(part(3, 13, "!"))), Some(("!".to_owned(), 0)));
    }

    #[test]
    fn what_is_lost_is_what_lies_between() {
        let mut heard = after("one");
        let lost = StepOutput { skipped_bytes: 8, ..part(3, 8, "end") };
        assert_eq!(told(heard.part(lost)), Some(("end".to_owned(), 5)));
    }

    #[test]
    fn a_step_that_runs_again_is_told_from_its_beginning() {
        for again in ["first", "1st", "first and more"] {
            let mut heard = after("first");
            assert_eq!(told(heard.part(part(4, 0, again))), Some((again.to_owned(), 0)));
            assert_eq!(told(heard.part(part(3, 0, "first and late"))), None, "of the run before");
        }
    }

    #[test]
    fn a_check_is_not_the_step_of_its_name() {
        let mut heard = after("one");
        let check = StepOutput { check: true, ..part(3, 0, "one") };
        assert_eq!(told(heard.part(check)), Some(("one".to_owned(), 0)));
    }
}
