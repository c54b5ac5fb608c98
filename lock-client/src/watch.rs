//! What happens to locks, as it happens.
//!
//! [`Watch`] is what a program reads; `watch/reader.rs` is the task on the
//! client's thread that keeps it going over the loss of servers.

mod reader;

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;
use proto::lock::v1 as wire;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{ClientError, IntoResource, Lock, Resource, shared::Shared};

/// How many events may be read ahead of the program. A program that is slower
/// than this slows the server down, which then cuts it off.
const AHEAD: usize = 64;

/// Which locks to watch, and what of them.
///
/// ```
/// # use lock_client::WatchFilter;
/// let one = WatchFilter::resource(("plan", "42"));
/// let some = WatchFilter::resource_type("plan").id_prefix("eu/");
/// let all = WatchFilter::all().include_renewals();
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct WatchFilter {
    resource: Option<Resource>,
    resource_type: Option<String>,
    id_prefix: Option<String>,
    include_renewals: bool,
}

impl WatchFilter {
    /// Every lock.
    pub fn all() -> Self {
        Self::default()
    }

    /// The lock of one resource.
    pub fn resource(resource: impl IntoResource) -> Self {
        Self { resource: Some(resource.into_resource()), ..Self::default() }
    }

    /// The locks of one resource type.
    pub fn resource_type(resource_type: impl Into<String>) -> Self {
        Self { resource_type: Some(resource_type.into()), ..Self::default() }
    }

    /// Only ids that start with exactly this. Needs the type.
    pub fn id_prefix(mut self, id_prefix: impl Into<String>) -> Self {
        self.id_prefix = Some(id_prefix.into());
        self
    }

    /// Tells of renewals, too: [`LockChange::Renewed`].
    pub fn include_renewals(mut self) -> Self {
        self.include_renewals = true;
        self
    }

    fn into_request(self) -> wire::WatchRequest {
        let Self { resource, resource_type, id_prefix, include_renewals } = self;
        wire::WatchRequest { resource, resource_type, id_prefix, include_renewals }
    }
}

/// What a [`Watch`] tells.
///
/// Whoever keeps a list of what is held clears it at
/// [`Interrupted`](Self::Interrupted), adds what [`Snapshot`](Self::Snapshot)
/// tells, and follows each [`Changed`](Self::Changed).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// No server is heard for now, and what happens meanwhile is not told: what
    /// was known is of no more use. Told once for each time that this happens,
    /// also when there was none to hear from the start. When there is one, it
    /// begins anew with a snapshot.
    Interrupted {
        /// The server's reason, where one was given, such as `SHUTTING_DOWN`, or
        /// `OVERLOADED` when the program reads too slowly.
        reason: Option<String>,
        /// The same for people, or what became of the connection.
        message: String,
    },
    /// A live lock, as it was when the watch began, or began anew.
    Snapshot(Lock),
    /// All live locks have been told: what follows happened after.
    SnapshotComplete,
    /// Something happened to a lock.
    Changed {
        /// What.
        change: LockChange,
        /// The lock: as it is after a grant or a renewal, as it was before
        /// anything that ended it.
        lock: Lock,
    },
    /// Nothing happened for a while, and the server is there.
    Progress,
}

/// What happened to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockChange {
    /// It was granted, or handed to who waited for it.
    Acquired,
    /// Its lease was made longer or shorter. Only on request.
    Renewed,
    /// Its owner gave it back.
    Released,
    /// Its lease ran out: it is stale.
    Expired,
    /// It was stale, and granted to somebody: the new lock.
    TakenOver,
    /// [`LockClient::force_release`](crate::LockClient::force_release) broke the
    /// hold.
    ForceReleased,
    /// It was stale, and freed.
    Purged,
}

impl LockChange {
    /// Whether somebody holds the lock after it.
    pub fn is_held_after(self) -> bool {
        matches!(self, Self::Acquired | Self::Renewed | Self::TakenOver)
    }
}

impl fmt::Display for LockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acquired => "acquired",
            Self::Renewed => "renewed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::TakenOver => "taken over",
            Self::ForceReleased => "force-released",
            Self::Purged => "purged",
        })
    }
}

