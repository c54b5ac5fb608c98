//! A loopback TCP proxy that takes a server away without touching the server.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::free_port;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    Mute,
    Stall,
    Cut,
}

/// Passes bytes between its callers and one server, until told not to.
///
/// It lives in the runtime of the test that starts it and ends with the value.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    wanted: watch::Sender<Mode>,
    reached: watch::Receiver<Mode>,
    task: JoinHandle<()>,
}

impl TcpProxy {
    /// Starts a proxy in front of `upstream`.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).await.expect("bind the proxy");
        let address = listener.local_addr().expect("the proxy's address");
        let (wanted, orders) = watch::channel(Mode::Pass);
        let (reports, reached) = watch::channel(Mode::Pass);
        let task = tokio::spawn(serve(listener, upstream, orders, reports));
        Self { address, wanted, reached, task }
    }

    /// Where callers connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and refuses new ones, as a dead process does.
    pub async fn cut(&self) {
        self.become_mode(Mode::Cut).await;
    }

    /// Freezes all connections and accepts new ones that get no answer, as a dead network does.
    pub async fn stall(&self) {
        self.become_mode(Mode::Stall).await;
    }

    /// Passes what callers send, and holds back what the server answers.
    pub async fn mute(&self) {
        self.become_mode(Mode::Mute).await;
    }

    /// Passes everything again; what a stalled connection has sent meanwhile arrives now.
    pub async fn resume(&self) {
        self.become_mode(Mode::Pass).await;
    }

    async fn become_mode(&self, mode: Mode) {
        self.wanted.send(mode).expect("the proxy runs");
        let mut reached = self.reached.clone();
        reached.wait_for(|now| *now == mode).await.expect("the proxy runs");
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    upstream: SocketAddr,
    mut orders: watch::Receiver<Mode>,
    reports: watch::Sender<Mode>,
) {
    let address = listener.local_addr().expect("the proxy's address");
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let mode = *orders.borrow_and_update();
        if mode == Mode::Cut {
            listener = None;
            connections.shutdown().await;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.expect("bind the proxy again"));
        }
        reports.send_replace(mode);
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            // A caller that has gone again is no caller.
            Some(accepted) = accept(listener.as_ref()) => if let Ok((caller, _)) = accepted {
                connections.spawn(connect(caller, upstream, orders.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    Some(listener?.accept().await)
}

/// When what a caller sends is passed, and when what the server answers.
const REQUESTS: [Mode; 2] = [Mode::Pass, Mode::Mute];
const ANSWERS: [Mode; 1] = [Mode::Pass];

async fn connect(caller: TcpStream, upstream: SocketAddr, mut mode: watch::Receiver<Mode>) {
    if mode.wait_for(|now| REQUESTS.contains(now)).await.is_err() {
        return;
    }
    // An upstream that is not there ends the caller's connection.
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let ((from_caller, to_caller), (from_server, to_server)) =
        (caller.into_split(), server.into_split());
    tokio::join!(
        pump(from_caller, to_server, mode.clone(), &REQUESTS),
        pump(from_server, to_caller, mode, &ANSWERS)
    );
}

/// Copies one direction up to its end, holding what it has read while the proxy does not pass it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    passes: &[Mode],
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        if mode.wait_for(|now| passes.contains(now)).await.is_err() {
            return;
        }
        match read {
            Ok(length) if length > 0 => {
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
            // Dropping the write half tells the other side.
            _ => return,
        }
    }
}
