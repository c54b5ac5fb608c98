//! `planctl` as its users meet it: the built binary against a service that
//! answers as a test tells it to, and what it sends, prints and ends with.

mod actions;
mod diagnostics;
mod diff;
mod failing;
mod fake;
mod following;
mod help;
mod moves;
mod plans;
mod projects;
mod support;
mod terminal;
