//! What commands print: lines and tables for people, JSON for machines; never a panic when nobody reads it.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

use anyhow::Result;
use lockgate_git::refname::is_hidden;
use serde::Serialize;

/// Whether colours are of use on stdout.
pub(crate) fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints text to stdout. When whoever read it is gone, the program ends as if it had finished: `lockgate
/// sessions list | head` is no failure.
pub(crate) fn text(arguments: fmt::Arguments<'_>) {
    bytes(arguments.to_string().as_bytes());
}

/// Prints bytes to stdout; see [`text`].
pub(crate) fn bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        // There is nowhere left to say it but the status.
        Err(_) => std::process::exit(1),
    }
}

/// Prints a line to stdout.
macro_rules! say {
    ($($arguments:tt)*) => {
        $crate::output::text(format_args!("{}\n", format_args!($($arguments)*)))
    };
}
pub(crate) use say;

/// Prints why a command failed, with its causes, to stderr.
pub(crate) fn error(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    // There is nowhere left to say that it can't be said.
    let _ = writeln!(stderr, "lockgate: {error}");
    for cause in error.chain().skip(1) {
        let _ = writeln!(stderr, "  because: {cause}");
    }
}

/// Prints to stderr what is to be known of what is printed.
pub(crate) fn warn(text: &str) {
    // There is nowhere left to say that it can't be said.
    let _ = writeln!(io::stderr().lock(), "lockgate: {}", plain(text));
}

/// Prints a value as JSON, indented.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Text fit for a terminal: what others chose (ref names, messages, files) cannot move the cursor, colour
/// lines or reorder what is read. Such characters are shown as what they are: `<U+202E>`.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) && c != '\n' && c != '\t' {
            shown.push_str(&format!("<U+{:04X}>", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A cell of a table is cut after so many characters: others choose names of thousands. `--json` has them whole.
const CELL: usize = 80;

/// Rows under headings, in columns as wide as needed.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| heading.to_uppercase()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let one_line = |cell: String| plain(&cell).replace(['\n', '\t'], " ");
        self.rows.push(cells.into_iter().map(one_line).map(cut).collect());
    }

    /// Prints the rows, or `nothing` where there are none.
    pub(crate) fn print(&self, nothing: &str) {
        if self.rows.len() == 1 {
            return say!("{nothing}");
        }
        text(format_args!("{self}"));
    }
}

fn cut(mut cell: String) -> String {
    if let Some((end, _)) = cell.char_indices().nth(CELL) {
        let last = cell[..end].char_indices().next_back().map_or(0, |(last, _)| last);
        cell.truncate(last);
        cell.push('…');
    }
    cell
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed() {
        let mut table = Table::new(&["id", "state"]);
        table.row(["1".into(), "pending".into()]);
        table.row(["long \u{1b}[31mid".into(), "x\ny".into()]);
        insta::assert_snapshot!(table.to_string(), @r"
        ID                   STATE
        1                    pending
        long <U+001B>[31mid  x y
        ");
    }

    #[test]
    fn long_cells_are_cut() {
        let check = |cell: String, expected: String| assert_eq!(cut(cell), expected);
        check("ä".repeat(80), "ä".repeat(80));
        check("ä".repeat(81), "ä".repeat(79) + "…");
        check("x".repeat(9000), "x".repeat(79) + "…");
        let mut table = Table::new(&["what"]);
        table.row(["\u{202e}".repeat(9000)]);
        assert!(table.to_string().lines().all(|line| line.chars().count() <= CELL));
    }

    #[test]
    fn nothing_is_hidden_or_reordered() {
        let check = |text, expected| assert_eq!(plain(text), expected);
        check("plain\ttext\nä 漢", "plain\ttext\nä 漢");
        check("\u{1b}]0;x\u{7}\r", "<U+001B>]0;x<U+0007><U+000D>");
        check("a\u{202e}b\u{2066}c\u{200b}d\u{feff}", "a<U+202E>b<U+2066>c<U+200B>d<U+FEFF>");
        check("\u{9b}31m", "<U+009B>31m");
    }
}
