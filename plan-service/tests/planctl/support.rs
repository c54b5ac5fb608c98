//! Starts the binary and reads what it says; makes what a service would tell.

use std::{collections::HashMap, time::Duration};

use prost_types::Timestamp;
use proto::{
    plan::v1::{
        Plan, PlanPhase, PlanState, Problem, Step, StepOutput, StepState, WatchPlanResponse,
        watch_plan_response::Event,
    },
    plan_reason as reason,
};
use serde_json::Value;
use service_kit::testing::{Answer, Process, Terminal};
use tokio::process::Command;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::fake::Fake;

/// The binary.
pub(crate) const PLANCTL: &str = env!("CARGO_BIN_EXE_planctl");

/// What nothing here takes as long as.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A plan's id.
pub(crate) const ID: &str = "019378f2-5a00-7000-8000-000000000001";

/// A service, and the command for it.
pub(crate) fn service() -> (Fake, Planctl) {
    let fake = Fake::start();
    let planctl = Planctl::at(fake.url());
    (fake, planctl)
}

/// The command, for one service.
#[derive(Debug, Clone)]
pub(crate) struct Planctl {
    url: String,
}

impl Planctl {
    pub(crate) fn at(url: impl ToString) -> Self {
        Self { url: url.to_string() }
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, &[], "").await
    }

    /// Runs it to its end with these environment variables and this on its
    /// standard input.
    pub(crate) async fn run_with(
        &self,
        arguments: &[&str],
        envs: &[(&str, &str)],
        stdin: &str,
    ) -> Answer {
        let mut command = Command::new(PLANCTL);
        command.args(arguments).env("PLANCTL_ADDR", &self.url).envs(envs.iter().copied());
        Answer::of(command, stdin, DEADLINE).await
    }

    /// Runs it with JSON output; it must end with 0.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        self.run(&arguments).await.ended_with(0).json()
    }

    /// Runs it with JSON output; it must end with this and an error.
    pub(crate) async fn error(&self, arguments: &[&str], code: i32) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        self.run(&arguments).await.ended_with(code).error()
    }

    /// Starts it and lets it go on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(PLANCTL, arguments, [("PLANCTL_ADDR", &self.url)])
    }

    /// Starts a shell script on a terminal, that finds the command as
    /// `$PLANCTL`.
    pub(crate) fn on_terminal(&self, script: &str) -> Terminal {
        let script = format!("unset NO_COLOR; export TERM=xterm; {script}");
        let envs = [("PLANCTL", PLANCTL), ("PLANCTL_ADDR", self.url.as_str())];
        Terminal::start(&script, envs, DEADLINE)
    }
}

/// So many seconds after 2026-01-02T03:04:00Z.
pub(crate) fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_767_323_040 + seconds, nanos: 0 })
}

/// A plan where it stands.
pub(crate) fn plan(phase: PlanPhase, state: PlanState) -> Plan {
    Plan {
        plan_id: ID.to_owned(),
        project: "sample".to_owned(),
        action: "edit/rename".to_owned(),
        arguments: HashMap::from([("from".to_owned(), "a b".to_owned())]),
        phase: phase.into(),
        state: state.into(),
        create_time: time(0),
        update_time: time(5),
        version: 3,
        fencing_token: 1_763_690_400_000_000,
        ..Plan::default()
    }
}

/// A plan in `EXECUTE`, with these steps.
pub(crate) fn executing(state: PlanState, steps: &[(&str, StepState)]) -> Plan {
    let step = |&(name, state): &(&str, StepState)| Step {
        name: name.to_owned(),
        argv: vec![name.to_owned()],
        state: state.into(),
        start_time: time(1).filter(|_| state != StepState::Waiting),
        end_time: time(4).filter(|_| matches!(state, StepState::Complete | StepState::Failed)),
        exit_code: match state {
            StepState::Complete => Some(0),
            StepState::Failed => Some(3),
            _ => None,
        },
        ..Step::default()
    };
    Plan { steps: steps.iter().map(step).collect(), ..plan(PlanPhase::Execute, state) }
}

/// The same plan, not well.
pub(crate) fn with_problem(plan: Plan, reason: &str, message: &str, files: &[&str]) -> Plan {
    let problem = Problem {
        reason: reason.to_owned(),
        message: message.to_owned(),
        files: files.iter().map(|&file| file.to_owned()).collect(),
        step: String::new(),
    };
    Plan { problem: Some(problem), ..plan }
}

/// The same plan, with what it can do.
pub(crate) fn with_moves(plan: Plan, moves: &[&str]) -> Plan {
    Plan { possible_moves: moves.iter().map(|&one| one.to_owned()).collect(), ..plan }
}

/// A watch's word of a plan.
pub(crate) fn told(plan: &Plan) -> Result<WatchPlanResponse, Status> {
    Ok(WatchPlanResponse { event: Some(Event::Plan(plan.clone())) })
}

/// A watch's word of what a step has written.
pub(crate) fn wrote(step: &str, offset: u64, data: &[u8]) -> Result<WatchPlanResponse, Status> {
    let output =
        StepOutput { step: step.to_owned(), offset, data: data.to_vec(), ..StepOutput::default() };
    Ok(WatchPlanResponse { event: Some(Event::Output(output)) })
}

/// An error of the service, with its details.
pub(crate) fn refused(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
    refused_with(code, reason, metadata, |_| {})
}

/// The same, with more details.
pub(crate) fn refused_with(
    code: Code,
    reason: &str,
    metadata: &[(&str, &str)],
    more: impl FnOnce(&mut ErrorDetails),
) -> Status {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut details = ErrorDetails::with_error_info(reason, reason::DOMAIN, metadata);
    more(&mut details);
    Status::with_error_details(code, format!("the service says {reason}"), details)
}

/// A lock that another run holds.
pub(crate) fn conflict(resource: &str) -> Status {
    held_by(resource, &[("holder.instance", "b-2")])
}

/// A lock that somebody holds who says this of it.
pub(crate) fn held_by(resource: &str, holder: &[(&str, &str)]) -> Status {
    let hold = [
        ("resource", resource),
        ("holder", "owner-7"),
        ("acquire_time", "2026-01-02T03:04:05Z"),
        ("expire_time", "2026-01-02T03:09:05Z"),
        ("remaining_ms", "90000"),
        ("queue_length", "1"),
    ];
    let metadata = hold.iter().chain(holder);
    let metadata: HashMap<_, _> =
        metadata.map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let domain = proto::reason::DOMAIN;
    let details = ErrorDetails::with_error_info(proto::reason::LOCK_CONFLICT, domain, metadata);
    Status::with_error_details(Code::FailedPrecondition, "held", details)
}
