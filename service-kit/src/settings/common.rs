//! Settings that every server has. Their environment variables are those of the program: see
//! [`parse`](super::parse).

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::span;
use crate::telemetry::{self, LogFormat, TelemetryOptions};

/// How the server stops.
#[derive(Debug, Clone, Args)]
pub struct ShutdownConfig {
    /// How long what is under way may take to finish when the server stops.
    #[arg(long, global = true, value_name = "SPAN", default_value = "20s", value_parser = span)]
    pub shutdown_grace: Duration,
}

/// What the server logs, on standard error.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// One line for people, or one JSON object a line.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// error, warn, info, debug, trace or off, or a list such as info,h2=debug.
    /// debug shows every request.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "info",
        value_parser = telemetry::level,
    )]
    pub log_level: String,
}

impl LogConfig {
    /// How to log.
    pub fn telemetry(&self) -> TelemetryOptions {
        TelemetryOptions { format: self.log_format, level: self.log_level.clone() }
    }
}

/// Plain text on an address that others can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "--listen {listen} can be reached from other machines, and this server has no encryption: \
     listen on a loopback address such as 127.0.0.1:{port}, or say --insecure if the network \
     between is yours",
    listen = .0,
    port = .0.port()
)]
pub struct PlainText(pub SocketAddr);

/// Allows plain text on loopback, and elsewhere only to who says `--insecure`.
///
/// # Errors
///
/// When others could read it.
pub fn check_plain_text(listen: SocketAddr, insecure: bool) -> Result<(), PlainText> {
    if listen.ip().is_loopback() || insecure { Ok(()) } else { Err(PlainText(listen)) }
}

/// A clap value parser for an address to listen on; the port is that of the example.
pub fn listen<const PORT: u16>(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("not an IP address with a port; write one such as 127.0.0.1:{PORT} or [::1]:{PORT}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_loopback_unless_insecure() {
        let check = |listen: &str, insecure| check_plain_text(listen.parse().unwrap(), insecure);
        for (listen, insecure) in [("127.0.0.1:1", false), ("[::1]:1", false), ("0.0.0.0:1", true)]
        {
            check(listen, insecure).unwrap();
        }
        let refused = check("0.0.0.0:7", false).unwrap_err().to_string();
        assert!(refused.contains("--listen 0.0.0.0:7"), "{refused}");
        assert!(refused.contains("127.0.0.1:7, or say --insecure"), "{refused}");
    }

    #[test]
    fn an_address_is_an_ip_with_a_port() {
        assert_eq!(listen::<5>("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        for wrong in ["", "localhost:80", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(listen::<5>(wrong).unwrap_err().contains("127.0.0.1:5"), "{wrong}");
        }
    }
}
