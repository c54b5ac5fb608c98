//! Waiting in line: what ends a wait and when, what is told of it, and how much
//! of it there may be. What happens when servers and databases fail meanwhile is
//! in `tests/waiting`.

mod bounds;
mod gone;
mod notified;
mod scene;
mod settings;
mod storm;
mod stream;
mod told;
mod when;

pub(crate) use self::scene::{Scene, Waiting, get, line, until_waiting, wait_for, waiting};
