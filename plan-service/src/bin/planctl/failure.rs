//! What the service answered instead of doing what it was asked to, for people,
//! for programs and for the exit code.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use proto::{
    plan::v1::{Plan, PlanPhase, PlanState},
    plan_reason as reason,
};
use serde_json::{Map, Value};
use service_kit::cli::{Away, Failure, Server, escape, escape::escaped, hold::Hold};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{exit, output::words};

/// The service that is asked.
pub(crate) const SERVER: Server =
    Server { name: "plan-service", variable: "PLANCTL_ADDR", several: false };

/// How many files or fields to show.
const MOST_LINES: usize = 40;

/// Nobody is there.
pub(crate) fn not_connected(why: &str) -> Failure {
    let message = format!("cannot reach plan-service: {why}");
    Failure::unavailable("UNAVAILABLE", message, Away::default())
}

/// The service's answer, or what became of the call on its way.
pub(crate) fn from_status(status: &Status) -> Failure {
    refused(status, true)
}

/// The same of `cancel`: who cannot cancel is not told to cancel.
pub(crate) fn of_cancel(status: &Status) -> Failure {
    refused(status, false)
}

fn refused(status: &Status, may_cancel: bool) -> Failure {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { return without_reason(status) };
    let metadata = &info.metadata;
    let message = status.message();
    let failure = match info.reason.as_str() {
        proto::reason::LOCK_CONFLICT => conflict(metadata, may_cancel),
        reason::INVALID_TRANSITION => with_possible(plain(&info.reason, message), metadata),
        reason::UNCOMMITTED_CHANGES => with_files(plain(&info.reason, message), &details),
        reason::INVALID_REQUEST => invalid(message, &details),
        reason::LOCK_SERVER_UNAVAILABLE => {
            let away = Away { timed_out: false, sent: false };
            Failure::unavailable(&info.reason, message, away).with_advice(
                "plan-service runs, but cannot reach the lock server: is lock-server running \
                 where --lock-server of plan-service says? `planctl diagnostics` tells more.",
            )
        }
        reason::STORE_UNAVAILABLE | reason::SHUTTING_DOWN | reason::OVERLOADED => {
            Failure::unavailable(&info.reason, message, Away { timed_out: false, sent: true })
        }
        _ => plain(&info.reason, message),
    };
    let failure = match advice(&info.reason) {
        Some(advice) => failure.with_advice(advice),
        None => failure,
    };
    failure.with_all(metadata.iter().map(|(key, value)| (key.clone(), as_in_plans(key, value))))
}

/// A phase and a state as they stand in the JSON of a plan: the service's
/// metadata has them without the contract's prefix.
fn as_in_plans(key: &str, value: &str) -> String {
    let name = match key {
        reason::metadata::PHASE => PlanPhase::from_str_name(&format!("PLAN_PHASE_{value}"))
            .map(|phase| phase.as_str_name()),
        reason::metadata::STATE => PlanState::from_str_name(&format!("PLAN_STATE_{value}"))
            .map(|state| state.as_str_name()),
        _ => None,
    };
    name.unwrap_or(value).to_owned()
}

/// The service's words with the exit code of its reason.
fn plain(reason: &str, message: &str) -> Failure {
    Failure::new(reason, message).with_code(match reason {
        reason::PROJECT_NOT_FOUND | reason::ACTION_NOT_FOUND | reason::PLAN_NOT_FOUND => {
            exit::NOT_FOUND
        }
        reason::PROJECT_EXISTS | reason::ACTION_EXISTS | reason::PLAN_EXISTS => exit::EXISTS,
        reason::INVALID_TRANSITION
        | reason::UNCOMMITTED_CHANGES
        | reason::PROJECT_UNUSABLE
        | reason::DIFF_GONE => exit::NOT_NOW,
        reason::ACTIONS_FROM_FILES => exit::NOT_ALLOWED,
        _ => exit::FAILURE,
    })
}

fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        reason::PROJECT_NOT_FOUND => {
            "`planctl project list` shows those that there are, `planctl project add` makes one \
             known."
        }
        reason::ACTION_NOT_FOUND => "`planctl action list` shows those that there are.",
        reason::PLAN_NOT_FOUND => "`planctl list` shows those that there are.",
        reason::PROJECT_EXISTS => "`planctl project list` shows where each is.",
        reason::ACTION_EXISTS => "`planctl action show NAME` shows what it does.",
        reason::INTERNAL => "That is a defect of plan-service: see its log.",
        _ => return None,
    })
}

