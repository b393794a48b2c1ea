//! The value being masked by place: read and not kept, except for what may be learned of it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::places::{Encoding, Places};
use crate::mask::{Masker, Replacement};
use crate::rules::entropy;
use crate::sink::Sink;
use crate::tag::Tagger;

/// Longer values are masked, and known by this much of their beginning.
const MAX_LEARNED: usize = 16 * 1024;

pub(super) struct Value {
    place: u16,
    tagger: Tagger,
    start: Vec<u8>,
    raw_length: u64,
    lines: u64,
}

impl Value {
    pub(super) fn new(masker: &Masker, places: &Places, place: u16) -> Self {
        let tagger = masker.key().tagger(places.name(place));
        Self { place, tagger, start: Vec::new(), raw_length: 0, lines: 0 }
    }

    /// Takes bytes that stand for themselves.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.take_decoded(bytes);
        self.take_raw(bytes);
    }

    /// Takes what the value means.
    pub(super) fn take_decoded(&mut self, decoded: &[u8]) {
        self.tagger.update(decoded);
        let room = MAX_LEARNED - self.start.len();
        self.start.extend_from_slice(&decoded[..decoded.len().min(room)]);
    }

    /// Takes what is written for it in the document.
    pub(super) fn take_raw(&mut self, raw: &[u8]) {
        self.raw_length += raw.len() as u64;
        self.lines += memchr::memchr_iter(b'\n', raw).count() as u64;
    }

    /// The beginning of what the value means.
    pub(super) fn start(&self) -> &[u8] {
        &self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.raw_length == 0
    }

    /// Ends a string: its placeholder is written, and it is learned.
    pub(super) fn finish(self, places: &Places, masker: &mut Masker, out: &mut impl Sink) {
        self.finish_quoted("", places, masker, out);
    }

    /// As [`Value::finish`], with `quote` around the placeholder.
    pub(super) fn finish_quoted(
        self,
        quote: &str,
        places: &Places,
        masker: &mut Masker,
        out: &mut impl Sink,
    ) {
        let name = places.name(self.place);
        let encoding = places.encoding(self.place);
        let text = format!("[MASKED:{name}:{}]", self.tagger.clone().finish());
        let text = if encoding == Encoding::Base64 {
            STANDARD.encode(text)
        } else {
            format!("{quote}{text}{quote}")
        };
        if let Some(known) = places.known() {
            let decoded = match encoding {
                Encoding::Plain => None,
                Encoding::Base64 => STANDARD.decode(&self.start[..self.start.len() / 4 * 4]).ok(),
            };
            // A value too short to be looked for, or one too many, stays masked here.
            let _ = known.add(name, decoded.as_deref().unwrap_or(&self.start));
        }
        self.finish_as(&text, places, masker, out);
    }

    /// Ends a value that is not a string and is replaced by `text`.
    pub(super) fn finish_as(self, text: &str, places: &Places, masker: &mut Masker, out: &mut impl Sink) {
        let replacement = Replacement {
            rule: Arc::clone(places.name(self.place)),
            tag: self.tagger.finish(),
            entropy: entropy(&self.start),
            length: self.raw_length,
            lines: self.lines,
            text: text.as_bytes(),
        };
        masker.replace(&replacement, out);
    }
}
