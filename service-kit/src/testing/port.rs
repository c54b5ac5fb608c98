//! A port for something that must know its port before it starts.

use std::net::TcpListener;

/// A loopback port that nothing listens on. It lies below the range that outgoing connections take
/// theirs from, so that it stays free while its server is down.
pub fn free_port() -> u16 {
    let mut candidates = std::iter::repeat_with(|| fastrand::u16(15_000..32_000)).take(1_000);
    let free = candidates.find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    free.expect("a free port on 127.0.0.1")
}
