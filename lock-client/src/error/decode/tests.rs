//! Statuses and what becomes of them.

use tonic::transport::Endpoint;

use super::*;

fn status(code: Code, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let details = ErrorDetails::with_error_info(reason, reason::DOMAIN, metadata);
    Status::with_error_details(code, "the server's words", details)
}

fn read(status: Status) -> ClientError {
    from_refusal(Refusal::from(status), false)
}

#[test]
fn a_lease_that_ran_out_says_when() {
    let metadata = [("resource", "plan/a/b"), ("expire_time", "2026-01-02T03:04:05Z")];
    let error = read(status(Code::Aborted, reason::LOCK_EXPIRED, &metadata));
    assert_eq!(error.to_string(), "the server's words");
    assert_eq!(error.reason(), Some("LOCK_EXPIRED"));
    let ClientError::Expired { resource, expire_time, .. } = error else { panic!("{error:?}") };
    assert_eq!(resource, Resource::new("plan", "a/b"));
    assert_eq!(expire_time.unwrap().to_string(), "2026-01-02T03:04:05Z");
}

#[test]
fn a_conflict_that_says_little_is_still_one() {
    let error = read(status(Code::FailedPrecondition, reason::LOCK_CONFLICT, &[]));
    assert_eq!(error.reason(), Some("LOCK_CONFLICT"));
    let ClientError::Conflict(conflict) = error else { panic!("{error:?}") };
    assert_eq!((conflict.remaining, conflict.queue_length), (Duration::ZERO, 0));
    assert_eq!(conflict.acquire_time, None);
}

#[test]
fn a_deadlock_tells_its_circle() {
    let cycle = "me → plan/a → you → plan/b → me";
    let metadata = [("resource", "plan/a"), ("cycle", cycle)];
    let error = read(status(Code::FailedPrecondition, reason::DEADLOCK, &metadata));
    assert_eq!(error.to_string(), "the server's words");
    assert_eq!(error.reason(), Some("DEADLOCK"));
    let ClientError::Deadlock(deadlock) = error else { panic!("{error:?}") };
    assert_eq!((&*deadlock.cycle, deadlock.resource), (cycle, Resource::new("plan", "a")));
}

#[test]
fn a_wait_that_was_cancelled_says_for_what() {
    let metadata = [("resource", "plan/a")];
    let error = read(status(Code::Aborted, reason::WAIT_CANCELLED, &metadata));
    assert_eq!(error.reason(), Some("WAIT_CANCELLED"));
    let ClientError::WaitCancelled { resource, message } = error else { panic!("{error:?}") };
    assert_eq!((resource, &*message), (Resource::new("plan", "a"), "the server's words"));
}

#[test]
fn a_watch_ends_for_what_no_other_attempt_mends() {
    let ends = |code| Refusal::from(Status::new(code, "no")).ends_a_watch();
    for code in
        [Code::InvalidArgument, Code::Unimplemented, Code::PermissionDenied, Code::Unauthenticated]
    {
        assert!(ends(code), "{code:?}");
    }
    for code in [Code::Unavailable, Code::ResourceExhausted, Code::Internal, Code::Unknown] {
        assert!(!ends(code), "{code:?}");
    }
}

#[test]
fn a_lease_that_was_broken_says_by_whom_and_why() {
    let metadata = [
        ("resource", "plan/42"),
        ("owner_id", "me"),
        ("fencing_token", "7"),
        ("released_by", "10.0.0.7"),
        ("release_reason", "stuck since noon"),
    ];
    let error = read(status(Code::Aborted, reason::LOCK_NOT_HELD, &metadata));
    assert_eq!(error.to_string(), "the server's words");
    let forced = error.forced().expect("by force");
    assert_eq!((&*forced.released_by, &*forced.release_reason), ("10.0.0.7", "stuck since noon"));
    let ClientError::NotHeld(not_held) = error else { panic!("{error:?}") };
    assert_eq!((not_held.holder, not_held.fencing_token), (None, Some(7)));
    assert_eq!(not_held.resource, Resource::new("plan", "42"));
}

#[test]
fn a_lease_that_is_not_held_says_no_more_than_the_server_does() {
    let metadata = [("holder", "worker-7"), ("fencing_token", "seven")];
    let error = read(status(Code::Aborted, reason::LOCK_NOT_HELD, &metadata));
    assert_eq!(error.forced(), None);
    let ClientError::NotHeld(not_held) = error else { panic!("{error:?}") };
    assert_eq!(not_held.holder.as_deref(), Some("worker-7"));
    assert_eq!((not_held.fencing_token, not_held.retried), (None, false));
}

#[test]
fn what_is_free_says_so_and_whether_that_may_be_the_call_s_own_doing() {
    let free = status(Code::NotFound, reason::LOCK_NOT_FOUND, &[("resource", "plan/42")]);
    let error = from_refusal(Refusal::from(free), true);
    assert_eq!(
        (error.reason(), error.to_string()),
        (Some("LOCK_NOT_FOUND"), "the server's words".to_owned())
    );
    let ClientError::NotFound { resource, retried, .. } = error else { panic!("{error:?}") };
    assert_eq!((resource, retried), (Resource::new("plan", "42"), true));
}

