//! What was typed into a terminal, line by line.
//!
//! This is what a person would read on the keys, not what a shell made of it: the line of a history that was
//! fetched by an arrow key, or completed by a tab, only the output shows.

use std::time::Duration;

/// How many lines are kept.
const LINES: usize = 10_000;
/// How long the kept part of a line is, in bytes.
const LENGTH: usize = 4096;

/// A line, and when its end was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Duration,
    /// What it says; the first 4 KiB.
    pub text: String,
}

/// Reads what is typed.
#[derive(Debug, Default)]
pub struct Typed {
    lines: Vec<Line>,
    more: u64,
    line: Vec<u8>,
    escape: Escape,
}

/// How far a key's sequence has come that types no character.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// Behind an ESC.
    Begun,
    /// Behind `ESC [`.
    Control,
    /// Behind `ESC O`.
    Function,
}

impl Typed {
    /// Takes the next bytes.
    pub fn push(&mut self, at: Duration, bytes: &[u8]) {
        for byte in bytes {
            self.key(at, *byte);
        }
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many more there were.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.more
    }

    fn key(&mut self, at: Duration, byte: u8) {
        match (self.escape, byte) {
            (Escape::None, _) => self.character(at, byte),
            (Escape::Begun, b'[') => self.escape = Escape::Control,
            (Escape::Begun, b'O') => self.escape = Escape::Function,
            (Escape::Control, 0x20..=0x3f) => {}
            (Escape::Begun | Escape::Control | Escape::Function, _) => self.escape = Escape::None,
        }
    }

    fn character(&mut self, at: Duration, byte: u8) {
        match byte {
            b'\r' | b'\n' => self.end(at),
            // Ctrl-C and Ctrl-U: the line is dropped.
            0x03 | 0x15 => self.line.clear(),
            // Ctrl-D on an empty line says goodbye.
            0x04 if self.line.is_empty() => {}
            0x08 | 0x7f => self.erase(),
            // Ctrl-W: the last word.
            0x17 => {
                let end = self.line.trim_ascii_end().len();
                self.line.truncate(end);
                let word = self.line.iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
                self.line.truncate(word);
            }
            0x1b => self.escape = Escape::Begun,
            b'\t' | 0x20..=0x7e | 0x80.. if self.line.len() < LENGTH => self.line.push(byte),
            _ => {}
        }
    }

    /// Drops the last character, of several bytes perhaps.
    fn erase(&mut self) {
        while let Some(byte) = self.line.pop() {
            if byte & 0xc0 != 0x80 {
                break;
            }
        }
    }

    fn end(&mut self, at: Duration) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            return;
        }
        if self.lines.len() < LINES {
            self.lines.push(Line { at, text: text.into_owned() });
        } else {
            self.more += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &[u8], expected: &[&str]) {
        for size in [1, 3, typed.len().max(1)] {
            let mut lines = Typed::default();
            for piece in typed.chunks(size) {
                lines.push(Duration::ZERO, piece);
            }
            let lines: Vec<_> = lines.lines().iter().map(|line| &line.text[..]).collect();
            assert_eq!(lines, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn lines_are_what_is_left_of_the_keys() {
        check(b"ls -l\rcat a\n\r\r", &["ls -l", "cat a"]);
        check(b"lx\x7fs\r", &["ls"]);
        check("caf\u{e9}x\x7f\x7fe\r".as_bytes(), &["cafe"]);
        check(b"rm -rf /\x03ls\r", &["ls"]);
        check(b"rm -rf /\x15ls\r", &["ls"]);
        check(b"echo one two  \x17three\r", &["echo one three"]);
        check(b"a\x1b[A\x1b[1;5C\x1bOPb\x1bxc\r", &["abc"]);
        check(b"\x04", &[]);
        check(b"not ended", &[]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut typed = Typed::default();
        typed.push(Duration::ZERO, &[b'x'; 10_000]);
        typed.push(Duration::ZERO, b"\r");
        assert_eq!(typed.lines()[0].text.len(), LENGTH);
        typed.push(Duration::ZERO, &b"x\r".repeat(LINES + 5));
        assert_eq!((typed.lines().len(), typed.more()), (LINES, 6));
    }
}
