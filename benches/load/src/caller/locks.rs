//! The requests of one caller over gRPC, and the tokens that it was given.

use std::time::Duration;

use proto::lock::v1::{
    AcquireRequest, AcquireResponse, ReleaseRequest, ReleaseResponse, RenewRequest, Resource,
};

use super::odd;
use crate::{
    part::{KIND, Part},
    trouble::Result,
};

/// A caller's locks as the contract has them.
pub(super) struct Locks {
    owner: String,
    resources: Vec<Resource>,
    tokens: Vec<u64>,
}

impl Locks {
    pub(super) fn new(part: Part) -> Self {
        let tokens = vec![0; part.resources.len()];
        let resources = part.resources.into_iter().map(|id| Resource::new(KIND, id)).collect();
        Self { owner: part.owner, resources, tokens }
    }

    pub(super) fn len(&self) -> usize {
        self.resources.len()
    }

    /// With a wait, in line behind whoever holds it.
    pub(super) fn acquire(&self, lock: usize, wait: Option<Duration>) -> AcquireRequest {
        AcquireRequest {
            resource: Some(self.resources[lock].clone()),
            owner_id: self.owner.clone(),
            wait: wait.and_then(|wait| wait.try_into().ok()),
            ..AcquireRequest::default()
        }
    }

    pub(super) fn release(&self, lock: usize) -> ReleaseRequest {
        ReleaseRequest {
            resource: Some(self.resources[lock].clone()),
            owner_id: self.owner.clone(),
            fencing_token: Some(self.tokens[lock]),
        }
    }

    pub(super) fn renew(&self, lock: usize) -> RenewRequest {
        RenewRequest {
            resource: Some(self.resources[lock].clone()),
            owner_id: self.owner.clone(),
            fencing_token: self.tokens[lock],
            ..RenewRequest::default()
        }
    }

    /// Keeps the token of a grant.
    pub(super) fn granted(&mut self, lock: usize, answer: &AcquireResponse) -> Result<()> {
        let granted = answer.lock.as_ref().ok_or_else(|| odd("a grant without a lock"))?;
        if granted.fencing_token == 0 || granted.owner_id != self.owner {
            return Err(odd("a grant without a token, or to somebody else"));
        }
        self.tokens[lock] = granted.fencing_token;
        Ok(())
    }
}

/// A lock that was held is released.
pub(super) fn released(answer: &ReleaseResponse) -> Result<()> {
    if answer.released { Ok(()) } else { Err(odd("released=false for a lock that was held")) }
}
