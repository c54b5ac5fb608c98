//! The lock server of a test, which can be taken away and come back.

use lock_server::testing::TestServer;
use proto::lock::v1::{self as wire, lock_service_client::LockServiceClient};
use service_kit::testing::free_port;
use tonic::transport::{Channel, Endpoint};

use super::DEADLINE;

/// A lock server on one port and one database, whatever becomes of it.
#[derive(Debug)]
pub(crate) struct Locks {
    flags: Vec<String>,
    url: String,
    server: Option<TestServer>,
}

impl Locks {
    /// Starts it with leases of that length (`3s`).
    pub(crate) async fn start(database: &str, lease: &str) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let (plan, project) = (format!("plan={lease}"), format!("project={lease}"));
        let flags = [
            "--database-url",
            database,
            "--listen",
            &listen,
            "--min-ttl",
            "100ms",
            "--default-ttl",
            &plan,
            "--default-ttl",
            &project,
        ];
        let flags = flags.map(str::to_owned).to_vec();
        let mut locks = Self { flags, url: format!("http://{listen}"), server: None };
        locks.start_again().await;
        locks
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it with all its connections.
    pub(crate) fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
    }

    /// Starts it where it was.
    pub(crate) async fn start_again(&mut self) {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        self.server = Some(TestServer::start(&flags).await);
    }

    /// Another server on the same database, elsewhere.
    pub(crate) async fn start_elsewhere(&self) -> TestServer {
        let mut flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        let at = flags.iter().position(|flag| *flag == "--listen").unwrap();
        flags[at + 1] = "127.0.0.1:0";
        TestServer::start(&flags).await
    }

    /// The live locks, as `type/id`.
    pub(crate) async fn held(&self) -> Vec<String> {
        let request = wire::ListLocksRequest { page_size: 1_000, ..Default::default() };
        let answer = lock_client(&self.url).list_locks(request).await.unwrap().into_inner();
        answer.locks.iter().map(|lock| lock.resource.as_ref().unwrap().to_string()).collect()
    }
}

/// A client on a connection of its own.
pub(crate) fn lock_client(url: &str) -> LockServiceClient<Channel> {
    let channel = Endpoint::from_shared(url.to_owned()).unwrap().timeout(DEADLINE).connect_lazy();
    LockServiceClient::new(channel)
}