/// What the server told: an event, nothing that is known here, or something that
/// makes no sense.
fn read(response: wire::WatchResponse) -> Result<Option<WatchEvent>, &'static str> {
    use wire::LockEventKind as Kind;
    let kind = response.kind();
    let change = match kind {
        Kind::Progress => return Ok(Some(WatchEvent::Progress)),
        Kind::SnapshotComplete => return Ok(Some(WatchEvent::SnapshotComplete)),
        // A newer server's: what is not known cannot have been asked for.
        Kind::Unspecified => return Ok(None),
        Kind::Snapshot => None,
        Kind::Acquired => Some(LockChange::Acquired),
        Kind::Renewed => Some(LockChange::Renewed),
        Kind::Released => Some(LockChange::Released),
        Kind::Expired => Some(LockChange::Expired),
        Kind::TakenOver => Some(LockChange::TakenOver),
        Kind::ForceReleased => Some(LockChange::ForceReleased),
        Kind::Purged => Some(LockChange::Purged),
    };
    let lock = response.lock.map(Lock::from).ok_or("an event of no lock")?;
    Ok(Some(match change {
        None => WatchEvent::Snapshot(lock),
        Some(change) => WatchEvent::Changed { change, lock },
    }))
}

/// What happens to locks, from [`LockClient::watch`](crate::LockClient::watch).
///
/// A [`Stream`] that ends only after an error, and that is read without one, too:
/// by [`next_event`](Self::next_event). Dropping it ends the watch.
///
/// It takes a call for as long as it lasts, of those that a server takes on one
/// connection (1,024 unless set otherwise): one watch with a wide filter is
/// better than many with narrow ones.
pub struct Watch {
    events: mpsc::Receiver<Result<WatchEvent, ClientError>>,
    _reader: AbortOnDropHandle<()>,
    // Its thread is where the reader runs.
    _shared: Arc<Shared>,
}

impl Watch {
    pub(crate) fn start(shared: Arc<Shared>, filter: WatchFilter) -> Self {
        let (sender, events) = mpsc::channel(AHEAD);
        let (endpoints, limits) = (shared.endpoints.clone(), shared.limits);
        let reader = reader::read_on(endpoints, limits.attempt, filter.into_request(), sender);
        let reader = shared.io.handle().spawn(reader);
        Self { events, _reader: AbortOnDropHandle::new(reader), _shared: shared }
    }

    /// The next event; none after an error. Cancel safe: no event is lost by
    /// dropping the future.
    ///
    /// # Errors
    ///
    /// What another attempt would not mend: [`ClientError::Invalid`] for a filter
    /// that is wrong, and [`ClientError::Other`] where the server knows no
    /// watches or does not let this caller watch.
    pub async fn next_event(&mut self) -> Option<Result<WatchEvent, ClientError>> {
        self.events.recv().await
    }
}

impl Stream for Watch {
    type Item = Result<WatchEvent, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(kind: i32) -> wire::WatchResponse {
        wire::WatchResponse { kind, lock: Some(wire::Lock::default()) }
    }

    #[test]
    fn each_kind_of_event_is_read_and_a_newer_one_is_passed_by() {
        let lock = Lock::from(wire::Lock::default());
        let changed = |change| Ok(Some(WatchEvent::Changed { change, lock: lock.clone() }));
        for (kind, change, held, word) in [
            (3, LockChange::Acquired, true, "acquired"),
            (4, LockChange::Renewed, true, "renewed"),
            (5, LockChange::Released, false, "released"),
            (6, LockChange::Expired, false, "expired"),
            (7, LockChange::TakenOver, true, "taken over"),
            (8, LockChange::ForceReleased, false, "force-released"),
            (9, LockChange::Purged, false, "purged"),
        ] {
            assert_eq!(read(response(kind)), changed(change));
            assert_eq!((change.is_held_after(), &*change.to_string()), (held, word));
        }
        assert_eq!(read(response(1)), Ok(Some(WatchEvent::Snapshot(lock))));
        assert_eq!(read(response(2)), Ok(Some(WatchEvent::SnapshotComplete)));
        assert_eq!(read(response(10)), Ok(Some(WatchEvent::Progress)));
        assert_eq!([read(response(0)), read(response(99))], [Ok(None), Ok(None)]);
    }

    #[test]
    fn an_event_without_its_lock_makes_no_sense() {
        for kind in [1, 3, 9] {
            read(wire::WatchResponse { kind, lock: None }).unwrap_err();
        }
    }

    #[test]
    fn a_filter_asks_for_what_it_says() {
        let request = WatchFilter::resource_type("plan").id_prefix("a").include_renewals();
        let request = request.into_request();
        assert_eq!(request.resource_type.as_deref(), Some("plan"));
        assert_eq!((request.id_prefix.as_deref(), request.include_renewals), (Some("a"), true));
        assert_eq!(WatchFilter::all().into_request(), wire::WatchRequest::default());
        let one = WatchFilter::resource(("plan", "42")).into_request();
        assert_eq!(one.resource, Some(Resource::new("plan", "42")));
    }
}
