//! What the sentences of the features about plans mean. One theme a file.

mod actions;
mod bad_input;
mod changes;
mod diff;
mod lists;
mod locks;
mod moves;
mod output;
mod paused;
mod projects;
mod races;
mod refusals;
mod services;
mod stands;
mod state;
