//! What a supervisor says.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::supervisor::protocol::{self, Decoder, End, Kind};

/// Reads it as it comes, and no further than it is asked for: the step waits for
/// whoever reads its output.
#[derive(Debug)]
pub(super) struct Reports<R> {
    source: R,
    decoder: Decoder,
}

impl<R: AsyncRead + Unpin> Reports<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, decoder: Decoder::default() }
    }

    /// The next part of the step's output, or its end. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, End> {
        loop {
            // What makes no sense comes from no supervisor.
            match self.decoder.next().map_err(|_| End::SupervisorGone)? {
                Some((Kind::Bytes, bytes)) => return Ok(bytes),
                Some((Kind::Json, content)) => {
                    return Err(protocol::parse(&content).unwrap_or(End::SupervisorGone));
                }
                None => {}
            }
            match self.source.read_buf(self.decoder.buffer()).await {
                Ok(0) | Err(_) => return Err(End::SupervisorGone),
                Ok(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8]) -> (Vec<u8>, End) {
        let mut reports = Reports::new(bytes);
        let mut output = Vec::new();
        loop {
            match reports.next().await {
                Ok(part) => output.extend(part),
                Err(end) => return (output, end),
            }
        }
    }

    #[tokio::test]
    async fn output_comes_before_the_end() {
        let mut bytes = protocol::header(Kind::Bytes, 2).to_vec();
        bytes.extend(b"hi");
        bytes.extend(protocol::message(&End::Signaled(9)));
        assert_eq!(all(&bytes).await, (b"hi".to_vec(), End::Signaled(9)));
    }

    #[tokio::test]
    async fn a_supervisor_that_breaks_off_is_gone() {
        let mut bytes = protocol::header(Kind::Bytes, 2).to_vec();
        bytes.extend(b"hi");
        let whole = bytes.clone();
        bytes.extend(&protocol::message(&End::Exited(0))[..7]);
        assert_eq!(all(&bytes).await, (b"hi".to_vec(), End::SupervisorGone));
        assert_eq!(all(&whole).await, (b"hi".to_vec(), End::SupervisorGone));
        assert_eq!(all(b"what?").await, (Vec::new(), End::SupervisorGone));
    }
}
