//! Watching what happens to locks.

mod bounds;
mod kinds;
mod kit;
mod outage;
mod traffic;
