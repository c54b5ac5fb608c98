//! The `lock-server` command: reads the settings and calls the library.

use std::{env, process::ExitCode};

use lock_server::{Config, Server, StartError, config::Command, grpc::SERVICE_NAME};
use service_kit::{
    grpc::health_check,
    shutdown::{Signals, run_until_signalled},
    telemetry,
};

#[tokio::main]
async fn main() -> ExitCode {
    let config = match Config::parse_from_args(env::args_os()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    if let Err(error) = telemetry::init(&config.telemetry()) {
        eprintln!("lock-server: {error}");
        return ExitCode::FAILURE;
    }
    match config.command {
        Some(Command::Health { live }) => {
            health_check::run(config.listen, SERVICE_NAME, live).await
        }
        Some(Command::Migrate) => exit(migrate(config).await),
        None => exit(serve(config).await),
    }
}

#[expect(clippy::print_stdout, reason = "whoever started the server reads its address there")]
async fn serve(config: Config) -> Result<(), StartError> {
    let signals = Signals::register().map_err(StartError::Signals)?;
    let starting = Box::pin(Server::start(config));
    run_until_signalled(signals, starting, |server, stop| {
        println!("lock-server listening on {}", server.address());
        server.run(stop.asked())
    })
    .await
}

#[expect(clippy::print_stdout, reason = "what the command was for")]
async fn migrate(config: Config) -> Result<(), StartError> {
    let database = config.store.options(&config.waiting)?.url.to_string();
    let store = lock_server::open_store(&config).await?;
    store.close().await;
    println!("the schema of {database} is up to date");
    Ok(())
}

fn exit(result: Result<(), StartError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lock-server: {}", error.report());
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        }
    }
}