/// What gRPC itself, or something that is no plan-service, has said.
fn without_reason(status: &Status) -> Failure {
    let message = match std::error::Error::source(status) {
        Some(source) => {
            let bottom = innermost(source);
            match status.message().contains(&bottom) {
                true => status.message().to_owned(),
                false => format!("{}: {bottom}", status.message()),
            }
        }
        None => status.message().to_owned(),
    };
    let broken = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unimplemented => another(&message),
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded => {
            unanswered(&message)
        }
        _ if broken => unanswered(&message),
        code => Failure::new("FAILED", format!("plan-service answered {code:?}: {message}")),
    }
}

/// Somebody is there who does not know the call.
fn another(message: &str) -> Failure {
    let mut text =
        "what answers there does not know the calls of plan-service: it may be lock-server \
                    (lock-server's port is 50051, plan-service's is 50052), or another version"
            .to_owned();
    if !message.is_empty() {
        text.push_str(&format!(" (it says: {message})"));
    }
    Failure::unavailable("UNIMPLEMENTED", text, Away::default())
}

fn unanswered(message: &str) -> Failure {
    let message = format!("no answer from plan-service: {message}");
    let sent = !message.contains("connect error");
    Failure::unavailable("UNAVAILABLE", message, Away { timed_out: false, sent })
}

/// What is at the bottom of an error: the part that says something.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

/// Who is in the way, as `lockctl` tells it.
fn conflict(metadata: &HashMap<String, String>, may_cancel: bool) -> Failure {
    use proto::reason::metadata as key;
    let text = |key: &str| metadata.get(key).filter(|text| !text.is_empty()).cloned();
    let number = |key: &str| text(key).and_then(|text| text.parse::<u64>().ok());
    let (resource, holder) =
        (text(key::RESOURCE).unwrap_or_default(), text(key::HOLDER).unwrap_or_default());
    let of_holder = metadata.iter().filter_map(|(name, value)| {
        name.strip_prefix(key::HOLDER_PREFIX).map(|name| (name.to_owned(), value.clone()))
    });
    let hold = Hold {
        since: text(key::ACQUIRE_TIME),
        expires: text(key::EXPIRE_TIME),
        remaining: Duration::from_millis(number(key::REMAINING_MS).unwrap_or_default()),
        queue_length: number(key::QUEUE_LENGTH).unwrap_or_default(),
        metadata: of_holder.collect::<BTreeMap<_, _>>(),
    };
    let message = format!("{} is held by {}", escaped(&resource), escaped(&holder));
    let advice = in_the_way(&resource, is_of_a_run(&hold), may_cancel);
    Failure::new(proto::reason::LOCK_CONFLICT, message)
        .with_code(exit::CONFLICT)
        .with_advice(hold.lines())
        .with_advice(advice)
}

/// Whether a run of plan-service holds it: these say so in their lock.
fn is_of_a_run(hold: &Hold) -> bool {
    ["instance", "move"].iter().any(|&key| hold.metadata.contains_key(key))
}

/// What to do about who is in the way.
fn in_the_way(resource: &str, of_a_run: bool, may_cancel: bool) -> String {
    let look = format!("`lockctl get {}` shows it", escape::shell_word(resource));
    let wait = "try again later, or wait in line with --wait, such as --wait 5m.";
    match resource.split_once('/') {
        Some(("plan", plan)) if of_a_run => {
            let plan = escape::shell_word(plan);
            let cancel = match may_cancel {
                true => format!(", `planctl cancel {plan}` ends it"),
                false => String::new(),
            };
            format!(
                "A run works on that plan, here or at another instance: `planctl status {plan} \
                 --follow` shows it{cancel}."
            )
        }
        Some(("plan", _)) => format!("Somebody holds it by hand, and no run: {look}."),
        _ if of_a_run => format!("Another plan is being applied to that project: {wait}"),
        _ => {
            format!("Somebody holds it by hand, and no plan that is being applied: {look}; {wait}")
        }
    }
}

/// What is possible instead, as one would type it.
fn with_possible(failure: Failure, metadata: &HashMap<String, String>) -> Failure {
    let text = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
    let moves = text(reason::metadata::POSSIBLE).split(',').map(str::trim);
    let commands = words::commands(moves, text(reason::metadata::PLAN_ID));
    match commands.as_slice() {
        [] => failure,
        commands => failure.with_advice(format!("Possible:\n  {}", commands.join("\n  "))),
    }
}

