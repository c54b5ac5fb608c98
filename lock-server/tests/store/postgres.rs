//! What only Postgres can get wrong: statements that wait, two servers, and
//! histories that change.

mod epoch;
mod failover;
mod in_place;
mod setup;
mod stage;
mod stall;
mod stalled_batch;
mod watch;
