//! Reads a watch, at one server after the other.
//!
//! # Failure handling
//!
//! A watch that ends, for whatever reason that another attempt may mend, is asked
//! for at the next server at once, and with backoff and jitter after a round of
//! all servers. The backoff begins anew when a snapshot has come to its end, so
//! that a reader which is cut off within each snapshot does not ask for them as
//! fast as it can.
//!
//! The server says every 10 s that it is there. When nothing has come for
//! [`SILENCE`], the connection is taken for dead and made anew. The time in which
//! the program has yet to take an event does not count.
//!
//! # Cancel safety
//!
//! Dropping the future ends the watch, at the server too.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _};
use proto::lock::v1::{WatchRequest, WatchResponse, lock_service_client::LockServiceClient};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tonic::Status;

use super::{WatchEvent, read};
use crate::{
    ClientError,
    call::Missed,
    endpoints::{Endpoints, Pick},
    error::{Refusal, from_refusal},
    retry::Backoff,
};

/// How long a server may say nothing: thrice as long as it should.
const SILENCE: Duration = Duration::from_secs(30);

type Events = mpsc::Sender<Result<WatchEvent, ClientError>>;

struct Reader {
    request: WatchRequest,
    /// How long a server may take to begin.
    attempt: Duration,
    events: Events,
    backoff: Backoff,
    /// The program knows that nothing is heard.
    told: bool,
}

/// Why nothing more comes from a server.
enum End {
    Missed(Missed),
    /// Nobody listens any more.
    Gone,
}

/// Tells what happens until nobody listens or no attempt would mend it. Must run
/// in the runtime that does the network work.
pub(super) async fn read_on(
    endpoints: Arc<Endpoints>,
    attempt: Duration,
    request: WatchRequest,
    events: Events,
) {
    let backoff = Backoff::default();
    let mut reader = Reader { request, attempt, events, backoff, told: false };
    let mut pick = endpoints.pick();
    loop {
        let End::Missed(Missed { refusal, failure }) = reader.read(&pick).await else { return };
        if refusal.ends_a_watch() {
            // Nobody may listen any more.
            let _ = reader.events.send(Err(from_refusal(*refusal, false))).await;
            return;
        }
        endpoints.failed(&pick, failure);
        let asked = refusal.retry_after();
        let pause = reader.backoff.failed(endpoints.count(), asked, fastrand::f64());
        tracing::debug!(?pause, error = refusal.summary(), "a watch was interrupted");
        if !std::mem::replace(&mut reader.told, true) {
            let (reason, message) = refusal.into_words();
            let event = WatchEvent::Interrupted { reason, message };
            if reader.events.send(Ok(event)).await.is_err() {
                return;
            }
        }
        sleep(pause).await;
        pick = endpoints.pick_after(&pick);
    }
}

impl Reader {
    /// Reads what one server tells, to the end.
    async fn read(&mut self, pick: &Pick) -> End {
        let mut client = LockServiceClient::new(pick.line.channel.clone());
        let opening = timeout(self.attempt, client.watch(self.request.clone()));
        match opening.await {
            Ok(Ok(response)) => self.follow(response.into_inner(), SILENCE).await,
            Ok(Err(status)) => End::answered(status),
            Err(_) => End::silent(self.attempt),
        }
    }

    /// Passes on what is told, until the end or so long a silence.
    async fn follow(
        &mut self,
        mut told: impl Stream<Item = Result<WatchResponse, Status>> + Unpin,
        silence: Duration,
    ) -> End {
        loop {
            let response = match timeout(silence, told.next()).await {
                Ok(Some(Ok(response))) => response,
                Ok(Some(Err(status))) => return End::answered(status),
                Ok(None) => {
                    return End::answered(Status::unavailable("the server ended the watch"));
                }
                Err(_) => return End::silent(silence),
            };
            let event = match read(response) {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                Err(why) => return End::answered(Status::unavailable(why)),
            };
            self.told = false;
            if event == WatchEvent::SnapshotComplete {
                self.backoff.reset();
            }
            if self.events.send(Ok(event)).await.is_err() {
                return End::Gone;
            }
        }
    }
}

impl End {
    fn answered(status: Status) -> Self {
        Self::Missed(Missed::answered(Refusal::from(status)))
    }

    fn silent(limit: Duration) -> Self {
        Self::Missed(Missed::silent(Refusal::timed_out(limit)))
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use proto::lock::v1::LockEventKind as Kind;

    use super::*;
    use crate::endpoints::Failure;

    fn reader() -> (Reader, mpsc::Receiver<Result<WatchEvent, ClientError>>) {
        let (events, told) = mpsc::channel(8);
        let (request, backoff) = (WatchRequest::default(), Backoff::default());
        (Reader { request, attempt: SILENCE, events, backoff, told: true }, told)
    }

    fn event(kind: Kind) -> Result<WatchResponse, Status> {
        Ok(WatchResponse { kind: kind.into(), lock: None })
    }

    fn missed(end: End) -> Missed {
        match end {
            End::Missed(missed) => missed,
            End::Gone => panic!("somebody listens"),
        }
    }

    #[tokio::test]
    async fn silence_is_the_end_of_a_connection() {
        let (mut reader, mut told) = reader();
        let silent = stream::iter([event(Kind::Progress)]).chain(stream::pending());
        let end = missed(reader.follow(silent, Duration::from_millis(20)).await);
        assert_eq!(end.failure, Failure::Silent);
        assert_eq!(told.recv().await.unwrap().unwrap(), WatchEvent::Progress);
        assert!(!reader.told, "something was heard");
    }

    #[tokio::test]
    async fn a_whole_snapshot_ends_the_backoff_and_less_does_not() {
        let (mut reader, _told) = reader();
        let _ = reader.backoff.failed(1, None, 0.0);
        missed(reader.follow(stream::iter([event(Kind::Progress)]), SILENCE).await);
        assert_eq!(reader.backoff.failures(), 1);
        missed(reader.follow(stream::iter([event(Kind::SnapshotComplete)]), SILENCE).await);
        assert_eq!(reader.backoff.failures(), 0);
    }

    #[tokio::test]
    async fn an_event_that_makes_no_sense_is_the_end_of_a_connection() {
        let (mut reader, _told) = reader();
        let end = missed(reader.follow(stream::iter([event(Kind::Acquired)]), SILENCE).await);
        assert!(end.refusal.summary().contains("an event of no lock"));
        assert!(!end.refusal.ends_a_watch());
    }

    #[tokio::test]
    async fn nobody_is_read_for_who_does_not_listen() {
        let (mut reader, told) = reader();
        drop(told);
        let end = reader.follow(stream::repeat_with(|| event(Kind::Progress)), SILENCE).await;
        assert!(matches!(end, End::Gone));
    }
}
