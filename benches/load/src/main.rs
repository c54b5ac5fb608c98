//! `lock-bench`: puts load on `lock-server` and on what people use today, side by side, and says
//! whether the project's targets are met.
//!
//! From the outside in: `args` (the command line), `scenario` (what is measured), `compare` (the
//! targets in turns), `load` (closed and open loop), `caller` (one caller of each target), `target`
//! and `child` (processes), `serve` (the servers to compare with), `row`, `goals` and `report`
//! (what came of it).

mod args;
mod caller;
mod child;
mod compare;
mod cpu;
mod disk;
mod goals;
mod lab;
mod load;
mod machine;
mod part;
mod report;
mod row;
mod scenario;
mod schema;
mod serve;
mod table;
mod target;
mod trouble;

use std::process::ExitCode;

use clap::Parser as _;
use service_kit::shutdown::Signals;

use crate::{
    args::{Args, Command, Options},
    lab::Lab,
    target::find_lock_server,
    trouble::{During, Result, Trouble},
};

/// As many as the smallest machine has cores: the targets need some, too.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .during("start a runtime");
    let done = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match args.command {
                Command::Run(options) => run(options.sized()).await,
                Command::Serve(which) => serve::serve(which).await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("lock-bench: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Measures until all is done or somebody stops it. Either way all processes go.
async fn run(options: Options) -> Result<()> {
    // Better at once than after minutes.
    find_lock_server(options.lock_server.as_deref())?;
    let mut signals = Signals::register().during("catch signals")?;
    let mut lab = Lab::new(options);
    let done = tokio::select! {
        done = measure(&mut lab) => done,
        signal = signals.recv() => Err(Trouble::failed(format!("stopped by {signal}"))),
    };
    done?;
    if lab.failed() {
        return Err(Trouble::failed("some rows have no figures: see their remarks"));
    }
    Ok(())
}

async fn measure(lab: &mut Lab) -> Result<()> {
    scenario::measure(lab, report::print_scenario).await?;
    let postgres = lab.postgres_version().await;
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let machine = machine::describe(postgres, &format!("lock-bench {command}")).await;
    report::finish(lab, &machine)
}
