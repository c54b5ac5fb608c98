//! What was measured: rows of figures, each figure once for each round.

use crate::{
    load::{Run, Script, micros},
    target::{Kind, Way},
    trouble::Trouble,
};

/// How far the share of a caller is from an even one, in percent, where it is farthest.
pub(crate) const OFF_EVEN: &str = "off even %";

/// One target in one scenario.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Which scenario.
    pub(crate) scenario: &'static str,
    /// Which case of it, where there are several.
    pub(crate) case: String,
    /// What was measured.
    pub(crate) target: &'static str,
    /// How it was called.
    pub(crate) way: &'static str,
    /// By how many.
    pub(crate) callers: usize,
    /// What a reader must know.
    pub(crate) note: &'static str,
    /// Why the figures are missing or not to be used.
    pub(crate) trouble: Option<Trouble>,
    figures: Vec<(String, Vec<f64>)>,
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

impl Row {
    /// With no figures yet.
    pub(crate) fn new(
        scenario: &'static str,
        kind: Kind,
        way: Way,
        callers: usize,
        case: impl Into<String>,
    ) -> Self {
        Self {
            scenario,
            case: case.into(),
            target: kind.name(),
            way: way.name(),
            callers,
            note: kind.note(),
            trouble: None,
            figures: Vec::new(),
        }
    }

    /// Adds the next round's value of a figure.
    pub(crate) fn add(&mut self, figure: &str, value: f64) {
        match self.figures.iter_mut().find(|(name, _)| name == figure) {
            Some((_, rounds)) => rounds.push(value),
            None => self.figures.push((figure.to_owned(), vec![value])),
        }
    }

    /// Adds what came of a run, which is not to be used if there was an error in it.
    pub(crate) fn add_run(&mut self, run: &Run, script: Script) {
        let steps = run.tally.steps as f64;
        self.add(script.unit(), steps / run.seconds);
        if script == Script::Contended {
            self.add("grants/s", run.tally.grants as f64 / run.seconds);
            self.add("conflicts/s", run.tally.conflicts as f64 / run.seconds);
        }
        if script == Script::HandOffs
            && let Some((least, most)) = run.shares()
        {
            self.add("least share", least);
            self.add("most share", most);
            self.add(OFF_EVEN, 100.0 * (most - 1.0).max(1.0 - least));
        }
        self.add_latency(run);
        let each = |seconds: f64| seconds * 1e6 / steps.max(1.0);
        if let Some(seconds) = run.cpu.server {
            self.add("server CPU µs", each(seconds));
        }
        if let Some(seconds) = run.cpu.database {
            self.add("database CPU µs", each(seconds));
        }
        self.add("target CPU µs", each(run.cpu.of_target()));
        self.add("tool CPU µs", each(run.cpu.tool));
        self.add_noise(run);
        self.add_errors(run);
    }

    /// Adds the latencies of a run.
    pub(crate) fn add_latency(&mut self, run: &Run) {
        for (name, quantile) in
            [("p50 µs", 0.5), ("p90 µs", 0.9), ("p99 µs", 0.99), ("p99.9 µs", 0.999)]
        {
            self.add(name, micros(&run.tally.latency, quantile));
        }
    }

    /// Adds how much of a core went to neither target nor tool.
    pub(crate) fn add_noise(&mut self, run: &Run) {
        self.add("others % of a core", 100.0 * run.cpu.of_others() / run.seconds);
    }

    /// Marks the row if there were errors.
    pub(crate) fn add_errors(&mut self, run: &Run) {
        let errors = run.tally.errors;
        let first = run.tally.first_error.as_deref().unwrap_or_default();
        if errors > 0 {
            self.fail(Trouble::failed(format!("{errors} errors, the first: {first}")));
        } else if run.tally.latency.is_empty() {
            self.fail(Trouble::failed("nothing was done in the time"));
        }
    }

    /// Marks the row; the first reason stays.
    pub(crate) fn fail(&mut self, trouble: Trouble) {
        self.trouble.get_or_insert(trouble);
    }

    /// All rounds of a figure, if the row may be used.
    pub(crate) fn rounds(&self, figure: &str) -> Option<&[f64]> {
        let found = self.figures.iter().find(|(name, _)| name == figure);
        found.filter(|_| self.trouble.is_none()).map(|(_, rounds)| rounds.as_slice())
    }

    /// The median of a figure.
    pub(crate) fn figure(&self, figure: &str) -> Option<f64> {
        self.rounds(figure).and_then(median)
    }

    /// All figures in their order.
    pub(crate) fn figures(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.figures.iter().map(|(name, rounds)| (name.as_str(), rounds.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_row_with_trouble_has_no_figures_to_use() {
        let mut row = Row::new("pairs", Kind::NoStore, Way::Unary, 64, "");
        for value in [1.0, 5.0, 3.0] {
            row.add("pairs/s", value);
        }
        assert_eq!(row.figure("pairs/s"), Some(3.0));
        row.fail(Trouble::failed("first"));
        row.fail(Trouble::failed("second"));
        assert_eq!(row.figure("pairs/s"), None);
        assert_eq!(row.trouble, Some(Trouble::failed("first")));
    }
}
