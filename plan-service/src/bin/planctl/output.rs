//! What a command prints: of projects, actions, plans, and of what happens to
//! them.

mod card;
mod clean;
pub(crate) mod json;
mod lines;
mod live;
mod lock;
pub(crate) mod patch;
mod progress;
mod steps;
mod tables;
pub(crate) mod words;

pub(crate) use card::{action_card, history, plan_card, project_card};
pub(crate) use clean::clean;
pub(crate) use lines::{changes, summary, with_time};
pub(crate) use live::Live;
pub(crate) use lock::Lock;
pub(crate) use steps::Printer;
pub(crate) use tables::{actions_table, changeset_text, plans_table, projects_table, states_table};
