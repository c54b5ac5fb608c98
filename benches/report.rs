//! The closing table: what each call takes, and how many empty calls made
//! in turns with it that is.

use std::time::Duration;

use crate::{SAMPLES, calls::Taken};

/// What the benchmarks of this run have found.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// One benchmark on one store.
struct Row {
    benchmark: &'static str,
    store: &'static str,
    samples: Vec<Sample>,
}

/// What one call took, and one of the empty calls in turns with it.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    call: f64,
    empty_call: f64,
}

impl Sample {
    /// From what so many calls took.
    pub(crate) fn new(taken: Taken, times: u64) -> Self {
        let each = |all: Duration| all.as_secs_f64() / times as f64;
        Self { call: each(taken.by_calls), empty_call: each(taken.by_empty_calls) }
    }
}

impl Report {
    /// Adds what one benchmark found; no samples, if it was filtered out.
    pub(crate) fn add(
        &mut self,
        benchmark: &'static str,
        store: &'static str,
        mut samples: Vec<Sample>,
    ) {
        // Criterion's samples of the warm-up come first.
        samples.drain(..samples.len().saturating_sub(SAMPLES));
        if !samples.is_empty() {
            self.rows.push(Row { benchmark, store, samples });
        }
    }

    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "what a benchmark finds goes to the terminal")]
    pub(crate) fn print(&self) {
        println!("| benchmark       | store    |    one call | empty call | ratio |");
        println!("| --------------- | -------- | ----------: | ---------: | ----: |");
        for Row { benchmark, store, samples } in &self.rows {
            let call = median(samples, |sample| sample.call) * 1e6;
            let empty_call = median(samples, |sample| sample.empty_call) * 1e6;
            let ratio = median(samples, |sample| sample.call / sample.empty_call);
            println!(
                "| {benchmark:<15} | {store:<8} | {call:>8.0} µs | {empty_call:>7.0} µs | {ratio:>5.1} |"
            );
        }
        println!();
    }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    f64::midpoint(values[half], values[values.len() - 1 - half])
}
