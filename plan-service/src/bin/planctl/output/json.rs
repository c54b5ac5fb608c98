//! The messages of the contract for programs: under their names there, every
//! field present, and null for what is unset.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost_types::Timestamp;
use proto::plan::v1::{
    Action, Change, Changeset, GetDiagnosticsResponse, GetDiffResponse, LockServerDiagnostics,
    LockView, Merge, Parameter, Plan, PlanDiagnostics, PlanEvent, Problem, Progress, Project, Run,
    StateCount, Step, StepOutput, StepTail, StepTemplate, Strategy, watch_plan_response::Event,
};
use serde_json::{Value, json};
use service_kit::cli::span;

fn time(time: Option<&Timestamp>) -> Value {
    time.map(ToString::to_string).into()
}

fn duration(duration: Option<&prost_types::Duration>) -> Value {
    duration.and_then(|it| Duration::try_from(*it).ok()).map(span::proto).into()
}

fn bytes(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn all<T>(items: &[T], each: impl Fn(&T) -> Value) -> Vec<Value> {
    items.iter().map(each).collect()
}

/// `plan.v1.Project`
pub(crate) fn project(project: &Project) -> Value {
    json!({
        "name": project.name,
        "path": project.path,
        "create_time": time(project.create_time.as_ref()),
    })
}

/// `plan.v1.Action`
pub(crate) fn action(action: &Action) -> Value {
    json!({
        "name": action.name,
        "description": action.description,
        "parameters": all(&action.parameters, parameter),
        "steps": all(&action.steps, template),
        "checks": all(&action.checks, template),
        "create_time": time(action.create_time.as_ref()),
    })
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "description": parameter.description,
        "type": parameter.r#type().as_str_name(),
        "default_value": parameter.default_value,
        "choices": parameter.choices,
    })
}

fn template(step: &StepTemplate) -> Value {
    json!({
        "name": step.name,
        "argv": step.argv,
        "env": step.env,
        "time_limit": duration(step.time_limit.as_ref()),
        "group": step.group,
    })
}

/// `plan.v1.Plan`
pub(crate) fn plan(plan: &Plan) -> Value {
    json!({
        "plan_id": plan.plan_id,
        "project": plan.project,
        "action": plan.action,
        "arguments": plan.arguments,
        "phase": plan.phase().as_str_name(),
        "state": plan.state().as_str_name(),
        "problem": plan.problem.as_ref().map(problem),
        "create_time": time(plan.create_time.as_ref()),
        "update_time": time(plan.update_time.as_ref()),
        "strategy": plan.strategy.as_ref().map(strategy),
        "steps": all(&plan.steps, step),
        "checks": all(&plan.checks, step),
        "head_commit": plan.head_commit,
        "merge": plan.merge.as_ref().map(merge),
        "fencing_token": plan.fencing_token,
        "run": plan.run.as_ref().map(run),
        "cancel_requested": plan.cancel_requested,
        "version": plan.version,
        "generation": plan.generation,
        "possible_moves": plan.possible_moves,
    })
}

fn problem(problem: &Problem) -> Value {
    json!({
        "reason": problem.reason,
        "message": problem.message,
        "files": problem.files,
        "step": problem.step,
    })
}

fn strategy(strategy: &Strategy) -> Value {
    json!({"base_commit": strategy.base_commit, "base_branch": strategy.base_branch})
}

fn step(step: &Step) -> Value {
    json!({
        "name": step.name,
        "argv": step.argv,
        "group": step.group,
        "state": step.state().as_str_name(),
        "exit_code": step.exit_code,
        "signal": step.signal,
        "start_time": time(step.start_time.as_ref()),
        "end_time": time(step.end_time.as_ref()),
        "commit": step.commit,
        "output_bytes": step.output_bytes,
        "time_limit": duration(step.time_limit.as_ref()),
    })
}

