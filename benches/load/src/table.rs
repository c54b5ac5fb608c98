//! Rows as tables, for a terminal and for Markdown alike.

use crate::row::Row;

/// The rows of one scenario as a Markdown table with aligned columns.
pub(crate) fn table(rows: &[&Row]) -> String {
    let names = columns(rows);
    let with_cases = rows.iter().any(|row| !row.case.is_empty());
    let mut head = vec!["target", "way", "callers"];
    head.extend(with_cases.then_some("case"));
    head.extend(&names);
    head.push("remarks");
    let body = rows.iter().map(|row| {
        let mut cells = vec![row.target.to_owned(), row.way.to_owned(), row.callers.to_string()];
        cells.extend(with_cases.then(|| row.case.clone()));
        cells.extend(names.iter().map(|name| row.figure(name).map_or("–".to_owned(), number)));
        cells.push(match &row.trouble {
            Some(trouble) => one_line(&trouble.to_string()),
            None => row.note.to_owned(),
        });
        cells
    });
    aligned(&head, &body.collect::<Vec<_>>())
}

/// The names of all figures. One that only some rows have stands where it stands in those.
fn columns<'a>(rows: &[&'a Row]) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        let mut place = 0;
        for (name, _) in row.figures() {
            match names.iter().position(|known| *known == name) {
                Some(found) => place = found + 1,
                None => {
                    names.insert(place, name);
                    place += 1;
                }
            }
        }
    }
    names
}

/// A Markdown table. Numbers stand right, words left.
pub(crate) fn aligned(head: &[&str], body: &[Vec<String>]) -> String {
    let right: Vec<bool> = (0..head.len())
        .map(|column| {
            let mut cells = body.iter().map(|row| row[column].as_str());
            cells.any(numeric) && body.iter().all(|row| numeric(&row[column]) || row[column] == "–")
        })
        .collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = body.iter().map(|row| row[column].chars().count());
            cells.chain([head[column].chars().count(), 3]).max().unwrap_or(3)
        })
        .collect();
    let line = |cells: &[&str]| {
        let cells = cells.iter().zip(&widths).zip(&right).map(|((cell, width), right)| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().zip(&right).map(|(&width, right)| {
        if *right { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
    });
    let rule: Vec<String> = rule.collect();
    let mut text = line(head);
    text += &line(&rule.iter().map(String::as_str).collect::<Vec<_>>());
    for row in body {
        text += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

/// With as many digits as mean anything.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        size if size < 1_000.0 => format!("{value:.0}"),
        _ => grouped(value),
    }
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn numeric(cell: &str) -> bool {
    cell.starts_with(|first: char| first.is_ascii_digit() || first == '-')
        && !cell.contains(char::is_alphabetic)
}

/// For a cell of a table.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
    if line.chars().count() > 200 { line.chars().take(200).chain(['…']).collect() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        target::{Kind, Way},
        trouble::Trouble,
    };

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let shown = [0.123, 12.34, 123.4, 1234.5, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.12", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn a_column_that_some_rows_have_is_not_put_at_the_end() {
        let mut few = Row::new("pairs", Kind::NoStore, Way::Unary, 64, "");
        let mut all = few.clone();
        ["first", "last"].iter().for_each(|name| few.add(name, 1.0));
        ["first", "second", "last"].iter().for_each(|name| all.add(name, 1.0));
        assert_eq!(columns(&[&few, &all]), ["first", "second", "last"]);
    }

    #[test]
    fn a_row_without_figures_says_why() {
        let mut good = Row::new("pairs", Kind::NoStore, Way::Unary, 64, "");
        good.add("pairs/s", 25_000.0);
        let mut bad = Row::new("pairs", Kind::Etcd, Way::Own, 64, "");
        bad.fail(Trouble::NotInstalled("etcd".to_owned()));
        let text = table(&[&good, &bad]);
        assert!(text.contains("|  25,000 | keeps nothing"), "{text}");
        assert!(text.contains("|       – | etcd is not installed"), "{text}");
    }
}
