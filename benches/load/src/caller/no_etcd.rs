//! In the place of `etcd.rs` in a build without etcd's client: there are no such callers.

use super::Grant;
use crate::{
    part::Part,
    trouble::{Result, Trouble},
};

/// There is none.
pub(crate) struct Etcd {
    never: std::convert::Infallible,
    pub(super) part: Part,
}

/// Whether this program has the client.
pub(crate) fn built() -> Result<()> {
    Err(Trouble::NotInstalled("etcd's client (build with --features etcd)".to_owned()))
}

/// Whether a server can be used.
pub(crate) async fn ready(_: &str) -> bool {
    false
}

impl Etcd {
    pub(crate) async fn connect(_: &str, _: Vec<Part>, _: usize) -> Result<Vec<Self>> {
        built().map(|()| Vec::new())
    }

    pub(super) async fn acquire(&mut self, _: usize) -> Result<Grant> {
        match self.never {}
    }

    pub(super) async fn release(&mut self, _: usize) -> Result<()> {
        match self.never {}
    }
}
