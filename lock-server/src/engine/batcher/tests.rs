//! The batcher against a store that is told when to answer, and what.
//!
//! Everything runs on one thread: once every task that could go on has had its
//! turn, what has not happened does not happen.

mod beside;
mod failing;
mod forming;
mod left_out;
mod order;
mod scene;
mod script;
mod stress;
