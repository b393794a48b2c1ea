//! A terminal's recording as asciicast v2, which players of terminals read.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use super::{Moment, What};
use crate::stream::{Channel, Size};

/// How long the first size of the terminal is waited for.
const WAIT: Duration = Duration::from_millis(250);
/// How much is kept while it is waited for.
const KEPT: usize = 64 << 10;
/// The size of a terminal that never told its own.
const DEFAULT: Size = Size { columns: 80, rows: 24 };

/// Writes a recording line by line.
#[derive(Debug)]
pub struct Asciicast {
    timestamp: Option<u64>,
    title: String,
    /// Events from before the header.
    waiting: Option<Waiting>,
    stdin: Text,
    stdout: Text,
    stderr: Text,
    last: Duration,
}

#[derive(Debug)]
struct Waiting {
    since: Option<Duration>,
    events: String,
}

#[derive(Serialize)]
struct Header<'a> {
    version: u8,
    width: u16,
    height: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'a str,
}

impl Asciicast {
    /// A recording that began at this time (in seconds since 1970), with a title for people.
    #[must_use]
    pub fn new(timestamp: Option<u64>, title: &str) -> Self {
        Self {
            timestamp,
            title: title.to_owned(),
            waiting: Some(Waiting { since: None, events: String::new() }),
            stdin: Text::default(),
            stdout: Text::default(),
            stderr: Text::default(),
            last: Duration::ZERO,
        }
    }

    /// Takes what happened next, and writes the lines that are certain.
    pub fn push(&mut self, moment: Moment<'_>, out: &mut String) {
        self.last = moment.at;
        if let Some(waiting) = &mut self.waiting
            && moment.at.saturating_sub(*waiting.since.get_or_insert(moment.at)) > WAIT
        {
            self.begin(DEFAULT, out);
        }
        match moment.what {
            What::Resized(size) if self.waiting.is_some() => self.begin(size, out),
            What::Resized(Size { columns, rows }) => {
                self.event(moment.at, "r", &format!("{columns}x{rows}"), out);
            }
            What::Bytes { channel, bytes, .. } => {
                let (code, text) = match channel {
                    Channel::Stdin => ("i", &mut self.stdin),
                    Channel::Stdout => ("o", &mut self.stdout),
                    Channel::Stderr => ("o", &mut self.stderr),
                    Channel::Error | Channel::Resize | Channel::Data { .. } | Channel::DataError { .. } => {
                        return;
                    }
                };
                let text = text.push(bytes);
                self.event(moment.at, code, &text, out);
            }
            What::Opened { .. } | What::Finished { .. } => {}
        }
    }

    /// Waits for no size any more: there is no terminal that would tell one.
    pub fn begin_without_size(&mut self, out: &mut String) {
        self.begin(DEFAULT, out);
    }

    /// The recording is at its end.
    pub fn finish(mut self, out: &mut String) {
        for (code, text) in
            [("i", self.stdin.finish()), ("o", self.stdout.finish()), ("o", self.stderr.finish())]
        {
            self.event(self.last, code, &text, out);
        }
        self.begin(DEFAULT, out);
    }

    fn begin(&mut self, size: Size, out: &mut String) {
        let Some(waiting) = self.waiting.take() else { return };
        let Size { columns: width, rows: height } = size;
        let header = Header { version: 2, width, height, timestamp: self.timestamp, title: &self.title };
        out.push_str(&serde_json::to_string(&header).expect("it has strings and numbers only"));
        out.push('\n');
        out.push_str(&waiting.events);
    }

    fn event(&mut self, at: Duration, code: &str, text: &str, out: &mut String) {
        if text.is_empty() {
            return;
        }
        let lines = self.waiting.as_mut().map_or(&mut *out, |waiting| &mut waiting.events);
        let text = serde_json::to_string(text).expect("it is a string");
        writeln!(lines, "[{:.6}, \"{code}\", {text}]", at.as_secs_f64()).expect("a string takes all");
        if self.waiting.as_ref().is_some_and(|waiting| waiting.events.len() > KEPT) {
            self.begin(DEFAULT, out);
        }
    }
}

/// Text in UTF-8 that is cut anywhere.
#[derive(Debug, Default)]
struct Text {
    /// The beginning of a character.
    cut: Vec<u8>,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) -> String {
        self.cut.extend_from_slice(bytes);
        let mut text = String::new();
        for chunk in self.cut.utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        let rest = unfinished(&self.cut);
        if !rest.is_empty() {
            text.pop();
        }
        self.cut = rest.to_vec();
        text
    }

    fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.cut)).into_owned()
    }
}

/// The bytes at the end that more bytes could make a character of.
fn unfinished(bytes: &[u8]) -> &[u8] {
    let last = bytes.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
    match std::str::from_utf8(last) {
        Err(error) if error.error_len().is_none() => last,
        Ok(_) | Err(_) => &[],
    }
}

#[cfg(test)]
mod tests;
