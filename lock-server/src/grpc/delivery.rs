//! Knows when the answer to a call is on its way: the transport has asked for its
//! body. What it never asks for, because the call was cancelled meanwhile, has
//! granted nobody anything.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt as _, TryFutureExt as _, future::BoxFuture};
use http_body::{Frame, SizeHint};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, Service, http},
    server::NamedService,
};

use crate::engine::Receipt;

/// A service whose answers may come with a [`Receipt`].
#[derive(Debug, Clone)]
pub(super) struct Delivery<S>(pub(super) S);

/// The body of an answer that has one.
struct Receipted {
    body: Body,
    receipt: Option<Receipt>,
}

impl<S, B> Service<http::Request<B>> for Delivery<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.0.call(request).map_ok(receipted).boxed()
    }
}

impl<S: NamedService> NamedService for Delivery<S> {
    const NAME: &'static str = S::NAME;
}

fn receipted(mut answer: http::Response<Body>) -> http::Response<Body> {
    match answer.extensions_mut().remove::<Receipt>() {
        None => answer,
        Some(receipt) => answer.map(|body| Body::new(Receipted { body, receipt: Some(receipt) })),
    }
}

impl http_body::Body for Receipted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = &frame
            && let Some(receipt) = self.receipt.take()
        {
            receipt.sent();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
