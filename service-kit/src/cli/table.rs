//! Text in columns: a header row, then one row for each thing, every column as
//! wide as its widest cell.

use super::Style;

/// How a cell is coloured, once it has been padded.
pub type Paint = fn(Style, &str) -> String;

/// Rows under a header.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// What stands in one row of one column. Already escaped.
#[derive(Debug)]
pub struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    /// With a colour.
    pub fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint: Some(paint) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), paint: None }
    }
}

impl Table {
    /// With these columns and no rows.
    pub fn new(header: impl Into<Vec<&'static str>>) -> Self {
        Self { header: header.into(), rows: Vec::new() }
    }

    /// One more row, a cell for each column.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.header.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// The text, a line end after each row.
    pub fn render(&self, style: Style) -> String {
        let widths = self.widths();
        let header: Vec<_> =
            self.header.iter().map(|&name| Cell::painted(name, Style::heading)).collect();
        let mut out = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            render_row(&mut out, row, &widths, style);
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |column: usize| self.rows.iter().map(move |row| width(&row[column].text));
        self.header
            .iter()
            .enumerate()
            .map(|(column, name)| cells(column).max().unwrap_or(0).max(width(name)))
            .collect()
    }
}

fn render_row(out: &mut String, row: &[Cell], widths: &[usize], style: Style) {
    let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
    for (column, (cell, full)) in row.iter().zip(widths).enumerate().take(last + 1) {
        match cell.paint {
            Some(paint) => out.push_str(&paint(style, &cell.text)),
            None => out.push_str(&cell.text),
        }
        if column < last {
            out.extend(std::iter::repeat_n(' ', full - width(&cell.text) + 2));
        }
    }
    out.push('\n');
}

/// How many columns of a terminal the text takes. It is escaped: what has no
/// width of its own is not in it.
fn width(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// The blocks of East Asian wide characters and of emoji.
fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115e}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1f6ff}'
        | '\u{1f900}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_does() {
        let mut table = Table::new(["A", "LONG NAME", "C"]);
        table.push(vec!["x".into(), "y".into(), "z".into()]);
        table.push(vec!["計画".into(), "1".into(), "".into()]);
        assert_eq!(
            table.render(Style::plain()),
            "A     LONG NAME  C\n\
             x     y          z\n\
             計画  1\n",
        );
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(Table::new(["A", "B"]).render(Style::plain()), "A  B\n");
    }
}