#[test]
fn what_is_not_known_keeps_its_code_reason_and_words() {
    let error = read(status(Code::PermissionDenied, "PERMISSION_DENIED", &[]));
    assert_eq!(error.reason(), Some("PERMISSION_DENIED"));
    assert_eq!(error.to_string(), "the lock service answered PermissionDenied: the server's words");
}

#[test]
fn a_reason_of_another_domain_is_none_of_ours() {
    let details = ErrorDetails::with_error_info(reason::LOCK_CONFLICT, "other", HashMap::new());
    let error = read(Status::with_error_details(Code::Internal, "", details));
    assert_eq!(error.reason(), None);
}

#[test]
fn what_may_end_better_elsewhere_is_tried_again() {
    let again = [
        status(Code::Unavailable, reason::STORE_UNAVAILABLE, &[]),
        status(Code::Unavailable, reason::SHUTTING_DOWN, &[]),
        status(Code::ResourceExhausted, reason::OVERLOADED, &[]),
        Status::unavailable("a proxy"),
        Status::unknown("no code"),
        Status::cancelled("reset"),
        Status::deadline_exceeded("a proxy"),
    ];
    for status in again {
        let refusal = Refusal::from(status);
        assert!(refusal.is_retryable(), "{refusal:?}");
    }
    assert!(Refusal::timed_out(Duration::from_secs(1)).is_retryable());
}

#[test]
fn what_would_end_the_same_is_not_tried_again() {
    let final_ones = [
        status(Code::FailedPrecondition, reason::LOCK_CONFLICT, &[]),
        status(Code::Aborted, reason::LOCK_NOT_HELD, &[]),
        status(Code::InvalidArgument, reason::INVALID_REQUEST, &[]),
        status(Code::NotFound, reason::LOCK_NOT_FOUND, &[]),
        Status::unimplemented("no such method"),
        Status::resource_exhausted("message too large"),
        Status::internal("a bug"),
    ];
    for status in final_ones {
        let refusal = Refusal::from(status);
        assert!(!refusal.is_retryable(), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_connection_that_broke_is_tried_again_whatever_its_code() {
    let error = Endpoint::from_static("http://127.0.0.1:1").connect().await.unwrap_err();
    let refusal = Refusal::from(Status::from_error(Box::new(error)));
    assert!(refusal.details.transport && refusal.is_retryable());
}

#[test]
fn an_attempt_in_one_line() {
    let refusal = Refusal::from(status(Code::Unavailable, reason::SHUTTING_DOWN, &[]));
    assert_eq!(refusal.summary(), "SHUTTING_DOWN: the server's words");
    let refusal = Refusal::timed_out(Duration::from_millis(200));
    assert_eq!(refusal.summary(), "DeadlineExceeded: no answer within 200 ms");
    let error = refusal.into_unavailable(1);
    assert_eq!(
        error.to_string(),
        "no answer from the lock service after 1 attempt: no answer within 200 ms"
    );
}

#[test]
fn a_command_s_error_is_read_as_a_call_s() {
    let mut details = ErrorDetails::with_error_info(
        reason::LOCK_CONFLICT,
        reason::DOMAIN,
        HashMap::from([("holder".to_owned(), "worker-7".to_owned())]),
    );
    details.set_retry_info(Some(Duration::from_millis(70)));
    details.add_bad_request_violation("ttl", "is zero");
    for status in [
        Status::with_error_details(Code::FailedPrecondition, "100 % \u{fc}", details),
        Status::internal("no details"),
        Status::new(Code::Unknown, ""),
    ] {
        let message = match tonic_types::Status::decode(status.details()).unwrap() {
            message if message.details.is_empty() => tonic_types::Status {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Vec::new(),
            },
            message => message,
        };
        assert_eq!(Refusal::of_command(&message), Refusal::from(status));
    }
}

#[test]
fn the_end_of_a_stream_says_nothing_of_a_command_on_it_that_was_sent() {
    for end in [
        status(Code::Unavailable, reason::SHUTTING_DOWN, &[]),
        status(Code::ResourceExhausted, reason::OVERLOADED, &[]),
        Status::internal("a bug"),
    ] {
        let refusal = Refusal::of_stream(end);
        assert!(refusal.is_retryable() && refusal.leaves_outcome_unknown(), "{refusal:?}");
        let unsent = refusal.unsent();
        assert!(unsent.is_retryable() && !unsent.leaves_outcome_unknown(), "{unsent:?}");
    }
}

#[tokio::test]
async fn only_what_no_server_can_have_carried_out_has_a_known_outcome() {
    let unknown = |status: Status| Refusal::from(status).leaves_outcome_unknown();
    assert!(unknown(status(Code::Unavailable, reason::STORE_UNAVAILABLE, &[])));
    assert!(unknown(Status::unavailable("the connection broke")));
    assert!(Refusal::timed_out(Duration::ZERO).leaves_outcome_unknown());
    assert!(!unknown(status(Code::Unavailable, reason::SHUTTING_DOWN, &[])));
    assert!(!unknown(status(Code::ResourceExhausted, reason::OVERLOADED, &[])));
    assert!(!unknown(status(Code::Aborted, reason::LOCK_NOT_HELD, &[])));
    // Nobody listens on port 1.
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
    let refused = client.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap_err();
    assert!(!unknown(refused));
}
