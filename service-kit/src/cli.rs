//! What the command lines of this workspace do the same way: how an answer
//! looks to people and to programs, what is said when something goes wrong, and
//! which exit code it ends with.
//!
//! - [`Output`], [`Style`], [`table`], [`span`], [`time`]: an answer;
//! - [`Failure`], [`exit`], [`hold`]: what went wrong;
//! - [`escape`]: what somebody else chose, made safe to show;
//! - [`value`], [`not_parsed`]: the arguments.

pub mod escape;
pub mod exit;
mod failure;
pub mod hold;
mod output;
pub mod span;
mod status;
mod style;
pub mod table;
pub mod time;
pub mod value;

pub use failure::{Away, Failure, Server};
pub use output::{Format, Output, not_parsed, page_size};
pub use status::StatusLine;
pub use style::Style;
