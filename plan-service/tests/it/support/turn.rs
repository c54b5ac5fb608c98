//! Most tests run beside each other; one that needs all of the machine runs when
//! no other does, so that nobody's short leases run out meanwhile.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

static TURNS: LazyLock<Arc<RwLock<()>>> = LazyLock::new(Arc::default);

/// Leave to run, for as long as it lives.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Beside others.
    Shared { _guard: OwnedRwLockReadGuard<()> },
    /// Alone.
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

impl Turn {
    pub(crate) async fn shared() -> Self {
        Self::Shared { _guard: TURNS.clone().read_owned().await }
    }

    pub(crate) async fn alone() -> Self {
        Self::Alone { _guard: TURNS.clone().write_owned().await }
    }
}
