//! What may go as a message on the command stream, and as a call where there is
//! none.

use std::future::Future;

use proto::lock::v1::{
    AcquireRequest, AcquireResponse, ReleaseRequest, ReleaseResponse, RenewRequest, RenewResponse,
    lock_service_client::LockServiceClient, session_request, session_response::Outcome,
};
use tonic::{Response, Status, transport::Channel};

/// A request that both ways take.
pub(crate) trait Command: prost::Message + Clone {
    /// What it is answered with.
    type Response: Send;

    /// As a message on the stream.
    fn into_message(self) -> session_request::Command;

    /// The response in an outcome, if it is of this kind.
    fn response(outcome: Outcome) -> Option<Self::Response>;

    /// As a call.
    fn call(
        self,
        channel: Channel,
    ) -> impl Future<Output = Result<Response<Self::Response>, Status>> + Send;
}

macro_rules! command {
    ($request:ty, $response:ty, $variant:ident, $method:ident) => {
        impl Command for $request {
            type Response = $response;

            fn into_message(self) -> session_request::Command {
                session_request::Command::$variant(self)
            }

            fn response(outcome: Outcome) -> Option<$response> {
                match outcome {
                    Outcome::$variant(response) => Some(response),
                    _ => None,
                }
            }

            async fn call(self, channel: Channel) -> Result<Response<$response>, Status> {
                LockServiceClient::new(channel).$method(self).await
            }
        }
    };
}

command!(AcquireRequest, AcquireResponse, Acquire, acquire);
command!(RenewRequest, RenewResponse, Renew, renew);
command!(ReleaseRequest, ReleaseResponse, Release, release);
