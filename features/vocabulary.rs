//! The words that steps take: owners, resources, spans and tables.

use std::{num::ParseIntError, str::FromStr};

use cucumber::{Parameter, gherkin::Step};
use prost_types::{Duration, Timestamp};
use proto::{ParseResourceError, lock::v1 as wire};

/// Who asks: a name such as Ann, which is the owner id as well.
#[derive(Debug, Clone, Parameter)]
#[param(name = "owner", regex = "[A-Z][a-z]+")]
pub(crate) struct Owner(pub(crate) String);

/// What is locked, such as `plan/42`.
#[derive(Debug, Clone, Parameter)]
#[param(name = "resource", regex = r"[a-z]+/[^ ]+")]
pub(crate) struct Resource(pub(crate) wire::Resource);

/// A span of time, such as `300 s`, `100 ms` or `-1 s`.
#[derive(Debug, Clone, Copy, Parameter)]
#[param(name = "span", regex = r"-?\d+ (?:ms|s)")]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Owner {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Resource {
    type Err = ParseResourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl FromStr for Span {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = text.split_once(' ').unwrap_or((text, "s"));
        let number: i64 = number.parse()?;
        let millis = if unit == "ms" { number } else { number * 1_000 };
        let nanos = i32::try_from(millis % 1_000 * 1_000_000).expect("below a second");
        Ok(Self(Duration { seconds: millis / 1_000, nanos }))
    }
}

impl Span {
    /// As the standard library has it.
    pub(crate) fn std(self) -> std::time::Duration {
        self.0.try_into().expect("a span that is not negative")
    }
}

/// Any string, as a table's cell or a step writes it: `(empty)`, `513 × a` for
/// 513 times an "a", `[U+0009]` for a character that cannot be written.
pub(crate) fn text(cell: &str) -> String {
    if cell == "(empty)" {
        return String::new();
    }
    if let Some((count, unit)) = cell.split_once(" × ") {
        return text(unit).repeat(count.parse().expect("how many times"));
    }
    let mut parts = cell.split("[U+");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_once(']').expect("a ] after [U+");
        let code = u32::from_str_radix(code, 16).expect("a code in hexadecimal");
        whole.push(char::from_u32(code).expect("a character"));
        whole.push_str(rest);
    }
    whole
}

/// A span as a table's cell writes it: `300 s`, or in the two fields of the
/// message, `1 s and -1 nanos`.
pub(crate) fn span(cell: &str) -> Duration {
    match cell.split_once(" s and ") {
        None => cell.parse::<Span>().expect("a span").0,
        Some((seconds, nanos)) => Duration {
            seconds: seconds.parse().expect("seconds"),
            nanos: nanos.trim_end_matches(" nanos").parse().expect("nanos"),
        },
    }
}

/// A moment as a table's cell writes it: `2026-11-21T00:00:00Z`, or in the two
/// fields of the message, as a [`span`].
pub(crate) fn moment(cell: &str) -> Timestamp {
    if cell.contains(" s and ") {
        let Duration { seconds, nanos } = span(cell);
        return Timestamp { seconds, nanos };
    }
    cell.parse().expect("a moment")
}

/// The rows of a step's table.
pub(crate) fn rows(step: &Step) -> &[Vec<String>] {
    &step.table.as_ref().expect("the step has a table").rows
}

/// The rows of a step's table of two columns.
pub(crate) fn pairs(step: &Step) -> impl Iterator<Item = (&str, &str)> {
    rows(step).iter().map(|row| match row.as_slice() {
        [left, right] => (left.as_str(), right.as_str()),
        other => panic!("a row of two cells, not {other:?}"),
    })
}

/// The cells of a step's table of one column.
pub(crate) fn column(step: &Step) -> Vec<&str> {
    rows(step).iter().map(|row| row[0].as_str()).collect()
}

/// A moment in microseconds, which is what the server counts in.
pub(crate) fn micros(moment: Option<&Timestamp>) -> i64 {
    let Timestamp { seconds, nanos } = moment.expect("the time is set");
    seconds * 1_000_000 + i64::from(*nanos) / 1_000
}

/// A span in microseconds.
pub(crate) fn span_micros(span: Option<&Duration>) -> i64 {
    let Duration { seconds, nanos } = span.expect("the span is set");
    seconds * 1_000_000 + i64::from(*nanos) / 1_000
}
