//! Values as messages.
//!
//! Clients take 4 MiB by default. What a message has many of is cut where it
//! would not fit, and says so by a count or by `truncated`.

mod patch;

use std::time::Duration;

use prost::Message;
use proto::plan::v1 as wire;
use service_kit::text::cut;

use crate::{
    domain::{
        ActionTemplate, Change, ChangeKind, Changeset, Diff, Event, Moment, Parameter,
        ParameterType, Phase, Plan, Problem, Project, RepoPath, State, Step, StepState,
        StepTemplate, possible_moves,
    },
    engine::{Diagnostics, PlanDiagnostics},
    store::{OutputKey, OutputTail, StoredAction},
};

const KIB: usize = 1024;
/// The most bytes of what is wrong with a plan, for people.
const MOST_MESSAGE: usize = 4 * KIB;
/// The most bytes of the files that the problem of a plan names, and of one in
/// its history.
const MOST_PROBLEM_FILES: usize = 256 * KIB;
const MOST_PAST_PROBLEM_FILES: usize = 4 * KIB;
/// The most bytes of the changes of a changeset.
const MOST_CHANGES: usize = 1024 * KIB;
/// The most bytes of a diff, of which the patch comes first.
const MOST_DIFF: usize = 3_900 * KIB;
/// The most bytes of a plan's history and of the tails in its diagnostics.
const MOST_EVENTS: usize = 512 * KIB;
const MOST_TAILS: usize = 1024 * KIB;

/// A project.
pub(super) fn project(project: Project) -> wire::Project {
    wire::Project {
        name: project.name.to_string(),
        path: project.path.to_string_lossy().into_owned(),
        create_time: Some(timestamp(project.created_at)),
    }
}

/// An action.
pub(super) fn action(action: StoredAction) -> wire::Action {
    let ActionTemplate { name, description, parameters, steps, checks } = action.template;
    wire::Action {
        name: name.to_string(),
        description,
        parameters: parameters.into_iter().map(parameter).collect(),
        steps: steps.into_iter().map(step_template).collect(),
        checks: checks.into_iter().map(step_template).collect(),
        create_time: Some(timestamp(action.created_at)),
    }
}

fn parameter(parameter: Parameter) -> wire::Parameter {
    use wire::ParameterType as Wire;
    let r#type = match parameter.r#type {
        ParameterType::String => Wire::String,
        ParameterType::Integer => Wire::Integer,
        ParameterType::Boolean => Wire::Boolean,
        ParameterType::Choice => Wire::Choice,
        ParameterType::Path => Wire::Path,
    };
    wire::Parameter {
        name: parameter.name,
        description: parameter.description,
        r#type: r#type.into(),
        default_value: parameter.default,
        choices: parameter.choices,
    }
}

fn step_template(step: StepTemplate) -> wire::StepTemplate {
    wire::StepTemplate {
        name: step.name.to_string(),
        argv: step.argv,
        env: step.env.into_iter().collect(),
        time_limit: Some(span(step.time_limit)),
        group: step.group.map_or_else(String::new, String::from),
    }
}

/// A plan.
pub(super) fn plan(plan: Plan) -> wire::Plan {
    wire::Plan {
        plan_id: plan.id.to_string(),
        project: plan.project.into(),
        action: plan.action.into(),
        arguments: plan.arguments.into_iter().collect(),
        phase: phase(plan.phase).into(),
        state: state(plan.state).into(),
        problem: plan.problem.map(|found| problem(found, MOST_PROBLEM_FILES)),
        create_time: Some(timestamp(plan.created_at)),
        update_time: Some(timestamp(plan.updated_at)),
        strategy: plan.strategy.map(|strategy| wire::Strategy {
            base_commit: strategy.base.into(),
            base_branch: strategy.branch,
        }),
        steps: plan.steps.into_iter().map(step).collect(),
        checks: plan.checks.into_iter().map(step).collect(),
        head_commit: plan.head.map_or_else(String::new, String::from),
        // One that is noted may not be made yet.
        merge: plan.merge.filter(|_| plan.state == State::Applied).map(|merge| wire::Merge {
            branch: merge.branch,
            from_commit: merge.from.into(),
            merge_commit: merge.commit.into(),
        }),
        fencing_token: plan.fencing_token,
        run: plan.run.filter(|_| plan.state == State::Processing).map(|run| wire::Run {
            owner_id: run.owner_id,
            instance: run.instance,
            start_time: Some(timestamp(run.started_at)),
        }),
        cancel_requested: plan.cancel_requested.is_some() && plan.state == State::Processing,
        version: plan.version,
        generation: plan.generation,
        possible_moves: possible_moves(plan.phase, plan.state)
            .into_iter()
            .map(|possible| possible.verb().to_owned())
            .collect(),
    }
}

