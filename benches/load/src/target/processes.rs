//! Starting the programs: ours, and those of others where they are installed, all durable alike.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo as _, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use service_kit::testing::free_port;

use super::{Kind, Target};
use crate::{
    caller::etcd,
    child::Child,
    load::Meter,
    serve::LISTENING,
    trouble::{During, Result, Trouble},
};

/// Where Debian puts it.
pub(crate) const ZOOKEEPER_JAR: &str = "/usr/share/java/zookeeper.jar";

/// Longer than any pause that a busy machine makes.
const ZOOKEEPER_SESSION: Duration = Duration::from_secs(30);

/// `lock-server` with its defaults, but for its log.
pub(super) async fn lock_server(program: &Path, database_url: Option<&str>) -> Result<Target> {
    let kind = match database_url {
        Some(_) => Kind::LockServerPostgres,
        None => Kind::LockServerSqlite,
    };
    let folder = Child::folder(kind.name())?;
    let file = format!("sqlite://{}", folder.join("locks.db").display());
    let url = database_url.unwrap_or(&file);
    let arguments = ["--listen", "127.0.0.1:0", "--log-level", "warn", "--database-url", url];
    let child = Child::start(kind.name(), folder, program, arguments)?;
    let address = child.wait_for(LISTENING).await?;
    Ok(running(kind, format!("http://{address}"), child))
}

/// One of this program's own servers.
pub(super) async fn serve(kind: Kind, arguments: impl IntoIterator<Item = &str>) -> Result<Target> {
    // This very program, even if its file has been built anew meanwhile.
    let program = format!("/proc/{}/exe", std::process::id());
    let arguments = std::iter::once("serve").chain(arguments);
    let child = Child::start(kind.name(), Child::folder(kind.name())?, program, arguments)?;
    let address = child.wait_for(LISTENING).await?;
    Ok(running(kind, format!("http://{address}"), child))
}

/// etcd with its defaults: it syncs its log before it answers.
pub(super) async fn etcd() -> Result<Target> {
    let program = find("etcd")?;
    etcd::built()?;
    let address = || format!("http://127.0.0.1:{}", free_port());
    let (client, peer) = (address(), address());
    let cluster = format!("default={peer}");
    let arguments = [
        ["--data-dir", "data"],
        ["--listen-client-urls", &client],
        ["--advertise-client-urls", &client],
        ["--listen-peer-urls", &peer],
        ["--initial-advertise-peer-urls", &peer],
        ["--initial-cluster", &cluster],
    ];
    let child = Child::start("etcd", Child::folder("etcd")?, program, arguments.as_flattened())?;
    child.wait_until(async || etcd::ready(&client).await).await?;
    Ok(running(Kind::Etcd, client, child))
}

/// Redis that syncs its log before it answers, and takes no snapshots.
pub(super) async fn redis() -> Result<Target> {
    let program = find("redis-server")?;
    let port = free_port().to_string();
    let arguments = [
        ["--port", &port],
        ["--bind", "127.0.0.1"],
        ["--save", ""],
        ["--appendonly", "yes"],
        ["--appendfsync", "always"],
    ];
    let child = Child::start("redis", Child::folder("redis")?, program, arguments.as_flattened())?;
    let url = format!("redis://127.0.0.1:{port}");
    child.wait_until(async || connect_to_redis(&url).await.is_ok()).await?;
    Ok(running(Kind::Redis, url, child))
}

/// A connection for many callers at a time.
pub(super) async fn connect_to_redis(url: &str) -> Result<MultiplexedConnection> {
    let info = url.into_connection_info().during("read the address of Redis")?;
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = Client::open(info).during("connect to Redis")?;
    // No deadline for an answer: a slow one is a figure, not an error.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.during("connect to Redis")
}

/// One ZooKeeper server that syncs its log before it answers.
pub(super) async fn zookeeper() -> Result<Target> {
    let java = find("java").map_err(|_| Trouble::NotInstalled("ZooKeeper (java)".to_owned()))?;
    if !Path::new(ZOOKEEPER_JAR).exists() {
        return Err(Trouble::NotInstalled("ZooKeeper".to_owned()));
    }
    let folder = Child::folder("zookeeper")?;
    let port = free_port();
    let settings = format!(
        "dataDir=data\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=2000\n\
         forceSync=yes\nmaxClientCnxns=0\nadmin.enableServer=false\n"
    );
    fs::write(folder.join("zoo.cfg"), settings).during("configure ZooKeeper")?;
    let main = "org.apache.zookeeper.server.ZooKeeperServerMain";
    let arguments = ["-Xmx1g", "-cp", ZOOKEEPER_JAR, main, "zoo.cfg"];
    let child = Child::start("zookeeper", folder, java, arguments)?;
    let url = format!("127.0.0.1:{port}");
    child.wait_until(async || connect_to_zookeeper(&url).await.is_ok()).await?;
    Ok(running(Kind::Zookeeper, url, child))
}

/// A session for many callers at a time.
pub(super) async fn connect_to_zookeeper(address: &str) -> Result<zookeeper_client::Client> {
    let connector = zookeeper_client::Client::connector();
    let connector = connector.with_session_timeout(ZOOKEEPER_SESSION).with_fail_eagerly();
    connector.connect(address).await.during("connect to ZooKeeper")
}

fn running(kind: Kind, url: String, child: Child) -> Target {
    let meter = Meter { server: Some(child.pid()), ..Meter::default() };
    Target { kind, url, meter, child: Some(child) }
}

/// A program of the search path.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    let found = places.find(|file| file.is_file());
    found.ok_or_else(|| Trouble::NotInstalled(program.to_owned()))
}
