//! What each call of the lock API costs one caller, on both stores, beside
//! empty calls to the same server. README.md says how to run and read it.

mod calls;
mod report;
mod server;
mod store;

use std::{cell::RefCell, time::Duration};

use criterion::Criterion;
use tokio::runtime::{self, Runtime};

use crate::{
    calls::Taken,
    report::{Report, Sample},
    server::Server,
    store::Store,
};

/// How many samples of each benchmark, each of several calls.
const SAMPLES: usize = 20;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut bench = Bench {
        // The caller and its connection on one thread: an answer then costs no
        // hand-over between threads that the machine's load would blur.
        runtime: runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
        stores: Store::all(if smoke_run() { 2_500 } else { 10_000 }),
        report: Report::default(),
    };
    bench.measure(&mut criterion, "empty_call", calls::empty_call);
    bench.measure(&mut criterion, "acquire", calls::acquire);
    bench.measure(&mut criterion, "reacquire", calls::reacquire);
    bench.measure(&mut criterion, "renew", calls::renew);
    bench.measure(&mut criterion, "release", calls::release);
    bench.measure(&mut criterion, "conflict", calls::conflict);
    bench.measure(&mut criterion, "keep_alive_1000", calls::keep_alive_1000);
    bench.measure(&mut criterion, "list_10000", calls::list_10000);
    if !smoke_run() {
        bench.report.print();
    }
    criterion.final_summary();
}

/// Whether each call is to be made once, to see that it works, as Criterion
/// decides it too: `cargo bench` says `--bench`, and `cargo test` nothing.
fn smoke_run() -> bool {
    let said = |flag: &str| std::env::args().any(|argument| argument == flag);
    !said("--bench") || said("--test")
}

struct Bench {
    runtime: Runtime,
    stores: [Store; 2],
    report: Report,
}

impl Bench {
    /// Measures something on each store: `measure` does it so many times and
    /// tells how long that took.
    fn measure(
        &mut self,
        criterion: &mut Criterion,
        name: &'static str,
        measure: impl AsyncFn(&Server, u64) -> Taken,
    ) {
        let mut group = criterion.benchmark_group(name);
        for store in &self.stores {
            let samples = RefCell::new(Vec::new());
            group.bench_function(store.name(), |bencher| {
                let server = self.runtime.block_on(store.server());
                // No call yet, only what must be there before: inside of the
                // measurement it would count as work when Criterion plans how
                // often it can call.
                self.runtime.block_on(measure(server, 0));
                let sample = async |times| {
                    let taken = measure(server, times).await;
                    samples.borrow_mut().push(Sample::new(taken, times));
                    taken.by_calls
                };
                bencher.to_async(&self.runtime).iter_custom(&sample);
            });
            self.report.add(name, store.name(), samples.into_inner());
        }
        group.finish();
    }
}
