//! What the sentences of the features mean. One theme a file.

mod events;
mod grants;
mod keep_alive;
mod lists;
mod lock_state;
mod locking;
mod plans;
mod refusals;
mod requests;
mod servers;
mod session;
mod standard_services;
mod waiting;
mod watch;
