//! What every store does.

pub(crate) mod actions;
pub(crate) mod changesets;
pub(crate) mod fences;
pub(crate) mod lists;
pub(crate) mod many;
pub(crate) mod plans;
pub(crate) mod projects;