fn merge(merge: &Merge) -> Value {
    json!({
        "branch": merge.branch,
        "from_commit": merge.from_commit,
        "merge_commit": merge.merge_commit,
    })
}

fn run(run: &Run) -> Value {
    json!({
        "owner_id": run.owner_id,
        "instance": run.instance,
        "start_time": time(run.start_time.as_ref()),
    })
}

/// `plan.v1.Changeset`
pub(crate) fn changeset(changeset: &Changeset) -> Value {
    json!({
        "changeset_id": changeset.changeset_id,
        "plan_id": changeset.plan_id,
        "step": changeset.step,
        "commit": changeset.commit,
        "create_time": time(changeset.create_time.as_ref()),
        "changes": all(&changeset.changes, change),
        "change_count": changeset.change_count,
    })
}

fn change(change: &Change) -> Value {
    json!({
        "kind": change.kind().as_str_name(),
        "path": change.path,
        "old_path": change.old_path,
        "raw_path": bytes(&change.raw_path),
        "old_mode": change.old_mode,
        "new_mode": change.new_mode,
        "binary": change.binary,
        "added_lines": change.added_lines,
        "removed_lines": change.removed_lines,
        "raw_old_path": bytes(&change.raw_old_path),
    })
}

/// `plan.v1.GetDiffResponse`
pub(crate) fn diff(diff: &GetDiffResponse) -> Value {
    json!({
        "patch": diff.patch,
        "truncated": diff.truncated,
        "base_commit": diff.base_commit,
        "head_commit": diff.head_commit,
        "files": all(&diff.files, change),
        "file_count": diff.file_count,
        "raw_patch": bytes(&diff.raw_patch),
    })
}

/// `plan.v1.WatchPlanResponse`: the one field that it has. Bytes have their text
/// beside them, for those who want no more than that.
pub(crate) fn event(event: &Event) -> Value {
    match event {
        Event::Plan(it) => json!({"plan": plan(it)}),
        Event::Output(it) => {
            let mut value = output(it);
            value["text"] = String::from_utf8_lossy(&it.data).into();
            json!({"output": value})
        }
        Event::Progress(it) => json!({"progress": progress(it)}),
    }
}

fn output(output: &StepOutput) -> Value {
    json!({
        "step": output.step,
        "offset": output.offset,
        "skipped_bytes": output.skipped_bytes,
        "data": bytes(&output.data),
        "check": output.check,
        "fencing_token": output.fencing_token,
    })
}

fn progress(progress: &Progress) -> Value {
    json!({
        "steps_complete": progress.steps_complete,
        "steps_total": progress.steps_total,
        "phase": progress.phase().as_str_name(),
        "state": progress.state().as_str_name(),
    })
}

/// `plan.v1.GetDiagnosticsResponse`
pub(crate) fn diagnostics(it: &GetDiagnosticsResponse) -> Value {
    json!({
        "instance": it.instance,
        "version": it.version,
        "store": it.store,
        "lock_server": it.lock_server.as_ref().map(lock_server),
        "plans": all(&it.plans, state_count),
        "active_runs": it.active_runs,
        "plan": it.plan.as_ref().map(plan_diagnostics),
    })
}

fn lock_server(it: &LockServerDiagnostics) -> Value {
    json!({
        "reachable": it.reachable,
        "error": it.error,
        "stale_plan_locks": it.stale_plan_locks,
        "stale_project_locks": it.stale_project_locks,
    })
}

fn state_count(it: &StateCount) -> Value {
    json!({
        "phase": it.phase().as_str_name(),
        "state": it.state().as_str_name(),
        "count": it.count,
    })
}

fn plan_diagnostics(it: &PlanDiagnostics) -> Value {
    json!({
        "plan": it.plan.as_ref().map(plan),
        "events": all(&it.events, plan_event),
        "tails": all(&it.tails, tail),
        "lock": it.lock.as_ref().map(lock),
        "lock_error": Some(&it.lock_error).filter(|error| !error.is_empty()),
    })
}

