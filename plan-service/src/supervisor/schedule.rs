//! When a step is to be asked to end, and when it is killed. Decides, and does
//! nothing.

use std::time::Duration;

use super::{clock::Deadline, protocol::Stop};

/// Between `SIGTERM` and `SIGKILL` of a step that is stopped or took too long.
const GRACE: Duration = Duration::from_secs(2);
/// The same for what a step has left behind.
const LEFT_GRACE: Duration = Duration::from_millis(500);
/// How long before the deadline a step is asked to end: this, or a tenth of what
/// remained when the deadline was told.
const LONGEST_LEAD: Duration = Duration::from_millis(500);
/// How often what was killed is looked for again. A deeper descendant's end is
/// not told.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Why a step is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The lease ends.
    Deadline,
    /// It took too long.
    TimeLimit,
    /// The service wants it.
    Stop,
    /// The service is gone.
    Alone,
    /// Its program has ended by itself, and left some behind.
    Left,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Ask the step to end. Said once.
    Ask,
    /// Kill everything. Said again and again, because what is killed may have
    /// started another one just before.
    Kill,
}

/// The moments of a step.
#[derive(Debug)]
pub(super) struct Schedule {
    deadline: Deadline,
    ask_at: Deadline,
    time_limit_at: Deadline,
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Ending {
    why: Why,
    kill_at: Deadline,
    /// Whether it has been asked.
    asked: bool,
    /// Since when it is being killed.
    killed_at: Option<Deadline>,
}

impl Schedule {
    /// Of a step that starts now.
    pub(super) fn new(now: Deadline, deadline: Deadline, time_limit: Duration) -> Self {
        Self {
            deadline,
            ask_at: ask_at(now, deadline),
            time_limit_at: now.plus(time_limit),
            ending: None,
        }
    }

    /// The lease ends at another moment than it was thought. That does not take
    /// back what was begun.
    pub(super) fn set_deadline(&mut self, now: Deadline, deadline: Deadline) {
        self.deadline = deadline;
        self.ask_at = ask_at(now, deadline);
    }

    /// The service wants the step to end.
    pub(super) fn stop(&mut self, now: Deadline, how: Stop) {
        match how {
            Stop::Gently => self.end(Why::Stop, now.plus(GRACE)),
            Stop::AtOnce => self.end(Why::Stop, now),
        }
    }

    /// The service is gone.
    pub(super) fn alone(&mut self, now: Deadline) {
        self.end(Why::Alone, now);
    }

    /// The step's program has ended, and others are left. They are asked again,
    /// because the first word went only to the step's group.
    pub(super) fn left_behind(&mut self, now: Deadline) {
        self.end(Why::Left, now.plus(LEFT_GRACE));
        if let Some(ending) = &mut self.ending {
            ending.asked = false;
        }
    }

    /// Why the step is being ended, if it is.
    pub(super) fn why(&self) -> Option<Why> {
        self.ending.as_ref().map(|ending| ending.why)
    }

