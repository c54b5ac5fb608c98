//! A patch as git colours it, and how much each file changes.

use proto::plan::v1::{Change, ChangeKind};
use service_kit::cli::{Style, escape};

use super::words;

/// How wide the longest bar is.
const WIDEST: u64 = 40;

/// For people: each line with its colour, and nothing in it that a terminal
/// would act on.
pub(crate) fn coloured(patch: &str, style: Style) -> String {
    let mut out = String::with_capacity(patch.len());
    let mut hunk = Hunk::default();
    for line in patch.split_inclusive('\n') {
        let (text, end) = match line.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (line, ""),
        };
        out.push_str(&painted(text, &mut hunk, style));
        out.push_str(end);
    }
    out
}

/// How many lines of a hunk are still to come: a line that begins like a header
/// may be one of these.
#[derive(Debug, Default, Clone, Copy)]
struct Hunk {
    old: u64,
    new: u64,
}

impl Hunk {
    /// Of a line such as `@@ -1,3 +1,4 @@ fn main() {`.
    fn begin(line: &str) -> Option<Self> {
        let (old, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
        let (new, _) = rest.split_once(" @@")?;
        let lines = |range: &str| match range.split_once(',') {
            Some((_, lines)) => lines.parse().ok(),
            None => Some(1),
        };
        Some(Self { old: lines(old)?, new: lines(new)? })
    }

    fn is_over(self) -> bool {
        self.old == 0 && self.new == 0
    }
}

fn painted(line: &str, hunk: &mut Hunk, style: Style) -> String {
    let shown = escape::code(line);
    if hunk.is_over() {
        if let Some(begun) = Hunk::begin(line) {
            *hunk = begun;
            // The last part is the line that the hunk is under, in no colour.
            let end = shown[2..].find("@@").map_or(shown.len(), |at| at + 4);
            return style.place(&shown[..end]) + &shown[end..];
        }
        // "\ No newline at end of file" comes after the last line of a hunk.
        return if line.is_empty() || line.starts_with('\\') {
            shown
        } else {
            style.heading(&shown)
        };
    }
    match line.as_bytes().first() {
        Some(b'+') => {
            hunk.new = hunk.new.saturating_sub(1);
            style.good(&shown)
        }
        Some(b'-') => {
            hunk.old = hunk.old.saturating_sub(1);
            style.bad(&shown)
        }
        Some(b'\\') => shown,
        _ => {
            *hunk = Hunk { old: hunk.old.saturating_sub(1), new: hunk.new.saturating_sub(1) };
            shown
        }
    }
}

/// For people: a line for each file, and the sum of them. There may be more files
/// than are told.
pub(crate) fn stat(files: &[Change], file_count: u64, style: Style) -> String {
    if file_count == 0 {
        return "Nothing is changed.\n".to_owned();
    }
    let names: Vec<_> = files.iter().map(name).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let most = files.iter().map(lines).max().unwrap_or(0);
    let digits = most.to_string().len();
    let mut out = String::new();
    for (file, name) in files.iter().zip(&names) {
        let padding = " ".repeat(widest - name.chars().count());
        let what = match file.binary {
            true => format!("{:>digits$}", "Bin"),
            false => format!("{:>digits$} {}", lines(file), bar(file, most, style)),
        };
        out.push_str(format!(" {name}{padding} | {what}").trim_end());
        out.push('\n');
    }
    let sum = |each: fn(&Change) -> u64| files.iter().map(each).sum::<u64>();
    let (added, removed) = (sum(|it| it.added_lines), sum(|it| it.removed_lines));
    let changed = words::count(file_count, "file");
    let (added, removed) = (words::count(added, "insertion"), words::count(removed, "deletion"));
    let told = files.len() as u64;
    out.push_str(&match file_count.saturating_sub(told) {
        0 => format!(" {changed} changed, {added}(+), {removed}(-)\n"),
        more => format!(
            " and {}\n {changed} changed; in the {told} above {added}(+), {removed}(-)\n",
            words::count(more, "more file"),
        ),
    });
    out
}

/// A file's name, and what else is to be said of it.
fn name(file: &Change) -> String {
    let path = escape::line(&file.path);
    match file.kind() {
        ChangeKind::Renamed => format!("{} => {path}", escape::line(&file.old_path)),
        ChangeKind::Added => format!("{path} (new)"),
        ChangeKind::Deleted => format!("{path} (gone)"),
        ChangeKind::ModeChanged => format!("{path} (mode {} -> {})", file.old_mode, file.new_mode),
        _ => path,
    }
}

fn lines(file: &Change) -> u64 {
    file.added_lines.saturating_add(file.removed_lines)
}

/// A plus or a minus for each line, or fewer where there are too many.
fn bar(file: &Change, most: u64, style: Style) -> String {
    let scaled = |lines: u64| match most {
        0..=WIDEST => lines,
        // What is there at all is seen.
        _ => lines.saturating_mul(WIDEST).div_ceil(most),
    };
    let signs = |sign: &str, lines: u64| {
        sign.repeat(usize::try_from(scaled(lines)).expect("no more than the widest bar"))
    };
    let (plus, minus) = (signs("+", file.added_lines), signs("-", file.removed_lines));
    let painted = |text: String, paint: fn(Style, &str) -> String| {
        if text.is_empty() { text } else { paint(style, &text) }
    };
    painted(plus, Style::good) + &painted(minus, Style::bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "\
diff --git a/q.sql b/q.sql
index 1..2 100644
--- a/q.sql
+++ b/q.sql
@@ -1,3 +1,3 @@ SELECT 1;
 a
--- a comment goes
+++ and something comes
 b\u{1b}[2J
@@ -9 +9 @@
-x
+y
\\ No newline at end of file
diff --git a/z b/z
";

    #[test]
    fn lines_have_the_colours_that_git_gives_them() {
        let coloured = coloured(PATCH, Style::always());
        let expected = [
            "\u{1b}[1mdiff --git a/q.sql b/q.sql\u{1b}[0m",
            "\u{1b}[1mindex 1..2 100644\u{1b}[0m",
            "\u{1b}[1m--- a/q.sql\u{1b}[0m",
            "\u{1b}[1m+++ b/q.sql\u{1b}[0m",
            "\u{1b}[36m@@ -1,3 +1,3 @@\u{1b}[0m SELECT 1;",
            " a",
            "\u{1b}[31m--- a comment goes\u{1b}[0m",
            "\u{1b}[32m+++ and something comes\u{1b}[0m",
            " b\\u{1b}[2J",
            "\u{1b}[36m@@ -9 +9 @@\u{1b}[0m",
            "\u{1b}[31m-x\u{1b}[0m",
            "\u{1b}[32m+y\u{1b}[0m",
            "\\ No newline at end of file",
            "\u{1b}[1mdiff --git a/z b/z\u{1b}[0m",
            "",
        ];
        assert_eq!(coloured.split('\n').collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_colours_only_what_a_terminal_acts_on_is_another() {
        let plain = coloured(PATCH, Style::plain());
        assert_eq!(plain, PATCH.replace('\u{1b}', "\\u{1b}"));
        assert_eq!(coloured("", Style::always()), "");
    }

    fn change(kind: ChangeKind, path: &str, added_lines: u64, removed_lines: u64) -> Change {
        let kind = kind.into();
        Change { kind, path: path.to_owned(), added_lines, removed_lines, ..Change::default() }
    }

    #[test]
    fn each_file_is_counted() {
        let files = [
            change(ChangeKind::Modified, "a", 2, 1),
            Change { binary: true, ..change(ChangeKind::Added, "long.bin", 0, 0) },
            Change { old_path: "b".into(), ..change(ChangeKind::Renamed, "c", 0, 0) },
        ];
        let expected = " a              | 3 ++-\n \
                        long.bin (new) | Bin\n \
                        b => c         | 0\n \
                        3 files changed, 2 insertions(+), 1 deletion(-)\n";
        assert_eq!(stat(&files, 3, Style::plain()), expected);
        assert_eq!(stat(&[], 0, Style::plain()), "Nothing is changed.\n");
    }

    #[test]
    fn files_that_are_not_told_are_counted() {
        let files = [change(ChangeKind::Modified, "a", 2, 1)];
        let expected = " a | 3 ++-\n and 1 more file\n \
                        2 files changed; in the 1 above 2 insertions(+), 1 deletion(-)\n";
        assert_eq!(stat(&files, 2, Style::plain()), expected);
    }

    #[test]
    fn long_bars_are_scaled_and_short_ones_are_still_seen() {
        let files =
            [change(ChangeKind::Modified, "a", 4_000, 0), change(ChangeKind::Modified, "b", 0, 1)];
        let stat = stat(&files, 2, Style::plain());
        assert!(
            stat.starts_with(&format!(" a | 4000 {}\n b |    1 -\n", "+".repeat(40))),
            "{stat}"
        );
    }
}
