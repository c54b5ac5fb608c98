//! The plots: latency over load, and pairs a second.

use super::svg::{Anchor, COLOURS, Drawing};
use crate::{args::Scenario, lab::Lab, row::Row, table::number};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 620.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 420.0;

/// A file of a report.
pub(super) struct Plot {
    pub(super) file: &'static str,
    pub(super) title: &'static str,
    pub(super) svg: String,
}

/// One line: what it is, and its points.
type Line = (String, Vec<(f64, f64)>);

/// Those for which there are figures.
pub(super) fn plots(lab: &Lab) -> Vec<Plot> {
    let latency = |file, title, figure| {
        let lines = lines(lab, figure);
        (!lines.is_empty()).then(|| Plot { file, title, svg: over_load(title, &lines) })
    };
    let pairs: Vec<&Row> = usable(lab, Scenario::Pairs.name());
    let title = "Durable pairs of acquire and release a second, closed loop";
    let bars =
        (!pairs.is_empty()).then(|| Plot { file: "pairs.svg", title, svg: bars(title, &pairs) });
    [
        bars,
        latency("latency-p50.svg", "Latency over load, open loop, median", "p50 µs"),
        latency("latency-p99.svg", "Latency over load, open loop, 99th percentile", "p99 µs"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn usable<'a>(lab: &'a Lab, scenario: &str) -> Vec<&'a Row> {
    let rows = lab.rows.iter();
    rows.filter(|row| row.scenario == scenario && row.trouble.is_none()).collect()
}

fn lines(lab: &Lab, figure: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in usable(lab, Scenario::OpenLoop.name()) {
        let Some(point) = row.figure("offered pairs/s").zip(row.figure(figure)) else { continue };
        let name = format!("{}, {}", row.target, row.way);
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push(point),
            None => lines.push((name, vec![point])),
        }
    }
    lines
}

/// Latency on a logarithmic scale over the offered rate.
fn over_load(title: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let most = nice(points().map(|point| point.0).fold(1.0, f64::max));
    let (low, high) = decades(points().map(|point| point.1));
    let x = |rate: f64| LEFT + (RIGHT - LEFT) * rate / most;
    let y = |micros: f64| BOTTOM - (BOTTOM - TOP) * (micros.max(1.0).log10() - low) / (high - low);
    let mut drawing = Drawing::new(WIDTH, BOTTOM + 50.0, title);
    drawing.text((LEFT, TOP - 18.0), Anchor::Start, title);
    for step in 0..=5 {
        let rate = most * f64::from(step) / 5.0;
        drawing.line((x(rate), TOP), (x(rate), BOTTOM), "#e4e4e4");
        drawing.text((x(rate), BOTTOM + 18.0), Anchor::Middle, &format!("{rate:.0}"));
    }
    drawing.text((x(most / 2.0), BOTTOM + 38.0), Anchor::Middle, "pairs/s offered");
    for decade in (low as i32)..=(high as i32) {
        for part in [1.0, 2.0, 5.0] {
            let micros = part * 10f64.powi(decade);
            if y(micros) < TOP - 0.1 {
                break;
            }
            drawing.line((LEFT, y(micros)), (RIGHT, y(micros)), "#e4e4e4");
            drawing.text((LEFT - 6.0, y(micros) + 4.0), Anchor::End, &time(micros));
        }
    }
    for (place, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[place % COLOURS.len()];
        let points: Vec<_> = points.iter().map(|&(rate, micros)| (x(rate), y(micros))).collect();
        drawing.path(&points, colour, name.ends_with("stream"));
        let level = TOP + 12.0 + 20.0 * place as f64;
        let legend = [(RIGHT + 14.0, level), (RIGHT + 44.0, level)];
        drawing.path(&legend, colour, name.ends_with("stream"));
        drawing.text((RIGHT + 50.0, level + 4.0), Anchor::Start, name);
    }
    drawing.finish()
}

/// One bar for each row.
fn bars(title: &str, rows: &[&Row]) -> String {
    const HEIGHT: f64 = 20.0;
    const NAMES: f64 = 270.0;
    let rates = rows.iter().map(|row| row.figure("pairs/s").unwrap_or(0.0));
    let most = rates.clone().fold(1.0, f64::max);
    let mut drawing = Drawing::new(WIDTH, TOP + HEIGHT * rows.len() as f64 + 10.0, title);
    drawing.text((10.0, TOP - 18.0), Anchor::Start, title);
    for ((place, row), rate) in rows.iter().enumerate().zip(rates) {
        let top = TOP + HEIGHT * place as f64;
        let name = format!("{}, {}, {} callers", row.target, row.way, row.callers);
        let colour = match row.target {
            "lock-server-postgres" => COLOURS[0],
            "lock-server-sqlite" => COLOURS[2],
            _ => COLOURS[5],
        };
        let width = (WIDTH - NAMES - 90.0) * rate / most;
        drawing.text((NAMES - 8.0, top + 14.0), Anchor::End, &name);
        drawing.bar((NAMES, top + 2.0), (width, HEIGHT - 4.0), colour);
        drawing.text((NAMES + width + 6.0, top + 14.0), Anchor::Start, &number(rate));
    }
    drawing.finish()
}

/// Whole decades around all values.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let least = values.clone().fold(f64::INFINITY, f64::min).max(1.0);
    let most = values.fold(1.0, f64::max);
    let (low, high) = (least.log10().floor(), most.log10().ceil());
    (low, high.max(low + 1.0))
}

/// The next number of one digit.
fn nice(value: f64) -> f64 {
    let unit = 10f64.powf(value.log10().floor());
    (value / unit).ceil() * unit
}

fn time(micros: f64) -> String {
    match micros {
        micros if micros < 1e3 => format!("{micros:.0} µs"),
        micros if micros < 1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.0} s", micros / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        assert_eq!(nice(23_400.0), 30_000.0);
        assert_eq!(decades([90.0, 12_000.0].into_iter()), (1.0, 5.0));
        assert_eq!(decades([100.0].into_iter()), (2.0, 3.0));
        assert_eq!([50.0, 2e3, 5e6].map(time), ["50 µs", "2 ms", "5 s"]);
    }

    #[test]
    fn a_plot_is_one_drawing_with_all_lines() {
        let line = |name: &str| (name.to_owned(), vec![(1_000.0, 300.0), (2_000.0, 900.0)]);
        let svg = over_load("a < b", &[line("x, unary"), line("x, stream")]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt; b"));
        assert_eq!(svg.matches("<polyline").count(), 4);
    }
}
