//! A terminal to run `lockctl` on.

use lock_server::testing::TestServer;
use service_kit::testing::Terminal;

use super::support::{DEADLINE, LOCKCTL, Lockctl, server};

/// A shell script on a terminal, that finds `lockctl` as `$LOCKCTL`.
pub(crate) fn start(url: &str, script: &str) -> Terminal {
    Terminal::start(script, [("LOCKCTL", LOCKCTL), ("LOCKCTL_ADDR", url)], DEADLINE)
}

/// A server, and a shell script that finds it.
pub(crate) async fn session(script: &str) -> (TestServer, Lockctl, Terminal) {
    let (server, lockctl) = server().await;
    let session = start(&server.url(), script);
    (server, lockctl, session)
}
