//! What only Postgres can get wrong: statements that wait, two servers, and
//! histories that change.

mod epoch;
mod failover;
mod setup;
mod stall;
