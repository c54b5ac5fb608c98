//! What every gRPC server of this workspace does the same way: the standard services beside its
//! own, page tokens, and how a wrong request is told.

mod duration;
mod health;
pub mod health_check;
mod page_token;
mod transport;
#[cfg(feature = "testing")]
mod wire_bytes;
mod wrong_request;

pub use duration::duration;
pub use health::{Health, Readiness};
pub use page_token::PageTokens;
pub use transport::{DescriptorError, TransportConfig, router};
#[cfg(feature = "testing")]
pub use wire_bytes::wire_bytes;
pub use wrong_request::{BadRequest, bad_request};
