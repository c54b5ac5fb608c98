//! What is logged of a request, and what is not.

use proto::lock::v1 as wire;
use serde_json::Value;
use service_kit::testing::Signal;
use tonic::Code;

use super::support::{DEADLINE, Serving, acquire, failure, keep_alive, lease, resource};

const SECRET: &str = "only-for-the-holder";

fn with_note(resource: &str, owner: &str) -> wire::AcquireRequest {
    let metadata = [("note".to_owned(), SECRET.to_owned())].into();
    wire::AcquireRequest { metadata, ..acquire(resource, owner) }
}

/// A grant, a conflict, a wrong request, a keep-alive; then all that the server
/// wrote to the end.
async fn output(flags: &[&str]) -> String {
    let flags = [&["--database-url", "sqlite::memory:"], flags].concat();
    let mut server = Serving::start(&flags).await;
    let mut locks = server.locks();
    let lock = locks.acquire(with_note("plan/42", "alice")).await.unwrap().into_inner().lock;
    let status = locks.acquire(with_note("plan/42", "bob")).await.unwrap_err();
    failure(&status, Code::FailedPrecondition, "LOCK_CONFLICT");
    let wrong = wire::GetLockRequest { resource: Some(wire::Resource::new("plan", "tab\tbed")) };
    locks.get_lock(wrong).await.unwrap_err();
    let leases = vec![lease(&lock.unwrap())];
    keep_alive(&mut locks, wire::KeepAliveRequest { leases, ttl: None }).await.unwrap();
    let free = wire::GetLockRequest { resource: resource("plan/free") };
    locks.get_lock(free).await.unwrap_err();
    server.process.signal(Signal::SIGTERM);
    server.assert_ends_well(DEADLINE).await;
    server.process.output()
}

/// The lines for one method, as their resource, owner and outcome.
fn requests<'a>(lines: &'a [Value], rpc: &str) -> Vec<[&'a str; 3]> {
    let spans = lines.iter().map(|line| &line["span"]).filter(|span| span["rpc"] == rpc);
    spans.map(|span| ["resource", "owner", "outcome"].map(|f| span[f].as_str().unwrap())).collect()
}

#[tokio::test]
async fn json_logs_are_one_object_a_line_with_one_line_a_request() {
    let output = output(&["--log-format", "json", "--log-level", "debug"]).await;
    let lines = output.lines().filter(|line| !line.starts_with("lock-server listening on"));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    let resource = "\"plan/42\"";
    assert_eq!(
        requests(&lines, "Acquire"),
        [[resource, "\"alice\"", "OK"], [resource, "\"bob\"", "LOCK_CONFLICT"]]
    );
    assert_eq!(
        requests(&lines, "GetLock"),
        [["\"plan/tab\\tbed\"", "-", "INVALID_REQUEST"], ["\"plan/free\"", "-", "LOCK_NOT_FOUND"]]
    );
    assert!(!output.contains(SECRET), "{output}");
}

#[tokio::test]
async fn a_keep_alive_request_is_logged_with_its_outcome() {
    let output = output(&["--log-format", "json", "--log-level", "debug"]).await;
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let spans: Vec<Value> = lines.map(|mut line| line["span"].take()).collect();
    let keep_alive: Vec<_> = spans.iter().filter(|span| span["leases"] == 1).collect();
    assert_eq!(keep_alive.len(), 1, "{output}");
    assert_eq!(keep_alive[0]["outcome"], "OK", "{output}");
}

#[tokio::test]
async fn at_the_default_level_requests_are_not_logged() {
    let output = output(&["--log-format", "json"]).await;
    assert!(output.contains("stopping"), "{output}");
    assert!(!output.contains("plan/42") && !output.contains("alice"), "{output}");
}

#[tokio::test]
async fn text_logs_show_names_escaped_and_no_colours_off_a_terminal() {
    let output = output(&["--log-level", "debug"]).await;
    assert!(output.contains("plan/42") && output.contains("LOCK_CONFLICT"), "{output}");
    assert!(output.contains("tab\\tbed") && !output.contains('\t'), "{output}");
    assert!(!output.contains('\u{1b}') && !output.contains(SECRET), "{output}");
}

#[tokio::test]
async fn even_at_the_finest_level_metadata_is_not_logged() {
    let output = output(&["--log-level", "lock_server=trace,sqlx=trace,info"]).await;
    assert!(output.contains("plan/42"), "{output}");
    assert!(!output.contains(SECRET), "{output}");
}
