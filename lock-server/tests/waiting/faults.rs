//! One fault each: nothing is stuck, nothing is granted twice, nothing is left
//! in a table.

mod client_silent;
mod database_restarted;
mod listener_cut;
mod many;
mod pooler;
mod server_killed;
mod server_stopped;
mod shared_place;
mod sqlite;
