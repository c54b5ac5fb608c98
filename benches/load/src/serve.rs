//! Servers to compare with, of the same contract: each runs as a process of its own.

mod answer;
mod no_store;
mod obvious;
mod service;

use clap::Subcommand;
use proto::lock::v1::lock_service_server::LockServiceServer;
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};

use self::{
    no_store::NoStore,
    obvious::Obvious,
    service::{Backend, Service},
};
use crate::trouble::{During, Result};

/// What a server prints before its address, as `lock-server` does.
pub(crate) const LISTENING: &str = "listening on";

/// Which server.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Serve {
    /// Answers at once and keeps nothing.
    NoStore,
    /// Sends one statement for each request, over a pool of connections.
    Obvious {
        /// A Postgres database with the table.
        #[arg(long)]
        database_url: String,
        /// How many connections.
        #[arg(long)]
        pool: u32,
    },
}

/// Serves until the process is killed.
pub(crate) async fn serve(which: Serve) -> Result<()> {
    match which {
        Serve::NoStore => listen(NoStore::default()).await,
        Serve::Obvious { database_url, pool } => {
            listen(Obvious::connect(&database_url, pool).await?).await
        }
    }
}

#[expect(clippy::print_stdout, reason = "whoever started the server reads its address there")]
async fn listen(backend: impl Backend) -> Result<()> {
    // As lock-server, so that windows make no difference.
    let listener = TcpListener::bind("127.0.0.1:0").await.during("listen")?;
    let address = listener.local_addr().during("listen")?;
    println!("lock-bench {LISTENING} {address}");
    let connections = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(LockServiceServer::new(Service::new(backend)))
        .serve_with_incoming(connections)
        .await
        .during("serve")
}
