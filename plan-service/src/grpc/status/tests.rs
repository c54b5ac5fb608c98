//! Every error, with what is longest in it.

use std::path::PathBuf;

use lock_client::{AcquireOptions, ClientError, LockClient};
use lock_server::testing::TestServer;
use service_kit::grpc::wire_bytes;

use super::*;
use crate::{
    domain::{ActionName, Moment, Phase, State, possible_moves, start},
    store::StoreError,
};

const MOST_WIRE_BYTES: usize = 8 * 1024;

/// Letters that are long on the wire, each in its own way.
const LETTERS: [&str; 5] = ["x", " ", "é", "🔒", "\u{7}"];

fn plan() -> PlanId {
    PlanId::parse("019378f2-5a00-7000-8000-000000000000").unwrap()
}

/// One of each, with code, reason and the metadata that is to be there.
fn each(letter: &str) -> Vec<(PlanError, Code, &'static str, Vec<&'static str>)> {
    let long = letter.repeat(10_000 / letter.len());
    let name = Name::parse(&"n".repeat(63)).unwrap();
    let action = ActionName::parse(&format!("{name}/{name}")).unwrap();
    let path = PathBuf::from(format!("/{long}"));
    let project = Project { name: name.clone(), path, created_at: Moment::from_micros(0) };
    let refused = start(Move::Apply, Phase::Strategize, State::Complete).unwrap_err();
    let away = ClientError::Unavailable { reason: None, message: long.clone(), attempts: 3 };
    let violation = Violation { field: long.clone(), description: long.clone() };
    let store = StoreError::Unreadable(long.clone());
    let files = vec![long.clone(); 2_000];
    vec![
        (
            PlanError::LockServerUnavailable(Box::new(away)),
            Code::Unavailable,
            "LOCK_SERVER_UNAVAILABLE",
            vec![key::WHY],
        ),
        (
            PlanError::Transition { plan: plan(), error: refused },
            Code::FailedPrecondition,
            "INVALID_TRANSITION",
            vec![key::MOVE, key::PHASE, key::PLAN_ID, key::POSSIBLE, key::STATE, key::WHY],
        ),
        (
            PlanError::UncommittedChanges { project: name.clone(), files },
            Code::FailedPrecondition,
            "UNCOMMITTED_CHANGES",
            vec![key::FILE, key::FILE_COUNT, key::PROJECT],
        ),
        (
            PlanError::ProjectUnusable { project: name.clone(), message: long.clone() },
            Code::FailedPrecondition,
            "PROJECT_UNUSABLE",
            vec![key::PROJECT, key::WHY],
        ),
        (PlanError::DiffGone(plan()), Code::FailedPrecondition, "DIFF_GONE", vec![key::PLAN_ID]),
        (PlanError::ProjectNotFound(name), Code::NotFound, "PROJECT_NOT_FOUND", vec![key::PROJECT]),
        (
            PlanError::ActionNotFound(action.clone()),
            Code::NotFound,
            "ACTION_NOT_FOUND",
            vec![key::ACTION],
        ),
        (PlanError::PlanNotFound(plan()), Code::NotFound, "PLAN_NOT_FOUND", vec![key::PLAN_ID]),
        (
            PlanError::ProjectExists(project),
            Code::AlreadyExists,
            "PROJECT_EXISTS",
            vec![key::PATH, key::PROJECT],
        ),
        (PlanError::ActionExists(action), Code::AlreadyExists, "ACTION_EXISTS", vec![key::ACTION]),
        (PlanError::PlanExists(plan()), Code::AlreadyExists, "PLAN_EXISTS", vec![key::PLAN_ID]),
        (
            PlanError::Invalid(vec![violation; 100]),
            Code::InvalidArgument,
            "INVALID_REQUEST",
            vec![key::DESCRIPTION, key::FIELD, key::VIOLATION_COUNT],
        ),
        (PlanError::ActionsFromFiles, Code::PermissionDenied, "ACTIONS_FROM_FILES", vec![]),
        (PlanError::StoreUnavailable(store), Code::Unavailable, "STORE_UNAVAILABLE", vec![]),
        (PlanError::ShuttingDown, Code::Unavailable, "SHUTTING_DOWN", vec![]),
        (PlanError::LockLost(plan()), Code::Unavailable, "LOCK_LOST", vec![key::PLAN_ID]),
        (
            PlanError::Overloaded { limit: "--max-runs", value: 16, what: "runs are under way" },
            Code::ResourceExhausted,
            "OVERLOADED",
            vec![key::LIMIT, key::LIMIT_VALUE],
        ),
        (PlanError::Internal(long), Code::Internal, "INTERNAL", vec![key::WHY]),
    ]
}

