//! The `plan-service` command: reads the settings and calls the library.

use std::{env, process::ExitCode};

use plan_service::{
    Config, Server, StartError, config::Command, grpc::SERVICE_NAME, server::migrate, supervisor,
};
use service_kit::{
    grpc::health_check,
    shutdown::{Signals, run_until_signalled},
    telemetry,
};

fn main() -> ExitCode {
    // Before there is a thread: see the supervisor.
    if env::args_os().nth(1).is_some_and(|command| command == "supervise") {
        return supervisor::run();
    }
    let config = match Config::parse_from_args(env::args_os()) {
        Ok(config) => config,
        Err(error) => error.exit(),
    };
    if let Err(error) = telemetry::init(&config.telemetry()) {
        eprintln!("plan-service: {error}");
        return ExitCode::FAILURE;
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(config)),
        Err(error) => failed(&StartError::Runtime(error)),
    }
}

async fn run(config: Config) -> ExitCode {
    let done = match config.command {
        Some(Command::Health { live }) => {
            return health_check::run(config.listen, SERVICE_NAME, live).await;
        }
        Some(Command::Migrate) => bring_up_to_date(&config).await,
        None => serve(config).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

#[expect(clippy::print_stdout, reason = "whoever started the service reads its address there")]
async fn serve(config: Config) -> Result<(), StartError> {
    let signals = Signals::register().map_err(StartError::Signals)?;
    let starting = Box::pin(Server::start(config));
    run_until_signalled(signals, starting, |server, stop| {
        println!("plan-service listening on {}", server.address());
        server.run(stop.asked())
    })
    .await
}

#[expect(clippy::print_stdout, reason = "what the command was for")]
async fn bring_up_to_date(config: &Config) -> Result<(), StartError> {
    let database = migrate(config).await?;
    println!("the schema of {database} is up to date");
    Ok(())
}

fn failed(error: &StartError) -> ExitCode {
    eprintln!("plan-service: {}", error.report());
    ExitCode::from(error.exit_code())
}
