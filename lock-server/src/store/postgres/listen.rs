//! Listens for notifications from other servers that have granted a lock to one
//! who waits here. One connection for each server, opened when the first one
//! waits, and straight to the database: a transaction-pooling proxy does not
//! pass notifications on.
//!
//! Nothing depends on it but speed: what is not heard is found by looking
//! ([`Store::look_after_waiters`](crate::store::Store)).

use std::{sync::OnceLock, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::mpsc, task::AbortHandle};
use uuid::Uuid;

use super::{PostgresStore, apply};
use crate::store::Wake;

/// How long to wait before a connection that was not to be had is tried anew.
const PAUSE: Duration = Duration::from_secs(1);

/// The task that listens, once it does.
#[derive(Debug)]
pub(super) struct Listening {
    /// How to connect; none where there is only a way that does not pass
    /// notifications on.
    options: Option<PgConnectOptions>,
    task: OnceLock<AbortHandle>,
}

impl Listening {
    pub(super) fn new(options: Option<PgConnectOptions>) -> Self {
        let options = options.map(|options| options.application_name("lock-server listen"));
        Self { options, task: OnceLock::new() }
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop();
    }
}

impl PostgresStore {
    /// Begins to listen, unless it does already.
    pub(super) fn listen(&self) {
        let Some(options) = &self.listening.options else { return };
        self.listening.task.get_or_init(|| {
            let task = listen(options.clone(), self.id, self.news.sender());
            tokio::spawn(task).abort_handle()
        });
    }
}

/// The channel of a server.
fn channel(server: Uuid) -> String {
    format!("lock_server_{}", server.as_simple())
}

async fn listen(options: PgConnectOptions, server: Uuid, news: mpsc::UnboundedSender<Wake>) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options);
    loop {
        let Err(error) = listen_once(&pool, server, &news).await;
        tracing::debug!(error = &error as &dyn std::error::Error, "not listening: looking instead");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection is lost.
async fn listen_once(
    pool: &sqlx::PgPool,
    server: Uuid,
    news: &mpsc::UnboundedSender<Wake>,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(&channel(server)).await?;
    loop {
        // What was said while nobody listened is lost.
        drop(news.send(Wake::Missed));
        while let Some(notification) = listener.try_recv().await? {
            if let Some(wake) = apply::settled(notification.payload()) {
                drop(news.send(wake));
            }
        }
    }
}
