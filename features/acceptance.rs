//! Runs the features of this folder against real servers over gRPC, once on
//! each store, and exits with 1 unless every scenario has passed.
//!
//! A scenario tagged `@postgres` or `@sqlite` runs on that store only. To run
//! a part: `cargo test -p features -- --name 'a regex'`, or `--tags @postgres`.

mod answer;
mod draft;
mod steps;
mod vocabulary;
mod world;

use std::process::ExitCode;

use cucumber::{
    StatsWriter as _, WriterExt as _, cli, codegen::WorldInventory, event::ScenarioFinished,
    gherkin, parser, runner, tag::Ext as _, writer,
};
use futures::FutureExt as _;

use crate::world::{
    LockWorld, Store,
    plans::{PlanWorld, supervise},
};

type Options = cli::Opts<parser::basic::Cli, runner::basic::Cli, writer::basic::Cli>;

/// Each scenario has a server and a database of its own: more at a time would
/// only wait for the processor.
const SCENARIOS_AT_A_TIME: usize = 8;

/// How many scenarios passed, and how many did not.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: usize,
    failed: usize,
}

/// A world of scenarios.
trait Scenarios: cucumber::World + WorldInventory + std::fmt::Debug {
    /// Whether a feature file, by its name, is of this world.
    fn has(file: &str) -> bool;

    /// Says where the scenario's servers keep what they have.
    fn begin(&mut self, store: Store);

    /// What must hold when a scenario has passed.
    fn end(&mut self) -> impl Future<Output = ()>;
}

impl Scenarios for LockWorld {
    fn has(file: &str) -> bool {
        !PlanWorld::has(file)
    }

    fn begin(&mut self, store: Store) {
        self.use_store(store);
    }

    async fn end(&mut self) {
        self.assert_nothing_is_left_in_line().await;
    }
}

impl Scenarios for PlanWorld {
    fn has(file: &str) -> bool {
        file.starts_with("plan_")
    }

    fn begin(&mut self, store: Store) {
        self.use_store(store);
    }

    async fn end(&mut self) {
        self.assert_nothing_is_left().await;
    }
}

fn main() -> ExitCode {
    // Before there is a thread: this program is also what plan services start.
    supervise().unwrap_or_else(run_features)
}

#[tokio::main]
async fn run_features() -> ExitCode {
    let mut total = Count::default();
    let mut lines = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        let locks = run::<LockWorld>(store, Options::parsed()).await;
        let plans = run::<PlanWorld>(store, Options::parsed()).await;
        let (passed, failed) = (locks.passed + plans.passed, locks.failed + plans.failed);
        lines.push(format!("{store}: {passed} scenarios passed, {failed} failed"));
        total.passed += passed;
        total.failed += failed;
    }
    lines.push(format!("{} passed, {} failed", total.passed, total.failed));
    say(&format!("\n{}", lines.join("\n")));
    if total.failed == 0 && total.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the scenarios of one world on one store.
async fn run<W: Scenarios>(store: Store, mut options: Options) -> Count {
    say(&format!("\n=== Every feature on {store} ==="));
    let (names, tags) = (options.re_filter.take(), options.tags_filter.take());
    let wanted = move |feature: &gherkin::Feature,
                       _: Option<&gherkin::Rule>,
                       scenario: &gherkin::Scenario| {
        let all_tags = feature.tags.iter().chain(&scenario.tags);
        let elsewhere = store.other().tag();
        let file = feature.path.as_ref().and_then(|path| path.file_name()?.to_str());
        file.is_some_and(W::has)
            && all_tags.clone().all(|tag| tag != elsewhere)
            && names.as_ref().is_none_or(|names| names.is_match(&scenario.name))
            && tags.as_ref().is_none_or(|tags| tags.eval(all_tags))
    };
    let writer = W::cucumber()
        .max_concurrent_scenarios(SCENARIOS_AT_A_TIME)
        .before(move |_, _, _, world| async move { world.begin(store) }.boxed_local())
        .after(|_, _, _, event, world| {
            async move {
                if let (Some(world), ScenarioFinished::StepPassed) = (world, event) {
                    world.end().await;
                }
            }
            .boxed_local()
        })
        .with_writer(writer::Basic::stdout().summarized().repeat_failed().fail_on_skipped())
        .with_cli(options)
        .filter_run(env!("CARGO_MANIFEST_DIR"), wanted)
        .await;
    let scenarios = writer.scenarios_stats();
    // A file that cannot be read and a hook that panics are no scenarios, and
    // fail the run all the same.
    let others = writer.parsing_errors() + writer.hook_errors();
    Count { passed: scenarios.passed, failed: scenarios.failed + scenarios.skipped + others }
}

#[expect(clippy::print_stdout, reason = "what a test run prints is its result")]
fn say(text: &str) {
    println!("{text}");
}