fn plan_event(it: &PlanEvent) -> Value {
    json!({
        "event_time": time(it.event_time.as_ref()),
        "phase": it.phase().as_str_name(),
        "state": it.state().as_str_name(),
        "problem": it.problem.as_ref().map(problem),
        "fencing_token": it.fencing_token,
        "instance": it.instance,
    })
}

fn tail(it: &StepTail) -> Value {
    json!({
        "step": it.step,
        "skipped_bytes": it.skipped_bytes,
        "data": bytes(&it.data),
        "check": it.check,
    })
}

/// `plan.v1.LockView`
pub(crate) fn lock(it: &LockView) -> Value {
    json!({
        "owner_id": it.owner_id,
        "fencing_token": it.fencing_token,
        "acquire_time": time(it.acquire_time.as_ref()),
        "expire_time": time(it.expire_time.as_ref()),
        "stale": it.stale,
        "queue_length": it.queue_length,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// The fields of a message, by the contract itself.
    fn fields(message: &str) -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
        let file = set.file.iter().find(|file| file.package() == "plan.v1").unwrap();
        let message = file.message_type.iter().find(|it| it.name() == message).unwrap();
        message.field.iter().map(|field| field.name().to_owned()).collect()
    }

    #[test]
    fn every_message_has_all_its_fields_and_no_others() {
        for (message, value) in [
            ("Project", project(&Project::default())),
            ("Action", action(&Action::default())),
            ("Parameter", parameter(&Parameter::default())),
            ("StepTemplate", template(&StepTemplate::default())),
            ("Plan", plan(&Plan::default())),
            ("Problem", problem(&Problem::default())),
            ("Strategy", strategy(&Strategy::default())),
            ("Step", step(&Step::default())),
            ("Merge", merge(&Merge::default())),
            ("Run", run(&Run::default())),
            ("Changeset", changeset(&Changeset::default())),
            ("Change", change(&Change::default())),
            ("GetDiffResponse", diff(&GetDiffResponse::default())),
            ("StepOutput", output(&StepOutput::default())),
            ("Progress", progress(&Progress::default())),
            ("GetDiagnosticsResponse", diagnostics(&GetDiagnosticsResponse::default())),
            ("LockServerDiagnostics", lock_server(&LockServerDiagnostics::default())),
            ("StateCount", state_count(&StateCount::default())),
            ("PlanDiagnostics", plan_diagnostics(&PlanDiagnostics::default())),
            ("PlanEvent", plan_event(&PlanEvent::default())),
            ("StepTail", tail(&StepTail::default())),
            ("LockView", lock(&LockView::default())),
        ] {
            let names: BTreeSet<_> = value.as_object().unwrap().keys().cloned().collect();
            assert_eq!(names, fields(message), "{message}");
        }
    }

    #[test]
    fn times_spans_and_bytes_are_written_as_the_help_says() {
        let it = Step {
            start_time: Some(Timestamp { seconds: 1_767_366_245, nanos: 500_000_000 }),
            time_limit: Some(prost_types::Duration { seconds: 12, nanos: 300_000_000 }),
            ..Step::default()
        };
        let value = step(&it);
        assert_eq!(value["start_time"], "2026-01-02T15:04:05.500Z");
        assert_eq!(value["end_time"], Value::Null);
        assert_eq!(value["time_limit"], "12.300s");
        let written =
            StepOutput { step: "a".to_owned(), data: b"hi\xff".to_vec(), ..StepOutput::default() };
        let value = event(&Event::Output(written));
        assert_eq!(value["output"]["data"], "aGn/");
        assert_eq!(value["output"]["text"], "hi\u{fffd}");
        assert_eq!(event(&Event::Plan(Plan::default()))["plan"]["state"], "PLAN_STATE_UNSPECIFIED");
    }
}
