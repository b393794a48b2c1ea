//! Tokens with percent-encoded characters in a text.

use super::Nested;
use crate::finding::{Finding, Wrapping};

/// How much of a token before its first escape is looked at.
const BEFORE: usize = 512;

/// How much of a token is looked at in all.
const MAX_TOKEN: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct PercentTokens {
    /// The end of the token being read, and all of it once an escape was seen.
    token: Vec<u8>,
    has_escape: bool,
    offset: u64,
}

impl PercentTokens {
    pub(super) fn take(&mut self, mut text: &[u8], nested: &mut Nested, findings: &mut Vec<Finding>) {
        while !text.is_empty() {
            if !self.has_escape {
                let escape = memchr::memchr(b'%', text).unwrap_or(text.len());
                self.remember(&text[..escape]);
                self.has_escape = escape < text.len();
                self.offset += escape as u64;
                text = &text[escape..];
                continue;
            }
            let end = text.iter().position(|&byte| is_delimiter(byte)).unwrap_or(text.len());
            let room = MAX_TOKEN - self.token.len();
            self.token.extend_from_slice(&text[..end.min(room)]);
            self.offset += end as u64;
            if end < text.len() {
                self.finish(nested, findings);
            }
            text = &text[end..];
        }
    }

    pub(super) fn finish(&mut self, nested: &mut Nested, findings: &mut Vec<Finding>) {
        if self.has_escape {
            let start = self.offset - self.token.len() as u64;
            let decoded = decode(&self.token);
            // Otherwise it is what stands in the text itself.
            if decoded.len() < self.token.len() {
                nested.take_whole(&decoded);
                nested.conclude(start, Wrapping::Percent, findings);
            }
        }
        self.has_escape = false;
        self.token.clear();
    }

    /// Keeps the last bytes of the token that `text` ends in.
    fn remember(&mut self, text: &[u8]) {
        let last = &text[text.len().saturating_sub(BEFORE)..];
        match last.iter().rposition(|&byte| is_delimiter(byte)) {
            Some(delimiter) => {
                self.token.clear();
                self.token.extend_from_slice(&last[delimiter + 1..]);
            }
            None => self.token.extend_from_slice(last),
        }
        let surplus = self.token.len().saturating_sub(BEFORE);
        self.token.drain(..surplus);
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_control() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`')
}

fn decode(token: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(token.len());
    let mut rest = token;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.first_chunk::<2>()).flatten().and_then(|&[high, low]| {
            Some(char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?)
        });
        match escaped {
            Some(byte) => {
                decoded.push(byte as u8);
                rest = &after[2..];
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    decoded
}
