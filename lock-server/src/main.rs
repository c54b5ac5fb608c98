//! The `lock-server` command: reads the settings and calls the library.

use std::{env, process::ExitCode};

use lock_server::{Config, Server, StartError, config::Command};
use service_kit::{shutdown::Signals, telemetry};

mod health_check;

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
        Some(Command::Health { live }) => health_check::run(config.listen, live).await,
        Some(Command::Migrate) => exit(migrate(config).await),
        None => exit(serve(config).await),
    }
}

#[expect(clippy::print_stdout, reason = "whoever started the server reads its address there")]
async fn serve(config: Config) -> Result<(), StartError> {
    let mut signals = Signals::register().map_err(StartError::Signals)?;
    let server = tokio::select! {
        server = Server::start(config) => server?,
        signal = signals.recv() => {
            tracing::info!(signal, "stopped before it could serve");
            return Ok(());
        }
    };
    println!("lock-server listening on {}", server.address());
    let mut again = std::pin::pin!(async {
        let first = signals.recv().await;
        (first, signals)
    });
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let mut run =
        std::pin::pin!(server.run(async { stopped.await.unwrap_or("the signal handler is gone") }));
    let mut signals = tokio::select! {
        result = &mut run => return result,
        (first, signals) = &mut again => {
            let _ = stop.send(first);
            signals
        }
    };
    tokio::select! {
        result = &mut run => result,
        second = signals.recv() => {
            tracing::warn!(signal = second, "a second signal: stopping at once");
            Ok(())
        }
    }
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
