//! Flow collections in YAML: `{a: 1, "b": [x, 'y']}`, over any number of lines.

use super::StructureError;
use super::places::{Key, Places};
use super::value::Value;
use super::yaml::{Place, Quote, Writer};
use crate::sink::Sink;

const MAX_DEPTH: usize = 128;

/// A flow collection as far as it is read.
pub(super) struct Flow {
    /// The place of the collection, then of each one within it, and whether it is a mapping.
    levels: Vec<(Place, bool)>,
    here: Place,
    part: Part,
    key: Key,
    value: Option<Value>,
    last: u8,
}

enum Part {
    /// A key or the end of a mapping.
    BeforeKey,
    PlainKey,
    QuotedKey(Quote),
    AfterKey,
    BeforeValue,
    PlainValue,
    QuotedValue(Quote),
    AfterValue,
    Comment(Box<Part>),
}

type Fault = fn(u64) -> StructureError;

impl Flow {
    pub(super) fn new(here: Place) -> Self {
        Self {
            levels: Vec::new(),
            here,
            part: Part::BeforeValue,
            key: Key::default(),
            value: None,
            last: b' ',
        }
    }

    /// Reads on; tells up to where, and whether the outermost bracket was closed.
    pub(super) fn read(
        &mut self,
        text: &[u8],
        places: &Places,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        while at < text.len() {
            if let Part::QuotedKey(quote) | Part::QuotedValue(quote) = &mut self.part {
                let start = at;
                let (read, is_over) = quote
                    .read(&text[at..], &mut self.value, writer)
                    .ok_or(StructureError::Malformed as Fault)?;
                at += read;
                let mark = quote.mark;
                self.end_quoted(&text[start..at], is_over, mark, places, writer);
                continue;
            }
            let byte = text[at];
            if self.byte(byte, text.get(at + 1).copied(), places, writer)? {
                at += 1;
                self.last = byte;
            }
            if self.levels.is_empty() {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    fn end_quoted(
        &mut self,
        read: &[u8],
        is_over: bool,
        mark: u8,
        places: &Places,
        writer: &mut Writer<'_, impl Sink>,
    ) {
        let is_key = matches!(self.part, Part::QuotedKey(_));
        if is_key {
            self.key.extend(&read[..read.len().saturating_sub(usize::from(is_over))]);
            if read.contains(&b'\\') {
                self.key.mark_unknown();
            }
        }
        if !is_over {
            return;
        }
        if let Some(value) = self.value.take()
            && !value.is_empty()
        {
            value.finish(places, writer.masker, writer.out);
        }
        writer.pass(&[mark]);
        self.part = if is_key { Part::AfterKey } else { Part::AfterValue };
        self.last = mark;
    }

    /// Takes a byte, or leaves it for the next part (false).
    fn byte(
        &mut self,
        byte: u8,
        next: Option<u8>,
        places: &Places,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<bool, Fault> {
        if byte == b'#' && self.last.is_ascii_whitespace() && !matches!(self.part, Part::Comment(_)) {
            let part = std::mem::replace(&mut self.part, Part::AfterValue);
            self.part = Part::Comment(Box::new(part));
        }
        let is_colon =
            byte == b':' && next.is_none_or(|next| next.is_ascii_whitespace() || b",[]{}\"'".contains(&next));
        let is_end = matches!(byte, b',' | b']' | b'}' | b'[' | b'{');
        match &mut self.part {
            Part::Comment(part) => {
                if byte == b'\n' {
                    self.part = std::mem::replace(&mut **part, Part::AfterValue);
                }
            }
            Part::PlainKey if is_colon || is_end => {
                self.part = Part::AfterKey;
                return Ok(false);
            }
            Part::PlainKey => self.key.extend(&[byte]),
            Part::PlainValue if is_colon || is_end => {
                if let Some(value) = self.value.take() {
                    value.finish_quoted("\"", places, writer.masker, writer.out);
                }
                self.part = Part::AfterValue;
                return Ok(false);
            }
            Part::PlainValue => {
                if let Some(value) = &mut self.value {
                    value.take(&[byte]);
                    return Ok(true);
                }
            }
            Part::BeforeKey | Part::AfterKey | Part::BeforeValue | Part::AfterValue
                if byte.is_ascii_whitespace() => {}
            Part::BeforeKey | Part::BeforeValue
                if matches!(byte, b'*' | b'?')
                    && next.is_none_or(|next| byte == b'*' || next.is_ascii_whitespace()) =>
            {
                return Err(StructureError::Unsupported);
            }
            Part::BeforeKey if !is_end => return self.begin_key(byte, writer),
            Part::BeforeValue if !matches!(byte, b',' | b']' | b'}') => {
                return self.begin_value(byte, places, writer);
            }
            Part::AfterKey | Part::AfterValue
                if is_colon || (byte == b':' && matches!(self.last, b'"' | b'\'')) =>
            {
                if matches!(self.part, Part::AfterKey) {
                    let place = self.levels.last().ok_or(StructureError::Malformed as Fault)?.0;
                    self.here = place.enter(places, Some(&self.key));
                }
                self.part = Part::BeforeValue;
            }
            Part::BeforeKey | Part::AfterKey | Part::BeforeValue | Part::AfterValue => {
                self.bracket_or_comma(byte, places)?
            }
            Part::QuotedKey(_) | Part::QuotedValue(_) => {}
        }
        writer.pass(&[byte]);
        Ok(true)
    }

    fn begin_key(&mut self, byte: u8, writer: &mut Writer<'_, impl Sink>) -> Result<bool, Fault> {
        self.key.clear();
        if matches!(byte, b'"' | b'\'') {
            self.part = Part::QuotedKey(Quote::new(byte));
        } else {
            self.key.extend(&[byte]);
            self.part = Part::PlainKey;
        }
        writer.pass(&[byte]);
        Ok(true)
    }

    fn begin_value(
        &mut self,
        byte: u8,
        places: &Places,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<bool, Fault> {
        if matches!(byte, b'{' | b'[') {
            if self.levels.len() == MAX_DEPTH {
                return Err(StructureError::TooDeep);
            }
            self.levels.push((self.here, byte == b'{'));
            self.begin_member(places);
            writer.pass(&[byte]);
            return Ok(true);
        }
        self.value = self.here.masked.map(|place| Value::new(writer.masker, places, place));
        if matches!(byte, b'"' | b'\'') {
            self.part = Part::QuotedValue(Quote::new(byte));
            writer.pass(&[byte]);
            return Ok(true);
        }
        self.part = Part::PlainValue;
        Ok(false)
    }

    fn bracket_or_comma(&mut self, byte: u8, places: &Places) -> Result<(), Fault> {
        let &(_, is_mapping) = self.levels.last().ok_or(StructureError::Malformed as Fault)?;
        match byte {
            b',' => self.begin_member(places),
            b'}' if is_mapping => self.end(),
            b']' if !is_mapping => self.end(),
            _ => return Err(StructureError::Malformed),
        }
        Ok(())
    }

    fn end(&mut self) {
        self.levels.pop();
        self.part = Part::AfterValue;
    }

    fn begin_member(&mut self, places: &Places) {
        if let Some(&(place, is_mapping)) = self.levels.last() {
            self.part = if is_mapping { Part::BeforeKey } else { Part::BeforeValue };
            self.here = place.enter(places, None);
        }
    }
}
