//! A circle of owners that wait for each other.

use std::fmt;

use crate::Resource;

/// Waiting for the resource would have closed a circle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlock {
    /// What was to be waited for.
    pub resource: Resource,
    /// The circle, from the caller back to the caller, shortened to fit:
    /// `owner → type/id → owner → …`. Each owner waits for the resource after
    /// it, which the next one holds.
    pub cycle: String,
    /// The server's words.
    pub message: String,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
