//! What `diagnostics` found, and what of it needs attention. Pure.

use std::time::Duration;

use lock_client::Lock;
use serde_json::{Value, json};

use super::probe::{Answer, Server};
use crate::{
    commands::locks,
    escape::escaped,
    exit,
    output::{Style, seconds, span, to_json},
};

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Report {
    /// Each server that was named.
    pub(super) servers: Vec<Server>,
    /// The locks, or why they could not be counted. None without a server that
    /// is ready to count them.
    pub(super) locks: Option<Result<Locks, String>>,
    /// Stale locks need attention after so long.
    pub(super) stale_after: Duration,
}

/// What was found about locks.
#[derive(Debug)]
pub(super) struct Locks {
    /// Live.
    pub(super) held: Held,
    /// Stale.
    pub(super) stale_count: u64,
    /// Stale for longer than is fine.
    pub(super) overdue_count: u64,
    /// The one that has been stale for longest.
    pub(super) oldest: Option<Lock>,
}

/// How many live locks there are.
#[derive(Debug)]
pub(super) struct Held {
    /// As far as they were counted.
    pub(super) count: u64,
    /// There are no more.
    pub(super) exact: bool,
}

impl Report {
    /// What to exit with.
    pub(super) fn exit_code(&self) -> u8 {
        if self.servers.iter().all(|server| server.answer.is_err()) {
            exit::UNAVAILABLE
        } else if self.findings().is_empty() {
            exit::OK
        } else {
            exit::ATTENTION
        }
    }

    /// What needs attention, a sentence or two each.
    fn findings(&self) -> Vec<String> {
        let mut findings: Vec<_> = self.servers.iter().filter_map(finding_of).collect();
        match &self.locks {
            Some(Err(error)) => findings.push(format!("the locks cannot be counted: {error}")),
            Some(Ok(found)) if found.overdue_count > 0 => findings.push(format!(
                "{} stale{}: {} without releasing. `lockctl stale` shows more, `lockctl purge` \
                 frees what is stale, and acquiring takes it over.",
                locks(found.overdue_count),
                match self.stale_after.is_zero() {
                    true => String::new(),
                    false => format!(" for longer than {}", span::human(self.stale_after)),
                },
                if found.overdue_count == 1 { "its holder went away" } else { "holders went away" },
            )),
            _ => {}
        }
        findings
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let found = self.locks.as_ref().and_then(|locks| locks.as_ref().ok());
        json!({
            "servers": self.servers.iter().map(server_json).collect::<Vec<_>>(),
            "held_count": found.map(|found| found.held.count),
            "held_count_exact": found.map(|found| found.held.exact),
            "stale_count": found.map(|found| found.stale_count),
            "oldest_stale": found.and_then(|found| found.oldest.as_ref()).map(to_json),
            "needs_attention": self.findings(),
        })
    }

    /// For people.
    pub(super) fn to_text(&self, style: Style) -> String {
        let mut text: String =
            self.servers.iter().map(|server| server_text(server, style)).collect();
        if let Some(Ok(found)) = &self.locks {
            text.push_str(&locks_text(found));
        }
        text.push('\n');
        let findings = self.findings();
        for finding in &findings {
            let heading = style.bad("needs attention:");
            text.push_str(&format!("{heading} {}\n", crate::escape::message(finding)));
        }
        if findings.is_empty() {
            text.push_str(&format!("{}\n", style.good("All is well.")));
        }
        text
    }
}

fn finding_of(server: &Server) -> Option<String> {
    let address = &server.address;
    match &server.answer {
        Err(error) => Some(format!(
            "{address} cannot be reached: {error}. Is lock-server running there? Name another \
             address with --addr or LOCKCTL_ADDR."
        )),
        Ok(Answer { live: false, .. }) => {
            Some(format!("{address} answers, and does not say that it is alive."))
        }
        Ok(Answer { ready: false, .. }) => Some(format!(
            "{address} is not ready: its database cannot be reached, or it is stopping. See its \
             log."
        )),
        Ok(_) => None,
    }
}

fn server_json(server: &Server) -> Value {
    let answer = server.answer.as_ref().ok();
    json!({
        "address": server.address,
        "reachable": answer.is_some(),
        "error": server.answer.as_ref().err(),
        "latency": answer.map(|answer| span::proto(answer.latency)),
        "live": answer.is_some_and(|answer| answer.live),
        "ready": answer.is_some_and(|answer| answer.ready),
        "store": answer.and_then(|answer| answer.store.as_deref()),
        "version": answer.and_then(|answer| answer.version.as_deref()),
    })
}