/// A phase.
pub(super) fn phase(phase: Phase) -> wire::PlanPhase {
    match phase {
        Phase::Action => wire::PlanPhase::Action,
        Phase::Strategize => wire::PlanPhase::Strategize,
        Phase::Execute => wire::PlanPhase::Execute,
        Phase::Apply => wire::PlanPhase::Apply,
    }
}

/// A state.
pub(super) fn state(state: State) -> wire::PlanState {
    match state {
        State::Queued => wire::PlanState::Queued,
        State::Processing => wire::PlanState::Processing,
        State::Complete => wire::PlanState::Complete,
        State::Errored => wire::PlanState::Errored,
        State::Constrained => wire::PlanState::Constrained,
        State::Cancelled => wire::PlanState::Cancelled,
        State::Applied => wire::PlanState::Applied,
    }
}

fn problem(problem: Problem, most_files: usize) -> wire::Problem {
    wire::Problem {
        reason: problem.reason.as_str().to_owned(),
        message: cut(&problem.message, MOST_MESSAGE),
        files: fitting(problem.files, most_files),
        step: problem.step.unwrap_or_default(),
    }
}

fn step(step: Step) -> wire::Step {
    use wire::StepState as Wire;
    let state = match step.state {
        StepState::Waiting => Wire::Waiting,
        StepState::Running => Wire::Running,
        StepState::Complete => Wire::Complete,
        StepState::Failed => Wire::Failed,
        StepState::Stopped => Wire::Stopped,
    };
    wire::Step {
        name: step.name.into(),
        argv: step.argv,
        group: step.group.map_or_else(String::new, String::from),
        state: state.into(),
        exit_code: step.exit_code,
        signal: step.signal,
        start_time: step.started_at.map(timestamp),
        end_time: step.ended_at.map(timestamp),
        commit: step.commit.map_or_else(String::new, String::from),
        output_bytes: step.output_bytes,
        time_limit: Some(span(step.time_limit)),
    }
}

/// What a step has changed.
pub(super) fn changeset(changeset: Changeset) -> wire::Changeset {
    wire::Changeset {
        changeset_id: changeset.id.to_string(),
        plan_id: changeset.plan.to_string(),
        step: changeset.step,
        commit: changeset.commit.map_or_else(String::new, String::from),
        create_time: Some(timestamp(changeset.created_at)),
        changes: fitting(changeset.changes.into_iter().map(change), MOST_CHANGES),
        change_count: changeset.change_count,
    }
}

fn change(change: Change) -> wire::Change {
    use wire::ChangeKind as Wire;
    let kind = match change.kind {
        ChangeKind::Added => Wire::Added,
        ChangeKind::Modified => Wire::Modified,
        ChangeKind::Deleted => Wire::Deleted,
        ChangeKind::Renamed => Wire::Renamed,
        ChangeKind::ModeChanged => Wire::ModeChanged,
        ChangeKind::TypeChanged => Wire::TypeChanged,
    };
    let (path, raw_path) = shown(change.path);
    let (old_path, raw_old_path) = change.old_path.map(shown).unwrap_or_default();
    wire::Change {
        kind: kind.into(),
        path,
        old_path,
        raw_path,
        old_mode: change.old_mode,
        new_mode: change.new_mode,
        binary: change.binary,
        added_lines: change.added_lines,
        removed_lines: change.removed_lines,
        raw_old_path,
    }
}

/// A path as people read it, and its bytes where it is another one.
fn shown(path: RepoPath) -> (String, Vec<u8>) {
    let shown = path.shown();
    let raw = path.beside(&shown).unwrap_or_default();
    (shown, raw)
}

/// What a plan changes; the patch has at most so many bytes.
pub(super) fn diff(diff: Diff, max_bytes: usize) -> wire::GetDiffResponse {
    let patch = patch::sent(diff.patch, max_bytes);
    let room = MOST_DIFF.saturating_sub(patch.text.len() + patch.raw.len());
    wire::GetDiffResponse {
        patch: patch.text,
        truncated: diff.truncated || patch.cut,
        base_commit: diff.base.into(),
        head_commit: diff.head.into(),
        files: fitting(diff.files.into_iter().map(change), room),
        file_count: diff.file_count,
        raw_patch: patch.raw,
    }
}

