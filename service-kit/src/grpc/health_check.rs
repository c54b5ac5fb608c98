//! The `health` command of a server: asks a running one how it is, for probes that run a command.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the server at this address whether its service is ready, or with `live` only whether the
/// process lives, and says so: 0 when it is well.
#[expect(clippy::print_stdout, reason = "what the command was for")]
pub async fn run(listen: SocketAddr, service: &str, live: bool) -> ExitCode {
    let service = if live { "" } else { service };
    let address = reachable(listen);
    match tokio::time::timeout(TIMEOUT, check(address, service)).await {
        Ok(Ok(ServingStatus::Serving)) => {
            println!("{address}: {}", if live { "alive" } else { "ready" });
            return ExitCode::SUCCESS;
        }
        Ok(Ok(status)) => eprintln!("{address}: {}", status.as_str_name()),
        Ok(Err(problem)) => eprintln!("{address}: {problem}"),
        Err(_elapsed) => eprintln!("{address}: no answer within {TIMEOUT:?}"),
    }
    ExitCode::FAILURE
}

async fn check(address: SocketAddr, service: &str) -> Result<ServingStatus, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| e.to_string())?;
    let channel = endpoint.connect().await.map_err(|error| format!("cannot connect: {error}"))?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let response = HealthClient::new(channel)
        .check(request)
        .await
        .map_err(|status| format!("{}: {}", status.code(), status.message()))?;
    Ok(response.into_inner().status())
}

/// Where a server that listens on every address is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