#[test]
fn every_error_has_its_code_reason_and_metadata_and_fits() {
    for letter in LETTERS {
        for (error, code, expected, keys) in each(letter) {
            let status = status(&error);
            let bytes = wire_bytes(&status);
            assert!(bytes < MOST_WIRE_BYTES, "{expected} of {letter:?}: {bytes} bytes");
            assert_eq!(status.code(), code, "{expected}");
            assert_eq!(reason(&error), expected);
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.domain.as_str(), info.reason.as_str()), ("plan.v1", expected));
            let mut found: Vec<_> = info.metadata.keys().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, keys, "{expected}");
            let wants_retry =
                matches!(code, Code::Unavailable | Code::ResourceExhausted).then_some(RETRY_SOON);
            let retry = details.retry_info().and_then(|retry| retry.retry_delay);
            assert_eq!(retry, wants_retry, "{expected}");
        }
    }
}

#[test]
fn a_refused_move_names_what_is_possible() {
    let error = start(Move::Apply, Phase::Strategize, State::Complete).unwrap_err();
    let status = status(&PlanError::Transition { plan: plan(), error });
    assert!(status.message().contains("cannot apply a plan that is STRATEGIZE COMPLETE"));
    let metadata = status.get_error_details().error_info().unwrap().metadata.clone();
    assert_eq!(metadata[key::MOVE], "apply");
    assert_eq!(metadata[key::PHASE], "STRATEGIZE");
    assert_eq!(metadata[key::STATE], "COMPLETE");
    let possible: Vec<_> =
        possible_moves(Phase::Strategize, State::Complete).into_iter().map(Move::verb).collect();
    assert_eq!(metadata[key::POSSIBLE], possible.join(","));
}

#[test]
fn nobody_is_told_of_what_cannot_be_asked_for() {
    let error = start(Move::Execute, Phase::Action, State::Queued).unwrap_err();
    let status = status(&PlanError::Transition { plan: plan(), error });
    let metadata = status.get_error_details().error_info().unwrap().metadata.clone();
    assert_eq!(metadata[key::POSSIBLE], "retry,cancel");
    assert!(!status.message().contains("strategize"), "{}", status.message());
}

/// People have `planctl`, and other programs have the contract.
#[test]
fn no_message_names_a_call() {
    use prost::Message as _;

    let files = prost_types::FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.iter().flat_map(|file| &file.service);
    let calls: Vec<_> =
        services.flat_map(|service| &service.method).filter_map(|call| call.name.clone()).collect();
    assert!(calls.iter().any(|call| call == "ListActions"), "{calls:?}");
    for (error, ..) in each("x") {
        let words = error.to_string();
        let named = calls.iter().find(|call| words.contains(call.as_str()));
        assert_eq!(named, None, "{words}");
    }
}

#[test]
fn files_are_listed_whole_where_they_fit() {
    let files = vec!["src/main.rs".to_owned(), "x".repeat(300)];
    let error = PlanError::UncommittedChanges { project: Name::parse("p").unwrap(), files };
    let details = status(&error).get_error_details();
    let listed = &details.precondition_failure().unwrap().violations;
    assert_eq!(listed[0].subject, "src/main.rs");
    assert_eq!(listed[1].subject, "x".repeat(300));
    assert_eq!(details.error_info().unwrap().metadata[key::FILE_COUNT], "2");
}

/// What the lock server says to somebody who asks itself, and what the service
/// says that passes it on.
#[tokio::test]
async fn a_conflict_is_passed_on_as_it_came() {
    use proto::lock::v1::{self as wire, lock_service_client::LockServiceClient};

    let server = TestServer::start(&[]).await;
    let holder = LockClient::connect(server.url()).unwrap();
    let resource = lock_client::Resource::new("plan", plan().to_string());
    let options = AcquireOptions::new().metadata("instance", "a:1");
    let guard = holder.acquire(resource.clone(), options).await.unwrap();

    let mut locks = LockServiceClient::connect(server.url()).await.unwrap();
    let request = wire::AcquireRequest {
        resource: Some(resource.clone()),
        owner_id: "other".to_owned(),
        ..Default::default()
    };
    let told = locks.acquire(request).await.unwrap_err();
    let conflict = match holder.with_new_owner().acquire(resource, AcquireOptions::new()).await {
        Err(ClientError::Conflict(conflict)) => conflict,
        other => panic!("not a conflict: {other:?}"),
    };
    let passed_on = status(&PlanError::Conflict(conflict));
    guard.release().await.unwrap();

    assert_eq!(passed_on.code(), told.code());
    let (told, passed_on) = (told.get_error_details(), passed_on.get_error_details());
    assert_eq!(format!("{:?}", passed_on.resource_info()), format!("{:?}", told.resource_info()));
    assert!(passed_on.retry_info().unwrap().retry_delay.is_some());
    let (told, passed_on) = (told.error_info().unwrap(), passed_on.error_info().unwrap());
    assert_eq!((&passed_on.domain, &passed_on.reason), (&told.domain, &told.reason));
    // What is left of the lease was less at the second call.
    let without_remaining = |metadata: &HashMap<String, String>| {
        let mut metadata = metadata.clone();
        let left: u64 = metadata.remove(lock_key::REMAINING_MS).unwrap().parse().unwrap();
        (left > 0, metadata)
    };
    assert_eq!(without_remaining(&passed_on.metadata), without_remaining(&told.metadata));
    assert_eq!(passed_on.metadata["holder.instance"], "a:1");
}
