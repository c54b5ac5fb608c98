//! What `diagnostics` found, and what of it needs attention. Pure.

use std::time::Duration;

use proto::plan::v1::{GetDiagnosticsResponse, LockServerDiagnostics, PlanDiagnostics, StepTail};
use serde_json::{Value, json};
use service_kit::cli::{Style, escape, escape::escaped, span};

use crate::{
    exit,
    output::{Lock, clean, history, json, plan_card, states_table, words},
};

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Report {
    /// The service, as it was named.
    pub(super) address: String,
    /// What it said and how long that took, or with which reason and words it
    /// did not.
    pub(super) answer: Result<(GetDiagnosticsResponse, Duration), (String, String)>,
}

impl Report {
    /// What to exit with.
    pub(super) fn exit_code(&self) -> u8 {
        match &self.answer {
            Err(_) => exit::UNAVAILABLE,
            Ok(_) if self.findings().is_empty() => exit::OK,
            Ok(_) => exit::ATTENTION,
        }
    }

    /// What needs attention, a sentence or two each.
    fn findings(&self) -> Vec<String> {
        match &self.answer {
            Err((reason, error)) if reason == "UNAVAILABLE" => vec![format!(
                "{} cannot be reached: {error}. Is plan-service running there? Name another \
                 address with --addr or PLANCTL_ADDR.",
                self.address
            )],
            Err((reason, error)) => {
                vec![format!("{} answers, and cannot serve: {reason}: {error}.", self.address)]
            }
            Ok((answer, _)) => match &answer.lock_server {
                Some(lock_server) => lock_findings(lock_server),
                None => vec!["nothing is known of the lock server.".to_owned()],
            },
        }
    }

    /// For programs: what the service said, and whether it did.
    pub(super) fn to_json(&self) -> Value {
        let (answer, latency) = match &self.answer {
            Ok((answer, latency)) => (Some(answer), Some(*latency)),
            Err(_) => (None, None),
        };
        let error = self.answer.as_ref().err();
        json!({
            "service": {
                "address": self.address,
                "reachable": error.is_none_or(|(reason, _)| reason != "UNAVAILABLE"),
                "reason": error.map(|(reason, _)| reason),
                "error": error.map(|(_, error)| error),
                "latency": latency.map(span::proto),
            },
            "diagnostics": answer.map(json::diagnostics),
            "needs_attention": self.findings(),
        })
    }

    /// For people.
    pub(super) fn to_text(&self, style: Style) -> String {
        let mut text = match &self.answer {
            Err((reason, _)) => {
                let reachable = yes_or_no(reason != "UNAVAILABLE", style);
                in_lines(vec![("service", escaped(&self.address)), ("reachable", reachable)])
            }
            Ok((answer, latency)) => self.answered(answer, *latency, style),
        };
        text.push('\n');
        let findings = self.findings();
        for finding in &findings {
            let heading = style.bad("needs attention:");
            text.push_str(&format!("{heading} {}\n", escape::message(finding)));
        }
        if findings.is_empty() {
            text.push_str(&format!("{}\n", style.good("All is well.")));
        }
        text
    }

    fn answered(&self, it: &GetDiagnosticsResponse, latency: Duration, style: Style) -> String {
        let millis = latency.as_secs_f64() * 1_000.0;
        let mut lines = vec![
            ("service", escaped(&self.address)),
            ("reachable", format!("{} (in {millis:.1}ms)", yes_or_no(true, style))),
            ("instance", escaped(&it.instance)),
            ("version", escaped(&it.version)),
            ("store", escaped(&it.store)),
            ("runs", format!("{} under way here", it.active_runs)),
        ];
        if let Some(lock_server) = &it.lock_server {
            lines.push(("lock server", yes_or_no(lock_server.reachable, style)));
            if lock_server.reachable {
                let plans = locks(lock_server.stale_plan_locks, "plan");
                let projects = locks(lock_server.stale_project_locks, "project");
                lines.push(("stale", format!("{plans}, {projects}")));
            }
        }
        let mut text = in_lines(lines);
        if !it.plans.is_empty() {
            text.push_str(&format!("\n{}", states_table(&it.plans, style)));
        }
        if let Some(plan) = &it.plan {
            text.push_str(&format!("\n{}", from_near(plan, style)));
        }
        text
    }
}

fn lock_findings(it: &LockServerDiagnostics) -> Vec<String> {
    if !it.reachable {
        let error = escape::line(&it.error);
        return vec![format!(
            "plan-service cannot reach its lock server: {error}. Nothing is done without a lock: \
             is lock-server running where --lock-server of plan-service says?"
        )];
    }
    let stale = it.stale_plan_locks.saturating_add(it.stale_project_locks);
    if stale == 0 {
        return Vec::new();
    }
    let were =
        if stale == 1 { "a lease that ran out and was" } else { "leases that ran out and were" };
    vec![format!(
        "{}: {were} never released. Plans whose run is gone are found while \
         an instance runs, at the latest after its --recovery-interval, and put to ERRORED. What \
         somebody took by hand stays until it is purged: `lockctl stale` shows whose each is.",
        words::count(stale, "stale lock")
    )]
}