/// A plan, with its lock if that was asked for.
pub(super) fn plan_with_lock(
    of: Plan,
    asked: Option<Result<Option<lock_client::Lock>, String>>,
) -> wire::GetPlanResponse {
    let (found, lock_error) = match asked {
        None | Some(Ok(None)) => (None, String::new()),
        Some(Ok(Some(found))) => (Some(lock(found)), String::new()),
        Some(Err(why)) => (None, cut(&why, KIB)),
    };
    wire::GetPlanResponse { plan: Some(plan(of)), lock: found, lock_error }
}

/// How the service is, and one plan.
pub(super) fn diagnostics(diagnostics: Diagnostics) -> wire::GetDiagnosticsResponse {
    let lock_server = match diagnostics.lock_server {
        Ok(stale) => wire::LockServerDiagnostics {
            reachable: true,
            error: String::new(),
            stale_plan_locks: stale.plans,
            stale_project_locks: stale.projects,
        },
        Err(error) => wire::LockServerDiagnostics { error, ..Default::default() },
    };
    let count = |(in_phase, in_state, count)| wire::StateCount {
        phase: phase(in_phase).into(),
        state: state(in_state).into(),
        count,
    };
    wire::GetDiagnosticsResponse {
        instance: diagnostics.instance,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store: diagnostics.store.to_owned(),
        lock_server: Some(lock_server),
        plans: diagnostics.plans.into_iter().map(count).collect(),
        active_runs: diagnostics.active_runs,
        plan: diagnostics.plan.map(plan_diagnostics),
    }
}

fn plan_diagnostics(diagnostics: PlanDiagnostics) -> wire::PlanDiagnostics {
    // The newest matter most, where not all fit.
    let mut events = fitting(diagnostics.events.into_iter().rev().map(event), MOST_EVENTS);
    events.reverse();
    let each = MOST_TAILS / diagnostics.outputs.len().max(1);
    wire::PlanDiagnostics {
        plan: Some(plan(diagnostics.plan)),
        events,
        tails: diagnostics
            .outputs
            .into_iter()
            .map(|(key, output)| tail(key, output, each))
            .collect(),
        lock: diagnostics.lock.map(lock),
        lock_error: diagnostics.lock_error.unwrap_or_default(),
    }
}

fn event(event: Event) -> wire::PlanEvent {
    wire::PlanEvent {
        event_time: Some(timestamp(event.at)),
        phase: phase(event.phase).into(),
        state: state(event.state).into(),
        problem: event.problem.map(|found| problem(found, MOST_PAST_PROBLEM_FILES)),
        fencing_token: event.fencing_token,
        instance: event.instance,
    }
}

fn tail(key: OutputKey, output: OutputTail, most: usize) -> wire::StepTail {
    let mut data = output.tail;
    data.drain(..data.len().saturating_sub(most));
    let kept = u64::try_from(data.len()).unwrap_or(u64::MAX);
    wire::StepTail {
        step: key.name.into(),
        skipped_bytes: output.total_bytes.saturating_sub(kept),
        data,
        check: key.check,
    }
}

fn lock(lock: lock_client::Lock) -> wire::LockView {
    wire::LockView {
        owner_id: cut(&lock.owner_id, KIB),
        fencing_token: lock.fencing_token,
        acquire_time: Some(lock.acquire_time),
        expire_time: Some(lock.expire_time),
        stale: lock.stale,
        queue_length: lock.queue_length,
    }
}

/// The first of them, as many as fit into so many bytes. One that would not fit
/// by itself is left out, and hides nothing else.
fn fitting<M: Message>(messages: impl IntoIterator<Item = M>, most: usize) -> Vec<M> {
    // Beside its bytes, each has a key and a length.
    const FRAME: usize = 6;
    let long = |message: &M| message.encoded_len() + FRAME;
    let mut bytes = 0;
    let fits = |message: &M| {
        bytes += long(message);
        bytes <= most
    };
    messages.into_iter().filter(|message| long(message) <= most).take_while(fits).collect()
}

fn timestamp(moment: Moment) -> prost_types::Timestamp {
    let micros = moment.micros();
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        // Below a thousand million, whatever the moment.
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default(),
    }
}

fn span(span: Duration) -> prost_types::Duration {
    // Time limits are far shorter than what the message can hold.
    prost_types::Duration::try_from(span).unwrap_or_default()
}

#[cfg(test)]
mod tests;
