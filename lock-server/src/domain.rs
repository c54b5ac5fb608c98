//! The rules of locking, without I/O: what a name may be, what a lease is, and
//! what each command does to it. Nothing in here knows of gRPC, SQL or a clock.

mod command;
mod decide;
mod event;
mod lock;
mod metadata;
mod name;
mod page;
mod span;
mod ttl;
mod waiting;
mod watch;

pub use command::{Acquire, Command, HandOn, Leave, Outcome, Release, Renew, There, Wait};
pub use decide::{Change, Decision, Row, decide};
pub use event::{
    Actor, Event, EventFilter, EventKind, EventPage, ForceRelease, Forced, ForcedBy, Purge, Reason,
};
pub use lock::{FencingToken, Lock, Timestamp};
pub use metadata::Metadata;
pub use name::{IdPrefix, OwnerId, Resource, ResourceType};
pub use page::{ListFilter, LockPage, StaleFilter, StalePage};
pub use service_kit::text::quote;
pub use span::Span;
pub use ttl::{TtlLimits, TtlPolicy, TtlPolicyError};
pub use waiting::{Circle, WaitsFor, circles};
pub use watch::{LockEvent, LockEventKind, Seen, WatchFilter, WatchPage};
