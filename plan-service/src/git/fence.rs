//! The fence ref of a plan: it points to a blob that holds the token of the
//! greatest run that has raised it, as decimal text.
//!
//! Whoever moves refs for a plan verifies it in the same transaction, so a run
//! that was paused past its lease moves nothing once a later one has raised it.

use std::cmp::Ordering;

use super::{
    GitError, Repo,
    refs::{FENCES, fence_ref},
    retry::Tries,
};
use crate::domain::{Fence, Oid, PlanId};

/// What became of a fence that was to be raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a run whose fence is refused must write nothing"]
pub enum Raised {
    /// It stands: refs can be moved under it.
    Raised,
    /// A run with a greater token has raised one.
    Refused,
}

impl Repo {
    /// Raises a plan's fence to this run's token.
    ///
    /// # Errors
    /// When git fails, or the ref holds what is no token.
    pub async fn raise_fence(&self, fence: Fence) -> Result<Raised, GitError> {
        let name = fence_ref(fence);
        let write = self.command().args(["hash-object", "-w", "--stdin"]);
        let blob = write.stdin(fence.token.to_string()).oid().await?;
        let mut tries = Tries::new(&self.git);
        loop {
            let before = self.ref_value(&name).await?;
            if let Some(before) = &before {
                match self.token_in(before).await?.cmp(&fence.token) {
                    Ordering::Greater => return Ok(Raised::Refused),
                    Ordering::Equal => return Ok(Raised::Raised),
                    Ordering::Less => {}
                }
            }
            let update = self.command().args(["update-ref", "--stdin", "-z"]);
            let update = update.stdin(match &before {
                Some(before) => {
                    format!("start\0update {name}\0{blob}\0{before}\0prepare\0commit\0")
                }
                None => format!("start\0create {name}\0{blob}\0prepare\0commit\0"),
            });
            match update.ok().await {
                Ok(_) => return Ok(Raised::Raised),
                // Another one was faster: look again.
                Err(_) if self.ref_value(&name).await? != before => {}
                Err(error) => tries.after(error).await?,
            }
        }
    }

    /// Takes a plan's fence away, if it still is this run's.
    ///
    /// # Errors
    /// When git fails.
    pub async fn drop_fence(&self, fence: Fence) -> Result<(), GitError> {
        let name = fence_ref(fence);
        let ours = self.fence_blob(fence).await?;
        let delete = self.command().args(["update-ref", "-d", &name, ours.as_str()]);
        let mut tries = Tries::new(&self.git);
        while self.ref_value(&name).await?.as_ref() == Some(&ours) {
            match delete.ok().await {
                Ok(_) => return Ok(()),
                Err(error) => tries.after(error).await?,
            }
        }
        Ok(())
    }

    /// The plans that have a fence here, whichever service they belong to.
    ///
    /// # Errors
    /// When git fails.
    pub async fn fenced_plans(&self) -> Result<Vec<PlanId>, GitError> {
        let list = self.command().read_only().args(["for-each-ref", "--format=%(refname)", FENCES]);
        let names = list.ok().await?;
        let names = String::from_utf8_lossy(&names);
        let ids = names.lines().filter_map(|name| name.strip_prefix(FENCES));
        // What is no plan's id is none of ours.
        Ok(ids.filter_map(|id| PlanId::parse(id).ok()).collect())
    }

    /// The id of the blob that holds this token, whether it is there or not.
    pub(super) async fn fence_blob(&self, fence: Fence) -> Result<Oid, GitError> {
        let command = self.command().read_only().args(["hash-object", "--stdin"]);
        command.stdin(fence.token.to_string()).oid().await
    }

    async fn token_in(&self, blob: &Oid) -> Result<u64, GitError> {
        let command = self.command().read_only().args(["cat-file", "blob", blob.as_str()]);
        let text = command.line().await?;
        text.parse().map_err(|_| {
            command.failed(format!(
                "the fence of a plan holds {text:?} and no token: somebody has written to \
                 refs/plan-service; delete that ref when no plan of this project is under way"
            ))
        })
    }
}
