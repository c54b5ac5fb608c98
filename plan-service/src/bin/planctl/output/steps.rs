//! What steps write, as it comes: the plain bytes where a program or a file
//! gets them, cleaned on a terminal, and with the step's name before each line
//! where there are several steps.

use std::collections::BTreeMap;

use proto::plan::v1::StepOutput;
use service_kit::cli::{Style, escape::escaped};

use super::clean::Cleaner;

/// The longest part of a line that waits for its end.
const MOST_WAITING: usize = 64 * 1024;

/// Prints for all steps of a plan.
#[derive(Debug)]
pub(crate) struct Printer {
    /// Somebody looks.
    terminal: bool,
    /// There are several steps.
    named: bool,
    style: Style,
    streams: BTreeMap<Key, Stream>,
}

/// Whose output: whether a check's, and its name.
type Key = (bool, String);

/// What one step writes.
#[derive(Debug, Default)]
struct Stream {
    cleaner: Cleaner,
    /// The beginning of a line, where lines have names before them.
    line: Vec<u8>,
}

impl Printer {
    /// For a terminal or not, of one step or of several.
    pub(crate) fn new(terminal: bool, named: bool, style: Style) -> Self {
        Self { terminal, named, style, streams: BTreeMap::new() }
    }

    /// What to print for a part of a step's output, of which some before may be
    /// lost.
    pub(crate) fn part(&mut self, output: &StepOutput) -> Vec<u8> {
        let StepOutput { step, skipped_bytes, data, check, .. } = output;
        let mut out = Vec::new();
        if *skipped_bytes > 0 {
            out.extend(self.ended(*check, step));
            let note = format!("[{skipped_bytes} bytes of {} are not shown]\n", escaped(step));
            out.extend(self.style.dim(&note).into_bytes());
        }
        let stream = self.streams.entry((*check, step.clone())).or_default();
        let text = match self.terminal {
            true => stream.cleaner.part(data).into_bytes(),
            false => data.clone(),
        };
        if !self.named {
            out.extend(text);
            return out;
        }
        stream.line.extend(text);
        let end = stream.line.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
        let end = end.unwrap_or(if stream.line.len() > MOST_WAITING { MOST_WAITING } else { 0 });
        let lines: Vec<u8> = stream.line.drain(..end).collect();
        out.extend(self.with_name(step, &lines));
        out
    }

    /// What is left to print of a step, or of a check, that has ended.
    pub(crate) fn ended(&mut self, check: bool, step: &str) -> Vec<u8> {
        let stream = self.streams.remove(&(check, step.to_owned()));
        let Some(mut stream) = stream else { return Vec::new() };
        let rest = stream.cleaner.finish().into_bytes();
        if !self.named {
            return rest;
        }
        stream.line.extend(rest);
        self.with_name(step, &stream.line)
    }

    /// What is left to print of all of them.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let keys: Vec<_> = self.streams.keys().cloned().collect();
        keys.iter().flat_map(|(check, step)| self.ended(*check, step)).collect()
    }

    fn with_name(&self, step: &str, lines: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            out.extend(self.style.place(&format!("{} |", escaped(step))).into_bytes());
            out.push(b' ');
            out.extend(line);
        }
        if out.last().is_some_and(|&last| last != b'\n') {
            out.push(b'\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    fn part(step: &str, skipped_bytes: u64, data: &[u8]) -> StepOutput {
        let (step, data) = (step.to_owned(), data.to_vec());
        StepOutput { step, skipped_bytes, data, ..StepOutput::default() }
    }

    #[test]
    fn one_step_is_passed_through_byte_for_byte() {
        let mut printer = Printer::new(false, false, Style::plain());
        let data = b"a\xff\x1b[2J\r";
        assert_eq!(printer.part(&part("one", 0, data)), data);
        assert!(printer.finish().is_empty());
    }

    #[test]
    fn a_terminal_gets_it_cleaned() {
        let mut printer = Printer::new(true, false, Style::plain());
        assert_eq!(text(printer.part(&part("one", 0, b"a\x1b[2"))), "a");
        assert_eq!(text(printer.part(&part("one", 0, b"J\x1b[3"))), "\\u{1b}[2J");
        assert_eq!(text(printer.finish()), "\\u{1b}[3");
    }

    #[test]
    fn lines_of_several_steps_have_their_names_and_do_not_mix() {
        let mut printer = Printer::new(false, true, Style::plain());
        assert_eq!(text(printer.part(&part("a", 0, b"one\ntw"))), "a | one\n");
        assert_eq!(text(printer.part(&part("b", 0, b"x\n"))), "b | x\n");
        assert_eq!(text(printer.part(&part("a", 0, b"o\nthree"))), "a | two\n");
        assert_eq!(text(printer.ended(false, "a")), "a | three\n");
        assert_eq!(text(printer.ended(false, "a")), "");
    }

    #[test]
    fn what_is_lost_is_said() {
        let mut printer = Printer::new(false, true, Style::plain());
        assert_eq!(text(printer.part(&part("a", 0, b"half"))), "");
        let told = text(printer.part(&part("a", 7, b"end\n")));
        assert_eq!(told, "a | half\n[7 bytes of a are not shown]\na | end\n");
    }

    #[test]
    fn a_line_without_end_is_not_kept_for_ever() {
        let mut printer = Printer::new(false, true, Style::plain());
        let told = printer.part(&part("a", 0, &vec![b'x'; MOST_WAITING + 1]));
        assert_eq!(told.len(), MOST_WAITING + "a | \n".len());
    }
}
