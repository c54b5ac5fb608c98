//! A stream to a server that takes the connection and never says a word.

use proto::lock::v1::ReleaseRequest;
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

use super::*;
use crate::endpoints::Failure;

const LONG: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(20);

async fn silent(idle: Duration) -> (Arc<Stream>, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let channel = Endpoint::from_shared(url).unwrap().connect_lazy();
    (Stream::open(channel, Connections::default(), idle), listener)
}

async fn ask(stream: &Stream, limit: Duration) -> Unanswered {
    let command = Command::Release(ReleaseRequest::default());
    stream.ask(command, Instant::now() + limit).await.err().unwrap()
}

fn missed(unanswered: Unanswered) -> Missed {
    match unanswered {
        Unanswered::Missed(missed) => missed,
        Unanswered::Closed => panic!("it was not closed"),
    }
}

/// Waits until the transport has taken everything.
async fn sent(stream: &Stream) {
    let all = async || {
        let state = stream.state();
        (state.last_id > 0 && state.unsent.is_empty()).then_some(())
    };
    service_kit::testing::eventually("everything sent", PATIENCE, all).await;
}

#[tokio::test]
async fn silence_until_one_deadline_ends_it_for_all() {
    let (stream, _listener) = silent(LONG).await;
    let patient = async { missed(ask(&stream, LONG).await) };
    let hasty = async {
        sent(&stream).await;
        missed(ask(&stream, Duration::from_millis(50)).await)
    };
    let both = async { tokio::join!(patient, hasty) };
    let (patient, hasty) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(hasty.failure, Failure::Silent);
    assert_eq!(patient.failure, Failure::Answered, "that is told once");
    for missed in [&hasty, &patient] {
        assert!(missed.refusal.is_retryable() && missed.refusal.leaves_outcome_unknown());
    }
    let after = missed(ask(&stream, LONG).await);
    assert!(after.refusal.is_retryable() && !after.refusal.leaves_outcome_unknown());
    assert!(matches!(stream.standing(), Standing::Over));
}

#[tokio::test]
async fn what_finds_no_place_in_time_was_not_sent_and_says_nothing_of_the_stream() {
    let (stream, _listener) = silent(LONG).await;
    stream.places.forget_permits(MOST);
    let missed = missed(ask(&stream, Duration::from_millis(20)).await);
    assert_eq!(missed.failure, Failure::Answered);
    assert!(missed.refusal.is_retryable() && !missed.refusal.leaves_outcome_unknown());
    assert!(matches!(stream.standing(), Standing::Open));
}

#[tokio::test]
async fn who_gives_up_leaves_nothing_behind() {
    let (stream, _listener) = silent(LONG).await;
    for _ in 0..3 {
        let mut asking = Box::pin(ask(&stream, LONG));
        assert!(futures::poll!(&mut asking).is_pending());
        assert_eq!(stream.places.available_permits(), MOST - 1);
    }
    let state = stream.state();
    assert!(state.unsent.is_empty() && state.waiting.is_empty());
    assert_eq!(stream.places.available_permits(), MOST);
}

#[tokio::test]
async fn a_stream_in_use_is_kept_and_one_that_is_not_takes_no_more() {
    let (stream, _listener) = silent(Duration::from_millis(10)).await;
    let asking = ask(&stream, Duration::from_millis(100));
    missed(asking.await);
    let (stream, _listener) = silent(Duration::from_millis(10)).await;
    let mut asking = Box::pin(ask(&stream, LONG));
    assert!(futures::poll!(&mut asking).is_pending());
    drop(asking);
    tokio::time::timeout(PATIENCE, stream.over.cancelled()).await.unwrap();
    assert!(matches!(ask(&stream, LONG).await, Unanswered::Closed));
}

#[tokio::test]
async fn only_answers_to_what_was_sent_are_answers() {
    let (stream, _listener) = silent(LONG).await;
    let answer = |request_id| stream.answered(SessionResponse { request_id, outcome: None });
    assert!(!answer(0) && !answer(1));
    let mut asking = Box::pin(ask(&stream, LONG));
    assert!(futures::poll!(&mut asking).is_pending());
    assert!(!answer(1), "it was not sent yet");
    sent(&stream).await;
    drop(asking);
    assert!(answer(1) && answer(1), "late ones are ignored");
    assert!(!answer(2));
}