    /// For how long it has been killed already.
    pub(super) fn killing(&self, now: Deadline) -> Duration {
        let since = self.ending.as_ref().and_then(|ending| ending.killed_at);
        since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// What is to be done now.
    pub(super) fn due(&mut self, now: Deadline) -> Due {
        if now >= self.deadline {
            self.end(Why::Deadline, self.deadline);
        } else if now >= self.time_limit_at && self.ending.is_none() {
            self.end(Why::TimeLimit, now.plus(GRACE));
        } else if now >= self.ask_at && self.ending.is_none() {
            self.end(Why::Deadline, self.deadline);
        }
        match &mut self.ending {
            Some(ending) if now >= ending.kill_at => {
                ending.killed_at.get_or_insert(now);
                Due::Kill
            }
            Some(ending) if !ending.asked => {
                ending.asked = true;
                Due::Ask
            }
            _ => Due::Nothing,
        }
    }

    /// When there is something to do next.
    pub(super) fn next(&self, now: Deadline) -> Deadline {
        match &self.ending {
            None => self.deadline.min(self.ask_at).min(self.time_limit_at),
            Some(ending) if now >= ending.kill_at => now.plus(LOOK_AGAIN),
            Some(ending) => self.deadline.min(ending.kill_at),
        }
    }

    /// The first reason stays, and the earliest moment.
    fn end(&mut self, why: Why, kill_at: Deadline) {
        let ending =
            self.ending.get_or_insert(Ending { why, kill_at, asked: false, killed_at: None });
        ending.kill_at = ending.kill_at.min(kill_at);
    }
}

fn ask_at(now: Deadline, deadline: Deadline) -> Deadline {
    deadline.minus(LONGEST_LEAD.min(deadline.since(now) / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(millis: u64) -> Deadline {
        // Any moment will do that is not the clock's first.
        let start = Deadline::after(Duration::MAX).minus(Duration::MAX).plus(HOUR);
        start.plus(Duration::from_millis(millis))
    }

    fn schedule(deadline: u64, time_limit: u64) -> Schedule {
        Schedule::new(at(0), at(deadline), Duration::from_millis(time_limit))
    }

    /// What is due at each moment that the schedule itself names, until it kills.
    fn course(schedule: &mut Schedule, mut now: Deadline) -> Vec<(Duration, Due)> {
        let mut course = Vec::new();
        loop {
            let due = schedule.due(now);
            course.push((now.since(at(0)), due));
            if due == Due::Kill {
                return course;
            }
            let next = schedule.next(now);
            assert!(next > now, "it would spin");
            now = next;
        }
    }

    fn millis(course: &[(Duration, Due)]) -> Vec<(u128, Due)> {
        course.iter().map(|(at, due)| (at.as_millis(), *due)).collect()
    }

    #[test]
    fn a_step_is_asked_a_tenth_before_its_deadline_and_at_most_half_a_second() {
        let mut short = schedule(1_000, 3_600_000);
        assert_eq!(
            millis(&course(&mut short, at(0))),
            [(0, Due::Nothing), (900, Due::Ask), (1_000, Due::Kill)]
        );
        assert_eq!(short.why(), Some(Why::Deadline));
        let long = course(&mut schedule(60_000, 3_600_000), at(0));
        assert_eq!(millis(&long), [(0, Due::Nothing), (59_500, Due::Ask), (60_000, Due::Kill)]);
    }

    #[test]
    fn a_step_that_takes_too_long_has_the_grace_but_never_beyond_its_deadline() {
        let roomy = course(&mut schedule(60_000, 1_000), at(0));
        assert_eq!(millis(&roomy), [(0, Due::Nothing), (1_000, Due::Ask), (3_000, Due::Kill)]);
        let mut tight = schedule(2_000, 1_000);
        assert_eq!(
            millis(&course(&mut tight, at(0)))[1..],
            [(1_000, Due::Ask), (2_000, Due::Kill)]
        );
        assert_eq!(tight.why(), Some(Why::TimeLimit));
    }

    #[test]
    fn a_renewed_lease_moves_the_moments() {
        let mut schedule = schedule(1_000, 3_600_000);
        schedule.set_deadline(at(800), at(5_800));
        let course = course(&mut schedule, at(800));
        assert_eq!(millis(&course), [(800, Due::Nothing), (5_300, Due::Ask), (5_800, Due::Kill)]);
    }

    #[test]
    fn a_renewal_that_comes_too_late_does_not_take_the_end_back() {
        let mut schedule = schedule(1_000, 3_600_000);
        assert_eq!(schedule.due(at(950)), Due::Ask);
        schedule.set_deadline(at(960), at(9_000));
        assert_eq!(schedule.due(at(999)), Due::Nothing);
        assert_eq!(schedule.due(at(1_000)), Due::Kill);
    }

    #[test]
    fn a_lease_that_became_shorter_counts_at_once() {
        let mut schedule = schedule(60_000, 3_600_000);
        schedule.set_deadline(at(500), at(400));
        assert_eq!(schedule.due(at(500)), Due::Kill);
        assert_eq!(schedule.due(at(510)), Due::Kill, "until nothing is left");
        assert_eq!(schedule.killing(at(510)), Duration::from_millis(10), "however late it began");
        assert!(schedule.next(at(510)) > at(510));
    }

    #[test]
    fn stopping_gently_can_become_stopping_at_once() {
        let mut schedule = schedule(60_000, 3_600_000);
        schedule.stop(at(100), Stop::Gently);
        assert_eq!(schedule.due(at(100)), Due::Ask);
        assert_eq!(schedule.next(at(100)), at(2_100));
        schedule.stop(at(200), Stop::AtOnce);
        assert_eq!(schedule.due(at(200)), Due::Kill);
        assert_eq!(schedule.killing(at(700)), Duration::from_millis(500));
    }

    #[test]
    fn what_a_step_leaves_behind_is_asked_too_and_has_less_time() {
        let mut after_itself = schedule(60_000, 3_600_000);
        after_itself.left_behind(at(50));
        assert_eq!(after_itself.due(at(50)), Due::Ask);
        assert_eq!(after_itself.due(at(550)), Due::Kill);
        let mut after_stop = schedule(60_000, 3_600_000);
        after_stop.stop(at(0), Stop::Gently);
        assert_eq!(after_stop.due(at(0)), Due::Ask);
        after_stop.left_behind(at(1_800));
        assert_eq!(after_stop.due(at(1_800)), Due::Ask);
        assert_eq!(after_stop.why(), Some(Why::Stop), "the first reason stays");
        assert_eq!(after_stop.due(at(2_000)), Due::Kill, "the earlier moment stays");
    }

    #[test]
    fn without_the_service_there_is_no_grace() {
        let mut schedule = schedule(60_000, 3_600_000);
        schedule.alone(at(10));
        assert_eq!(schedule.due(at(10)), Due::Kill);
    }
}
