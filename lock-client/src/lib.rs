#![doc = include_str!("../README.md")]

// Public API.
mod acquire;
mod answers;
mod builder;
mod client;
mod error;
mod event;
pub mod fenced;
mod guard;
mod lock;
mod lost;
mod watch;

pub use acquire::{AcquireOptions, Acquired, IntoResource, TryAcquire};
pub use answers::{Counted, Ended};
pub use builder::LockClientBuilder;
pub use client::LockClient;
pub use error::{ClientError, Conflict, Deadlock, FieldViolation, NotHeld};
pub use event::{Event, EventFilter, EventKind, EventPage};
pub use guard::{LockGuard, Released};
pub use lock::{Health, ListFilter, Lock, Page, StaleFilter, StalePage};
pub use lost::{ForcedRelease, Lost, LostReason};
pub use prost_types::Timestamp;
pub use proto::lock::v1::Resource;
pub use watch::{LockChange, Watch, WatchEvent, WatchFilter};

// Implementation.
mod call;
mod connector;
mod doubts;
mod endpoints;
mod hold;
mod holds;
mod io_thread;
mod keep_alive;
mod release;
mod retry;
mod session;
mod shared;
mod trust;
