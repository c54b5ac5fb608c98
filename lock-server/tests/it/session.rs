//! The command stream: it means what the calls mean, keeps the order, and is
//! bounded in what it takes.

mod answers;
mod ending;
mod errors;
mod order;
mod outage;
mod pressure;
mod reflected;
