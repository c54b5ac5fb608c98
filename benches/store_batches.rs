//! What a command costs the store in a batch of 1, 16 and 256, with no server
//! around it, beside upserts of as many rows in one commit: what the same
//! SQLite takes for the least that a durable lock could be.

use std::{cell::RefCell, path::Path, sync::Arc, time::Duration, time::Instant};

use criterion::Criterion;
use lock_server::{
    domain::{Acquire, Command, Metadata, Outcome, OwnerId, Release, Resource, ResourceType, Span},
    store::{
        DatabaseUrl, Migrate, Store, StoreOptions, WaitLimits, open, postgres::pooler::Pooler,
    },
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};
use rusqlite::{Connection, TransactionBehavior};
use service_kit::testing::PostgresServer;
use tokio::runtime::{self, Runtime};

/// How many commands at a time.
const SIZES: [usize; 3] = [1, 16, 256];
/// How many samples of each benchmark, each of several batches.
const SAMPLES: usize = 20;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let mut report = Report::default();
    for size in SIZES {
        let mut upserts = Upserts::open(&folder.path().join(format!("upserts-{size}.db")), size);
        report.measure(&mut criterion, size, "upserts", || upserts.commit());
        let file = folder.path().join(format!("locks-{size}.db"));
        let sqlite = || Batches::open(&runtime, &format!("sqlite://{}", file.display()), size);
        report.measure_store(&mut criterion, size, "sqlite", sqlite);
    }
    // Started when the first benchmark on it runs, if one does.
    let postgres = RefCell::new(None);
    for size in SIZES {
        let opened = || {
            let mut postgres = postgres.borrow_mut();
            let server = postgres.get_or_insert_with(PostgresServer::start);
            Batches::open(&runtime, runtime.block_on(server.database()).url(), size)
        };
        report.measure_store(&mut criterion, size, "postgres", opened);
    }
    if std::env::args().any(|argument| argument == "--bench") {
        report.print();
    }
    criterion.final_summary();
}

/// A store, and a batch for each half of a pair.
struct Batches<'a> {
    runtime: &'a Runtime,
    store: Arc<dyn Store>,
    acquires: Vec<Command>,
    releases: Vec<Command>,
}

impl<'a> Batches<'a> {
    fn open(runtime: &'a Runtime, url: &str, size: usize) -> Self {
        let options = StoreOptions {
            url: DatabaseUrl::parse(url).expect("a database's URL"),
            migrate: Migrate::Auto,
            max_connections: 8,
            batches: 1,
            timeout: Duration::from_secs(30),
            max_stall: Span::from(Duration::from_secs(60)),
            waiting: WaitLimits { most_for_one: 100, grace: Duration::from_secs(10) },
            listen_url: None,
        };
        let store = runtime.block_on(open(&options, Pooler::Auto)).expect("open the store");
        let kind = ResourceType::parse("plan").expect("a type");
        let resource = |id| Resource::parse_id(kind.clone(), id).expect("an id");
        let owner = OwnerId::parse("owner").expect("an owner");
        let ids: Vec<_> = (0..size).map(scattered).collect();
        let acquires = ids.iter().map(|id| {
            let (resource, metadata) = (resource(id), Metadata::default());
            let ttl = Span::from(Duration::from_secs(300));
            Command::Acquire(Acquire { resource, owner: owner.clone(), ttl, metadata, wait: None })
        });
        let releases = ids.iter().map(|id| {
            Command::Release(Release { resource: resource(id), owner: owner.clone(), token: None })
        });
        Self { runtime, store, acquires: acquires.collect(), releases: releases.collect() }
    }

    /// Takes all, then gives all back.
    fn pairs(&self) {
        let apply = |commands| self.runtime.block_on(self.store.apply(commands)).expect("apply");
        let granted = apply(&self.acquires);
        assert!(granted.iter().all(|one| matches!(one, Outcome::Granted { reentrant: false, .. })));
        let released = apply(&self.releases);
        assert!(released.iter().all(|one| *one == Outcome::Released { ended: true }));
    }
}

/// A table with a key and a value, as durable as the store's.
struct Upserts {
    database: Connection,
    ids: Vec<String>,
}

impl Upserts {
    fn open(path: &Path, size: usize) -> Self {
        let database = Connection::open(path).expect("open a file");
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE kept (id text PRIMARY KEY, value integer NOT NULL) STRICT",
            )
            .expect("make a table");
        Self { database, ids: (0..size).map(scattered).collect() }
    }

    /// As many commits as a pair has.
    fn commit(&mut self) {
        for _ in 0..2 {
            let begun = self.database.transaction_with_behavior(TransactionBehavior::Immediate);
            let transaction = begun.expect("begin");
            let mut upsert = transaction
                .prepare_cached(
                    "INSERT INTO kept VALUES (?1, 1)
                     ON CONFLICT (id) DO UPDATE SET value = value + 1",
                )
                .expect("prepare");
            for id in &self.ids {
                upsert.execute([id]).expect("upsert");
            }
            drop(upsert);
            transaction.commit().expect("commit");
        }
    }
}

/// Ids in no order.
fn scattered(number: usize) -> String {
    format!("{:016x}", (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// What was found: for each benchmark what a command took, on the clock and of
/// this process' CPU, in microseconds.
#[derive(Default)]
struct Report(Vec<(usize, &'static str, Vec<[f64; 2]>)>);

impl Report {
    fn measure_store<'a>(
        &mut self,
        criterion: &mut Criterion,
        size: usize,
        name: &'static str,
        open: impl Fn() -> Batches<'a>,
    ) {
        let mut batches: Option<Batches<'a>> = None;
        self.measure(criterion, size, name, || batches.get_or_insert_with(&open).pairs());
        if let Some(batches) = batches {
            batches.runtime.block_on(batches.store.close());
        }
    }

    /// Measures what carries out two commits of so many commands each.
    fn measure(
        &mut self,
        criterion: &mut Criterion,
        size: usize,
        name: &'static str,
        mut pairs: impl FnMut(),
    ) {
        let mut samples = Vec::new();
        criterion.benchmark_group(format!("batch_{size}")).bench_function(name, |bencher| {
            // What is made by the first is not measured.
            pairs();
            bencher.iter_custom(|times| {
                let (start, cpu) = (Instant::now(), cpu_seconds());
                (0..times).for_each(|_| pairs());
                let took = start.elapsed();
                let commands = (2 * size) as f64 * times as f64;
                let each = |seconds: f64| seconds * 1e6 / commands;
                samples.push([each(took.as_secs_f64()), each(cpu_seconds() - cpu)]);
                took
            });
        });
        // Criterion's samples of the warm-up come first.
        samples.drain(..samples.len().saturating_sub(SAMPLES));
        if !samples.is_empty() {
            self.0.push((size, name, samples));
        }
    }

    #[expect(clippy::print_stdout, reason = "what a benchmark finds goes to the terminal")]
    fn print(&self) {
        println!("| batch | store    | a command | CPU of it |");
        println!("| ----: | -------- | --------: | --------: |");
        for (size, name, samples) in &self.0 {
            let [took, cpu] = [0, 1].map(|which| median(samples, which));
            println!("| {size:>5} | {name:<8} | {took:>6.1} µs | {cpu:>6.1} µs |");
        }
        println!();
    }
}

fn median(samples: &[[f64; 2]], which: usize) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(|sample| sample[which]).collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    f64::midpoint(values[half], values[values.len() - 1 - half])
}

/// What this process has used of the CPU.
fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the process' own usage");
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6
}