/// The files that are in the way, where the message has no room for all.
fn with_files(failure: Failure, details: &ErrorDetails) -> Failure {
    let violations = details.precondition_failure().map(|it| it.violations.as_slice());
    let files: Vec<_> = violations.unwrap_or_default().iter().map(|one| &one.subject).collect();
    let failure = failure.with_value("files", files.iter().copied().cloned().collect());
    let files: Vec<_> = files.into_iter().map(|file| escape::line(file)).collect();
    match files.iter().all(|file| failure.to_text().0.contains(file)) {
        true => failure,
        false => failure.with_advice(words::at_most(&files, MOST_LINES)),
    }
}

/// Each field that is wrong: one in the headline, more below it.
fn invalid(message: &str, details: &ErrorDetails) -> Failure {
    let fields = details.bad_request().map(|request| request.field_violations.as_slice());
    let fields = fields.unwrap_or_default();
    let failure = match fields {
        [] => Failure::new(reason::INVALID_REQUEST, message),
        [one] => Failure::new(
            reason::INVALID_REQUEST,
            format!("the request is not valid: {} {}", one.field, one.description),
        ),
        all => {
            let lines: Vec<_> = all
                .iter()
                .map(|one| escape::line(&format!("{} {}", one.field, one.description)))
                .collect();
            Failure::new(reason::INVALID_REQUEST, "the request is not valid")
                .with_advice(words::at_most(&lines, MOST_LINES))
        }
    };
    let fields = fields.iter().map(|one| (one.field.as_str(), one.description.as_str()));
    failure.with_code(exit::USAGE).with_value("fields", by_name(fields))
}

/// For programs: what is wrong with each field.
pub(crate) fn by_name<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let mut by_name = Map::new();
    for (field, description) in fields {
        match by_name.get_mut(field) {
            Some(Value::String(known)) => known.push_str(&format!("; {description}")),
            _ => drop(by_name.insert(field.to_owned(), description.into())),
        }
    }
    by_name.into()
}

/// Whether a plan that was answered is not under way any more, so that there is
/// a [`verdict`] on it.
pub(crate) fn rests(plan: &Plan) -> bool {
    !matches!(plan.state(), PlanState::Unspecified | PlanState::Queued | PlanState::Processing)
}

/// How a plan came to rest: the exit code, or what went wrong with it.
pub(crate) fn verdict(plan: &Plan) -> Result<u8, Failure> {
    if matches!(plan.state(), PlanState::Complete | PlanState::Applied) {
        return Ok(exit::OK);
    }
    let (phase, state) = (words::phase(plan.phase()), words::state(plan.state()));
    let (reason, message, code) = match &plan.problem {
        Some(problem) => {
            let lost = problem.reason == "LOCK_LOST";
            let code = if lost { exit::LOST } else { exit::FAILURE };
            // The reason stands in programs' JSON by itself; people see it here.
            let why = words::reason(problem, plan.state());
            let why = why.map_or_else(String::new, |reason| format!("{reason}: "));
            let message = format!("{phase} {state}: {why}{}", problem.message);
            (problem.reason.as_str(), message, code)
        }
        None => (state, format!("the plan is {phase} {state}"), exit::FAILURE),
    };
    let mut failure = Failure::new(reason, message)
        .with_code(code)
        .with("plan_id", &plan.plan_id)
        .with("phase", plan.phase().as_str_name())
        .with("state", plan.state().as_str_name());
    if let Some(problem) = &plan.problem {
        if !problem.step.is_empty() {
            failure = failure.with("step", &problem.step);
        }
        if !problem.files.is_empty() {
            let files: Vec<_> = problem.files.iter().map(|file| escape::line(file)).collect();
            failure = failure
                .with_value("files", problem.files.clone().into())
                .with_advice(words::at_most(&files, MOST_LINES));
        }
    }
    let moves = plan.possible_moves.iter().map(String::as_str);
    Err(match words::commands(moves, &plan.plan_id).as_slice() {
        [] => failure,
        commands => failure.with_advice(format!("Possible:\n  {}", commands.join("\n  "))),
    })
}

#[cfg(test)]
mod tests;
