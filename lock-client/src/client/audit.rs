//! What an operator does about the holds of others: breaks one, and looks up
//! what became of them.
//!
//! # Failure handling
//!
//! A release by force that gets no answer is made again, like every call: it
//! names a token, and a token that was broken never comes back, so another
//! attempt breaks nothing else. But it finds what the first one left, a free
//! resource or another hold, and is refused for that; the refusal says
//! `retried`.
//!
//! # Cancel safety
//!
//! Dropping a future here abandons the call; whether the server carried it out
//! is then unknown.

use proto::lock::v1 as wire;
use proto::lock::v1::lock_service_client::LockServiceClient;

use super::{LockClient, calls};
use crate::{ClientError, Event, EventFilter, EventPage, IntoResource, Lock};

impl LockClient {
    /// Breaks exactly the hold with this token, live or stale and whoever's it
    /// is, and gives the lock back as it was. The audit trail keeps it, with
    /// the `reason`: 1 to 512 bytes without control characters.
    ///
    /// Who held it, a guard of this client too, hears at its next renewal by
    /// whom and why ([`Lost::forced`](crate::Lost::forced)), and may work on
    /// until then: what the lock protects must check the fencing token.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotHeld`] when the token has moved on, with the holder and
    /// the token of now; [`ClientError::NotFound`] when the resource is free.
    /// Nothing was changed then, and the refusal is in the audit trail, too. If
    /// either says `retried`, an attempt that got no answer may have broken the
    /// hold: [`list_events`](Self::list_events) tells.
    ///
    /// [`ClientError::Invalid`] when the request is wrong, and
    /// [`ClientError::Unavailable`] when no server answered: it may have been
    /// broken all the same, and asking again does no harm.
    pub async fn force_release(
        &self,
        resource: impl IntoResource,
        fencing_token: u64,
        reason: impl Into<String>,
    ) -> Result<Lock, ClientError> {
        let request = wire::ForceReleaseRequest {
            resource: Some(resource.into_resource()),
            fencing_token,
            reason: reason.into(),
        };
        let answer = self
            .shared
            .call(request, |channel, request| async move {
                LockServiceClient::new(channel).force_release(request).await
            })
            .await?;
        calls::answered(answer.message.lock)
    }

    /// The audit trail, a page at a time, the newest event first: takeovers of
    /// stale locks, releases by force, refused ones, and purges. A `page_size`
    /// of 0 takes the server's.
    ///
    /// # Errors
    ///
    /// [`ClientError::Invalid`] for a token that is not of this listing.
    pub async fn list_events(
        &self,
        filter: EventFilter,
        page_size: i32,
        page_token: impl Into<String>,
    ) -> Result<EventPage, ClientError> {
        let request = wire::ListEventsRequest {
            resource: filter.resource,
            start_time: filter.start_time,
            end_time: filter.end_time,
            page_size,
            page_token: page_token.into(),
        };
        let response = self
            .shared
            .call(request, |channel, request| async move {
                LockServiceClient::new(channel).list_events(request).await
            })
            .await?
            .message;
        Ok(EventPage {
            events: response.events.into_iter().map(Event::from).collect(),
            next_page_token: response.next_page_token,
        })
    }
}
