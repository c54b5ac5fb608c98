//! Messages that ask for something to be done, checked and as commands. The
//! unary calls and the streams make them here, so that they mean the same.

use proto::lock::v1 as wire;

use super::check::Check;
use crate::{
    domain::{Acquire, FencingToken, OwnerId, Release, Renew, Resource, Span, TtlPolicy},
    error::LockError,
};

/// The most leases in one request.
pub(super) const MOST_LEASES: usize = 10_000;

/// # Errors
/// When a field is wrong; so with the others.
pub(super) fn acquire(
    policy: &TtlPolicy,
    max_wait: Span,
    request: wire::AcquireRequest,
) -> Result<Acquire, LockError> {
    let mut check = Check::default();
    let resource = check.resource("resource", request.resource.as_ref());
    let owner = check.owner("owner_id", &request.owner_id);
    let ttl = check.ttl("ttl", request.ttl.as_ref(), policy.limits());
    let wait = check.wait("wait", request.wait.as_ref(), max_wait);
    let metadata = check.metadata(request.metadata);
    let command = resource.zip(owner).zip(metadata).map(|((resource, owner), metadata)| {
        let ttl = ttl.unwrap_or_else(|| policy.default_for(resource.kind()));
        Acquire { resource, owner, ttl, metadata, wait }
    });
    check.finish_with(command)
}

pub(super) fn renew(policy: &TtlPolicy, request: &wire::RenewRequest) -> Result<Renew, LockError> {
    let mut check = Check::default();
    let held = held(&mut check, request.resource.as_ref(), &request.owner_id);
    let token = check.token("fencing_token", request.fencing_token);
    let ttl = check.ttl("ttl", request.ttl.as_ref(), policy.limits());
    let command =
        held.zip(token).map(|((resource, owner), token)| Renew { resource, owner, token, ttl });
    check.finish_with(command)
}

pub(super) fn release(request: &wire::ReleaseRequest) -> Result<Release, LockError> {
    let mut check = Check::default();
    let held = held(&mut check, request.resource.as_ref(), &request.owner_id);
    let token: Option<FencingToken> =
        request.fencing_token.and_then(|token| check.token("fencing_token", token));
    let command = held.map(|(resource, owner)| Release { resource, owner, token });
    check.finish_with(command)
}

/// The leases of a keep-alive request.
pub(super) fn leases(
    policy: &TtlPolicy,
    request: &wire::KeepAliveRequest,
) -> Result<Vec<Renew>, LockError> {
    let mut check = Check::default();
    let count = request.leases.len();
    if count > MOST_LEASES {
        check.wrong(
            "leases",
            format!("has {count} entries; at most {MOST_LEASES} are allowed in one request"),
        );
        // They are not looked at: that would be more work than is allowed.
        return check.finish_with(None);
    }
    let ttl = check.ttl("ttl", request.ttl.as_ref(), policy.limits());
    let leases: Option<Vec<_>> = request
        .leases
        .iter()
        .enumerate()
        .map(|(at, lease)| self::lease(&mut check, at, lease, ttl))
        // Not straight into an option, which would end at the first wrong one.
        .collect::<Vec<_>>()
        .into_iter()
        .collect();
    check.finish_with(leases)
}

fn lease(
    check: &mut Check,
    at: usize,
    lease: &wire::KeepAliveLease,
    ttl: Option<Span>,
) -> Option<Renew> {
    let resource = check.resource(format_args!("leases[{at}].resource"), lease.resource.as_ref());
    let owner = check.owner(format_args!("leases[{at}].owner_id"), &lease.owner_id);
    let token = check.token(format_args!("leases[{at}].fencing_token"), lease.fencing_token);
    Some(Renew { resource: resource?, owner: owner?, token: token?, ttl })
}

/// What is held, and by whom.
fn held(
    check: &mut Check,
    resource: Option<&wire::Resource>,
    owner: &str,
) -> Option<(Resource, OwnerId)> {
    let resource = check.resource("resource", resource);
    let owner = check.owner("owner_id", owner);
    resource.zip(owner)
}
