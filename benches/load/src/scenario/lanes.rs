//! Which targets are measured in which scenario. What is compared stands side by side.

use super::{CALLERS, MANY, OURS};
use crate::{
    compare::Lane,
    target::{
        Kind::{
            Etcd, LockServerPostgres, LockServerSqlite, NoStore, Obvious, Postgres,
            PostgresAdvisory, PostgresRows, Redis, Zookeeper,
        },
        Way::{Own, Stream, Unary},
    },
};

/// Everything.
pub(super) fn pairs() -> Vec<Lane> {
    vec![
        Lane::new(NoStore, Unary, CALLERS),
        Lane::new(LockServerPostgres, Unary, CALLERS),
        Lane::new(LockServerSqlite, Unary, CALLERS),
        Lane::new(Obvious, Unary, CALLERS),
        Lane::new(Etcd, Own, CALLERS),
        Lane::new(NoStore, Stream, CALLERS),
        Lane::new(LockServerPostgres, Stream, CALLERS),
        Lane::new(LockServerSqlite, Stream, CALLERS),
        Lane::new(Redis, Own, CALLERS),
        Lane::new(Zookeeper, Own, CALLERS),
        Lane::new(Postgres, Own, CALLERS),
        Lane::new(PostgresAdvisory, Own, CALLERS),
        Lane::new(NoStore, Stream, MANY),
        Lane::new(LockServerPostgres, Stream, MANY),
        Lane::new(LockServerSqlite, Stream, MANY),
        Lane::new(Redis, Own, MANY),
        Lane::new(Zookeeper, Own, MANY),
        Lane::new(Etcd, Own, MANY),
        Lane::new(PostgresRows, Own, 1),
        Lane::new(PostgresRows, Own, 2),
        Lane::new(PostgresRows, Own, 4),
    ]
}

/// The parts of a call, and whole calls.
pub(super) fn one_caller() -> Vec<Lane> {
    let parts = [(Postgres, Own), (NoStore, Unary), (NoStore, Stream)];
    let others = [(Obvious, Unary), (Etcd, Own), (Redis, Own), (Zookeeper, Own)];
    let all = parts.into_iter().chain(OURS).chain(others);
    all.map(|(kind, way)| Lane::new(kind, way, 1)).collect()
}

/// What answers a conflict at once; etcd's lock API lets the caller wait.
pub(super) fn contended() -> Vec<Lane> {
    let others = [(Obvious, Unary), (Redis, Own), (Zookeeper, Own)];
    let all = OURS.into_iter().chain(others);
    all.map(|(kind, way)| Lane::new(kind, way, CALLERS)).collect()
}

/// What has the same contract.
pub(super) fn over_grpc() -> Vec<Lane> {
    let others = [(NoStore, Unary), (NoStore, Stream), (Obvious, Unary)];
    let all = OURS.into_iter().chain(others);
    all.map(|(kind, way)| Lane::new(kind, way, CALLERS)).collect()
}
