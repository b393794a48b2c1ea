//! A piece written: its text as it came, through the masker of text, and in it what is written anew.

use lockgate_detect::{Masker, Sink};

use super::object::{Edit, With};
use super::{Piece, Prepared};

/// Writes a piece; tells how many values were replaced by their place.
pub(super) fn piece(prepared: &Prepared, masker: &mut Masker, out: &mut Vec<u8>) -> u64 {
    let Prepared { piece, text, shown, edits, .. } = prepared;
    if *piece == Piece::Between {
        out.extend_from_slice(text);
        return 0;
    }
    json(&text[..shown.end], shown.start, edits, masker, out)
}

/// Writes JSON from `at` on.
fn json(text: &[u8], mut at: usize, edits: &[Edit], masker: &mut Masker, out: &mut Vec<u8>) -> u64 {
    let mut placed = 0;
    for edit in edits {
        push(&text[at..edit.range.start], masker, out);
        masker.finish(out);
        match &edit.with {
            With::Json(text) => {
                out.extend_from_slice(text.as_bytes());
                placed += 1;
            }
            With::Nested(inner, edits) => {
                let mut masked = Vec::new();
                placed += json(inner.as_bytes(), 0, edits, masker, &mut masked);
                if masked == inner.as_bytes() {
                    out.extend_from_slice(&text[edit.range.clone()]);
                } else {
                    out.extend_from_slice(&quoted(&masked));
                }
            }
        }
        at = edit.range.end;
    }
    push(&text[at..], masker, out);
    masker.finish(out);
    placed
}

/// A string in JSON.
fn quoted(text: &[u8]) -> Vec<u8> {
    // The masker takes out whole characters only.
    serde_json::Value::String(String::from_utf8_lossy(text).into_owned()).to_string().into_bytes()
}

/// Gives text to the masker, an escaped letter as the letter that it means.
fn push(mut text: &[u8], masker: &mut Masker, out: &mut impl Sink) {
    while let Some(at) = memchr::memchr(b'\\', text) {
        let length = if text.get(at + 1) == Some(&b'u') { 6 } else { 2 };
        let (before, rest) = text.split_at(at);
        let (escape, rest) = rest.split_at(length.min(rest.len()));
        masker.push(before, out);
        match letter(escape) {
            Some(letter) => masker.push_escaped(letter, escape, out),
            None => masker.push(escape, out),
        }
        text = rest;
    }
    masker.push(text, out);
}

/// The letter that an escape hides. The quote and the backslash stay escaped for the rules, which know them so.
fn letter(escape: &[u8]) -> Option<u8> {
    let letter = match escape {
        b"\\/" => b'/',
        [b'\\', b'u', digits @ ..] => {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::try_from(u32::from_str_radix(digits, 16).ok()?).ok()?
        }
        _ => return None,
    };
    (letter.is_ascii_graphic() && letter != b'"' && letter != b'\\').then_some(letter)
}