/// A plan's card, its history, and the end of what its steps wrote.
fn from_near(it: &PlanDiagnostics, style: Style) -> String {
    let mut text = match &it.plan {
        Some(plan) => plan_card(plan, &Lock::Unasked, style),
        None => String::new(),
    };
    if let Some(lock) = Lock::from_near(it).words(style) {
        text.push_str(&format!("\n{}\n  {lock}\n", style.heading("Lock")));
    }
    if !it.events.is_empty() {
        text.push_str(&format!("\n{}", history(&it.events, style)));
    }
    for tail in it.tails.iter().filter(|tail| !tail.data.is_empty()) {
        text.push_str(&format!("\n{}", tail_text(tail, style)));
    }
    text
}

fn tail_text(tail: &StepTail, style: Style) -> String {
    let kind = if tail.check { "check " } else { "" };
    let heading = style.heading(&format!("What {kind}{} wrote", escaped(&tail.step)));
    let skipped = match tail.skipped_bytes {
        0 => String::new(),
        skipped => format!(" last, after {skipped} bytes"),
    };
    let written = clean(&tail.data);
    let lines: String = written.lines().map(|line| format!("  {line}\n")).collect();
    format!("{heading}{skipped}\n{lines}")
}

fn locks(count: u64, of: &str) -> String {
    match count {
        1 => format!("1 lock of a {of}"),
        count => format!("{count} locks of {of}s"),
    }
}

fn yes_or_no(yes: bool, style: Style) -> String {
    if yes { style.good("yes") } else { style.bad("no") }
}

fn in_lines(lines: Vec<(&str, String)>) -> String {
    lines.into_iter().map(|(name, value)| format!("{name:<12}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lock_server: Option<LockServerDiagnostics>) -> Report {
        let answer = GetDiagnosticsResponse {
            instance: "a-1".to_owned(),
            store: "sqlite".to_owned(),
            lock_server,
            active_runs: 2,
            ..GetDiagnosticsResponse::default()
        };
        let answer = Ok((answer, Duration::from_micros(1_250)));
        Report { address: "http://a:1".to_owned(), answer }
    }

    fn lock_server(reachable: bool, plans: u64, projects: u64) -> Option<LockServerDiagnostics> {
        Some(LockServerDiagnostics {
            reachable,
            error: "refused".to_owned(),
            stale_plan_locks: plans,
            stale_project_locks: projects,
        })
    }

    #[test]
    fn all_is_well_when_nothing_is_found() {
        let report = report(lock_server(true, 0, 0));
        assert_eq!(report.exit_code(), exit::OK);
        let text = report.to_text(Style::plain());
        assert!(text.ends_with("All is well.\n"), "{text}");
        for line in [
            "reachable   yes (in 1.2ms)\n",
            "runs        2 under way here\n",
            "lock server yes\n",
            "stale       0 locks of plans, 0 locks of projects\n",
        ] {
            assert!(text.contains(line), "{line:?} is missing: {text}");
        }
    }

    #[test]
    fn each_thing_that_needs_attention_is_said() {
        for (lock_server, words) in [
            (lock_server(false, 0, 0), "cannot reach its lock server: refused"),
            (lock_server(true, 1, 0), "1 stale lock: a lease that"),
            (lock_server(true, 1, 2), "3 stale locks: leases that"),
            (None, "nothing is known"),
        ] {
            let report = report(lock_server);
            assert_eq!(report.exit_code(), exit::ATTENTION);
            let text = report.to_text(Style::plain());
            assert!(text.contains("needs attention: ") && text.contains(words), "{text}");
            let json = report.to_json();
            assert!(json["needs_attention"][0].as_str().unwrap().contains(words), "{json}");
        }
    }

    #[test]
    fn a_service_that_is_not_there_is_told_from_one_that_cannot_serve() {
        for (reason, reachable, words) in [
            ("UNAVAILABLE", "no", "Is plan-service running there?"),
            ("STORE_UNAVAILABLE", "yes", "cannot serve: STORE_UNAVAILABLE: why"),
        ] {
            let answer = Err((reason.to_owned(), "why".to_owned()));
            let report = Report { address: "http://b:2".to_owned(), answer };
            assert_eq!(report.exit_code(), exit::UNAVAILABLE);
            let text = report.to_text(Style::plain());
            assert!(text.contains(&format!("reachable   {reachable}\n")), "{text}");
            assert!(text.contains(words), "{text}");
            assert_eq!(report.to_json()["service"]["reachable"], reachable == "yes");
        }
    }

    #[test]
    fn what_steps_wrote_is_cleaned() {
        let tail = StepTail {
            step: "build".to_owned(),
            skipped_bytes: 9,
            data: b"one\n\x1b[2Jtwo".to_vec(),
            check: true,
        };
        let expected = "What check build wrote last, after 9 bytes\n  one\n  \\u{1b}[2Jtwo\n";
        assert_eq!(tail_text(&tail, Style::plain()), expected);
    }
}
