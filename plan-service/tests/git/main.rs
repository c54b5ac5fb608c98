//! What is done with git, on real repositories.
#![allow(clippy::unwrap_used, reason = "a test may stop here")]

mod changes;
mod fences;
mod links;
mod locks;
mod merges;
mod odd_projects;
mod opening;
mod patches;
mod program;
mod refs;
mod sample;
mod settling;
mod snapshots;
mod support;
mod sync;
mod uncommitted;
mod worktrees;
