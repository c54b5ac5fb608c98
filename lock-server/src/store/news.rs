//! News for who listens: about callers who wait at this server.

use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use super::Wake;

/// Where a store tells them.
#[derive(Debug)]
pub(super) struct News {
    sender: mpsc::UnboundedSender<Wake>,
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Wake>>>,
}

impl News {
    pub(super) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    /// Tells whoever listens, now or later. Bounded by those who wait: each is
    /// granted or settled once for each time that it asked.
    pub(super) fn send(&self, wake: Wake) {
        // Who listened may be gone: then nobody waits here.
        drop(self.sender.send(wake));
    }

    /// For a task that tells.
    pub(super) fn sender(&self) -> mpsc::UnboundedSender<Wake> {
        self.sender.clone()
    }

    /// For who listens; none for the second to ask.
    pub(super) fn receiver(&self) -> Option<mpsc::UnboundedReceiver<Wake>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