fn server_text(server: &Server, style: Style) -> String {
    let yes_or_no = |yes| if yes { style.good("yes") } else { style.bad("no") };
    let mut lines = vec![("server", escaped(&server.address))];
    match &server.answer {
        Err(_) => lines.push(("reachable", yes_or_no(false))),
        Ok(answer) => lines.extend([
            ("reachable", format!("{} (in {})", yes_or_no(true), in_millis(answer.latency))),
            ("live", yes_or_no(answer.live)),
            ("ready", yes_or_no(answer.ready)),
            ("store", said(&answer.store)),
            ("version", said(&answer.version)),
        ]),
    }
    in_lines(lines)
}

/// What a server says, which it may leave out.
fn said(word: &Option<String>) -> String {
    word.as_deref().map_or_else(|| "unknown".to_owned(), escaped)
}

fn locks_text(found: &Locks) -> String {
    let over = if found.held.exact { "" } else { "over " };
    let mut lines = vec![
        ("held", format!("{over}{}", locks(found.held.count))),
        ("stale", locks(found.stale_count)),
    ];
    if let Some(oldest) = &found.oldest {
        let (resource, owner) = (escaped(&oldest.resource.to_string()), escaped(&oldest.owner_id));
        let expired = seconds(oldest.expire_time);
        lines.push(("oldest", format!("{resource} of {owner}, expired {expired}")));
    }
    in_lines(lines)
}

fn in_lines(lines: Vec<(&str, String)>) -> String {
    lines.into_iter().map(|(name, value)| format!("{name:<11}{value}\n")).collect()
}

/// To the tenth: a fast server answers within one millisecond.
fn in_millis(latency: Duration) -> String {
    format!("{:.1}ms", latency.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(live: bool, ready: bool) -> Server {
        let latency = Duration::from_micros(1_250);
        let store = Some("sqlite".to_owned());
        Server {
            address: "http://a:1".to_owned(),
            answer: Ok(Answer { latency, live, ready, store, version: None }),
        }
    }

    fn unreachable() -> Server {
        Server { address: "http://b:2".to_owned(), answer: Err("Connection refused".to_owned()) }
    }

    fn found(stale_count: u64, overdue_count: u64) -> Option<Result<Locks, String>> {
        let held = Held { count: 3, exact: true };
        Some(Ok(Locks { held, stale_count, overdue_count, oldest: None }))
    }

    fn report(servers: Vec<Server>, locks: Option<Result<Locks, String>>) -> Report {
        Report { servers, locks, stale_after: Duration::from_secs(60) }
    }

    #[test]
    fn all_is_well_when_nothing_is_found() {
        let report = report(vec![answers(true, true)], found(2, 0));
        assert_eq!(report.exit_code(), exit::OK);
        let text = report.to_text(Style::plain());
        assert!(text.ends_with("All is well.\n"), "{text}");
        assert!(text.contains("reachable  yes (in 1.2ms)\n"), "{text}");
        assert!(text.contains("store      sqlite\nversion    unknown\n"), "{text}");
        assert!(text.contains("held       3 locks\n"), "{text}");
        assert!(text.contains("stale      2 locks\n"), "{text}");
    }

    #[test]
    fn each_thing_that_needs_attention_is_said() {
        for (servers, locks, words) in [
            (vec![answers(true, true), unreachable()], found(0, 0), "http://b:2 cannot be reached"),
            (vec![answers(false, true)], found(0, 0), "does not say that it is alive"),
            (vec![answers(true, false)], None, "is not ready"),
            (vec![answers(true, true)], Some(Err("no".to_owned())), "cannot be counted: no"),
            (vec![answers(true, true)], found(5, 1), "1 lock stale for longer than 1m"),
        ] {
            let report = report(servers, locks);
            assert_eq!(report.exit_code(), exit::ATTENTION);
            let text = report.to_text(Style::plain());
            assert!(text.contains("needs attention: ") && text.contains(words), "{text}");
            let json = report.to_json();
            assert!(json["needs_attention"][0].as_str().unwrap().contains(words), "{json}");
        }
    }

    #[test]
    fn no_server_at_all_is_unavailable() {
        let report = report(vec![unreachable()], None);
        assert_eq!(report.exit_code(), exit::UNAVAILABLE);
        let text = report.to_text(Style::plain());
        assert!(text.contains("reachable  no\n"), "{text}");
        assert_eq!(report.to_json()["servers"][0]["reachable"], false);
    }

    #[test]
    fn more_locks_than_were_counted_are_over() {
        let held = Held { count: 100_000, exact: false };
        let locks = Locks { held, stale_count: 0, overdue_count: 0, oldest: None };
        let text = locks_text(&locks);
        assert!(text.contains("over 100000 locks"), "{text}");
    }
}
