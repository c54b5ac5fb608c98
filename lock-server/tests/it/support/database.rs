//! Postgres beside the server: behind a proxy, and looked at with plain SQL.

use service_kit::testing::{TcpProxy, postgres};
use sqlx::{Connection as _, PgConnection};

/// A database that a test can take away.
pub(crate) struct Proxied {
    pub(crate) proxy: TcpProxy,
    /// Its URL through the proxy.
    pub(crate) url: String,
    /// Its URL past the proxy.
    pub(crate) direct: String,
}

impl Proxied {
    pub(crate) async fn start() -> Self {
        let direct = postgres::database().await.url().to_owned();
        let (_, place) = direct.split_once('@').unwrap();
        let (upstream, name) = place.split_once('/').unwrap();
        let proxy = TcpProxy::start(upstream.parse().unwrap()).await;
        let url = format!("postgres://postgres@{}/{name}", proxy.address());
        Self { proxy, url, direct }
    }

    /// How many resources whose id starts like this have a row.
    pub(crate) async fn rows(&self, prefix: &str) -> i64 {
        rows(&self.direct, prefix).await
    }
}

/// How many resources whose id starts like this have a row.
pub(crate) async fn rows(url: &str, prefix: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM locks WHERE starts_with(resource_id, $1)")
        .bind(prefix)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}
