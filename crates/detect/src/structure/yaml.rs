//! YAML, and any number of documents in one stream.
//!
//! Lines are read one after another; which value a line belongs to follows from its indentation. Scalars of
//! every style are masked in their style, so that the document still parses; a value inside of flow
//! collections is read by `flow`. Aliases and complex keys are refused: they put a value elsewhere than where
//! it stands.

use super::StructureError;
use super::flow::Flow;
use super::places::{Key, Places, Set};
use super::value::Value;
use crate::mask::Masker;
use crate::sink::{Input, Sink};

/// A longer line is read in parts. A key has at most 1024 characters (YAML 1.2, 7.4.2), so one that is not
/// found in the first part is none.
const PART: usize = 4096;

const MAX_DEPTH: usize = 256;

/// So many levels cost little enough to keep room for.
const FEW: usize = 16;

/// Masks YAML by place, and by text in what is left. Feed it like a [`Masker`].
#[derive(Debug)]
pub struct YamlMasker {
    masker: Masker,
    machine: Machine,
    line: Vec<u8>,
    /// Whether `line` begins a line.
    is_start: bool,
    failed: Option<StructureError>,
}

struct Machine {
    places: Places,
    levels: Vec<Level>,
    here: Place,
    mode: Mode,
    /// The value being masked.
    value: Option<Value>,
    offset: u64,
}

/// Where a value stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub set: Set,
    pub masked: Option<u16>,
}

struct Level {
    indent: usize,
    is_sequence: bool,
    place: Place,
}

enum Mode {
    /// A line of structure is to come.
    Block,
    /// The rest of the line goes through.
    Rest,
    /// In a masked plain scalar, with so many line ends after it so far.
    Plain {
        newlines: usize,
    },
    Quoted(Quote),
    /// In a block scalar; `spaces` is the indentation of its content, once known.
    Literal {
        spaces: Option<usize>,
    },
    Flow(Box<Flow>),
}

impl YamlMasker {
    /// Masks by `places`, and by the rules and values of `masker`.
    #[must_use]
    pub fn new(masker: Masker, places: &Places) -> Self {
        let here = Place { set: places.root(), masked: places.masked(places.root()) };
        let machine = Machine {
            places: places.clone(),
            levels: Vec::new(),
            here,
            mode: Mode::Block,
            value: None,
            offset: 0,
        };
        Self { masker, machine, line: Vec::new(), is_start: true, failed: None }
    }

    /// Takes the next bytes and writes what is certain, line by line.
    ///
    /// # Errors
    /// The document cannot be masked for certain. Nothing is written for this line and any later input.
    pub fn push<'a>(
        &mut self,
        input: impl Into<Input<'a>>,
        out: &mut impl Sink,
    ) -> Result<(), StructureError> {
        let input: Input<'a> = input.into();
        let mut rest = input.as_slice();
        while !rest.is_empty() {
            let room = rest.len().min(PART - self.line.len());
            let end = memchr::memchr(b'\n', &rest[..room]).map_or(room, |at| at + 1);
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
            if self.line.len() == PART || self.line.ends_with(b"\n") {
                self.read_line(out)?;
            }
        }
        Ok(())
    }

    /// Writes everything that is not held back; an unfinished line is.
    pub fn flush(&mut self, out: &mut impl Sink) {
        if self.failed.is_none() {
            self.masker.flush(out);
        }
    }

    /// Ends the stream and writes the rest.
    ///
    /// # Errors
    /// The stream ended within a quoted scalar or a flow collection, or an earlier error.
    pub fn finish(&mut self, out: &mut impl Sink) -> Result<(), StructureError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !self.line.is_empty() {
            self.read_line(out)?;
        }
        self.machine.finish(&mut self.masker, out)?;
        self.masker.finish(out);
        Ok(())
    }

    /// The masker, to read its findings.
    #[must_use]
    pub fn masker(&self) -> &Masker {
        &self.masker
    }

    /// The masker, to drain its findings.
    pub fn masker_mut(&mut self) -> &mut Masker {
        &mut self.masker
    }

    fn read_line(&mut self, out: &mut impl Sink) -> Result<(), StructureError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let line = std::mem::take(&mut self.line);
        let mut writer = Writer { masker: &mut self.masker, out };
        let read = self.machine.read(&line, self.is_start, &mut writer);
        self.is_start = line.ends_with(b"\n");
        if let Err(error) = read {
            self.failed = Some(error);
            self.machine.forget();
        } else {
            self.line = line;
            self.line.clear();
        }
        read
    }
}

/// Where a machine writes to.
pub(super) struct Writer<'a, S> {
    pub masker: &'a mut Masker,
    pub out: &'a mut S,
}

impl<S: Sink> Writer<'_, S> {
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.masker.push(bytes, self.out);
        }
    }
}

impl Machine {
    /// Nothing is read any more.
    fn forget(&mut self) {
        (self.levels, self.value, self.mode) = (Vec::new(), None, Mode::Rest);
    }

    fn read(
        &mut self,
        line: &[u8],
        is_start: bool,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<(), StructureError> {
        let mut at = if is_start { self.begin_line(line, writer)? } else { 0 };
        while at < line.len() {
            at = self.go_on(line, at, writer)?;
        }
        if line.ends_with(b"\n") && matches!(self.mode, Mode::Rest) {
            self.mode = Mode::Block;
        }
        self.offset += line.len() as u64;
        Ok(())
    }

    /// Reads on within the mode; tells up to where.
    fn go_on(
        &mut self,
        line: &[u8],
        at: usize,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<usize, StructureError> {
        match &mut self.mode {
            Mode::Block | Mode::Rest => {
                writer.pass(&line[at..]);
                self.mode = Mode::Rest;
                Ok(line.len())
            }
            Mode::Plain { newlines } => {
                let text = line[at..].strip_suffix(b"\n").unwrap_or(&line[at..]);
                *newlines += line.len() - at - text.len();
                self.take(text);
                Ok(line.len())
            }
            Mode::Literal { .. } => {
                match &mut self.value {
                    Some(value) => value.take(&line[at..]),
                    None => writer.pass(&line[at..]),
                }
                Ok(line.len())
            }
            Mode::Quoted(quote) => {
                let (end, is_over) = quote
                    .read(&line[at..], &mut self.value, writer)
                    .ok_or(StructureError::Malformed(self.offset + at as u64))?;
                if is_over {
                    self.end_quoted(writer);
                }
                Ok(at + end)
            }
            Mode::Flow(flow) => {
                let (end, is_over) = flow
                    .read(&line[at..], &self.places, writer)
                    .map_err(|fault| fault(self.offset + at as u64))?;
                if is_over {
                    self.mode = Mode::Rest;
                }
                Ok(at + end)
            }
        }
    }

    /// The beginning of a line: a scalar goes on or ends, and structure is read. Tells up to where the line
    /// is done.
    fn begin_line(
        &mut self,
        line: &[u8],
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<usize, StructureError> {
        let indent = line.iter().take_while(|&&byte| byte == b' ').count();
        let is_blank = line[indent..].trim_ascii().is_empty();
        let is_marker = is_marker(line);
        let goes_on = !is_marker && (is_blank || indent as isize > self.parent());
        match &mut self.mode {
            Mode::Quoted(_) | Mode::Flow(_) => return Ok(0),
            Mode::Literal { .. } | Mode::Plain { .. } if !goes_on => self.end_scalar(writer),
            Mode::Literal { spaces } => {
                if !is_blank && spaces.is_none() {
                    *spaces = Some(indent);
                }
                let Some(value) = &mut self.value else { return Ok(0) };
                value.take_raw(&line[..indent]);
                return Ok(if is_blank { line.len() } else { indent });
            }
            Mode::Plain { newlines } => {
                if is_blank {
                    *newlines += 1;
                    return Ok(line.len());
                }
                *newlines = 0;
                return Ok(indent);
            }
            Mode::Block | Mode::Rest => {}
        }
        if is_blank || line[indent] == b'#' || (line[0] == b'%' && self.levels.is_empty()) {
            return Ok(0);
        }
        if is_marker {
            self.levels = Vec::new();
            self.here = Place { set: self.places.root(), masked: self.places.masked(self.places.root()) };
            writer.pass(&line[..3]);
            let column = 3 + line[3..].iter().take_while(|&&byte| byte == b' ').count();
            return if line[0] == b'-' { self.value(line, 3, column, writer) } else { Ok(3) };
        }
        self.structure(line, indent, writer)
    }

    /// Dashes and keys, then a value.
    fn structure(
        &mut self,
        line: &[u8],
        mut column: usize,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<usize, StructureError> {
        let malformed = |column: usize| StructureError::Malformed(self.offset + column as u64);
        if line[column] == b'\t' {
            return Err(malformed(column));
        }
        let is_dash = |column: usize| {
            line[column] == b'-' && matches!(line.get(column + 1), None | Some(b' ' | b'\n' | b'\r'))
        };
        let depth = self.levels.len();
        while self.levels.last().is_some_and(|top| {
            top.indent > column || (top.indent == column && top.is_sequence && !is_dash(column))
        }) {
            self.levels.pop();
        }
        if self.levels.len() < FEW && self.levels.capacity() > 2 * FEW {
            self.levels.shrink_to(FEW);
        }
        if self.levels.len() < depth && self.levels.last().is_none_or(|top| top.indent != column) {
            return Err(malformed(column));
        }
        loop {
            if is_dash(column) {
                self.level(column, true)?;
                self.enter(None);
                column += 1;
            } else if line[column] == b'?'
                && matches!(line.get(column + 1), None | Some(b' ' | b'\n' | b'\r'))
            {
                return Err(StructureError::Unsupported(self.offset + column as u64));
            } else if let Some((key, after)) = find_key(&line[column..]) {
                self.level(column, false)?;
                self.enter(Some(&key));
                column += after;
                let value =
                    column + line[column..].iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
                return self.value(line, 0, value, writer);
            } else {
                return self.value(line, 0, column, writer);
            }
            column += line[column..].iter().take_while(|&&byte| byte == b' ').count();
            match line.get(column) {
                None | Some(b'\n' | b'\r' | b'#') => return Ok(0),
                Some(b'\t') => return Err(StructureError::Malformed(self.offset + column as u64)),
                Some(_) => {}
            }
        }
    }

    /// Makes sure that the innermost level is one of this kind at `column`.
    fn level(&mut self, column: usize, is_sequence: bool) -> Result<(), StructureError> {
        if self.levels.last().is_some_and(|top| top.indent == column && top.is_sequence == is_sequence) {
            return Ok(());
        }
        if self.levels.len() == MAX_DEPTH {
            return Err(StructureError::TooDeep(self.offset));
        }
        self.levels.push(Level { indent: column, is_sequence, place: self.here });
        Ok(())
    }

    fn enter(&mut self, key: Option<&Key>) {
        if let Some(level) = self.levels.last() {
            self.here = level.place.enter(&self.places, key);
        }
    }

    /// A value at `column`, of which everything from `from` on is still to be written.
    fn value(
        &mut self,
        line: &[u8],
        from: usize,
        mut column: usize,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Result<usize, StructureError> {
        loop {
            let place = self.here.masked;
            let new_value = |masker: &Masker| place.map(|place| Value::new(masker, &self.places, place));
            match line.get(column) {
                None | Some(b'\n' | b'\r' | b'#') => return Ok(from),
                // An anchor or a tag stands before the value.
                Some(b'&' | b'!') => {
                    column += line[column..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
                    column += line[column..].iter().take_while(|&&byte| byte == b' ').count();
                }
                Some(b'*') => return Err(StructureError::Unsupported(self.offset + column as u64)),
                Some(b'|' | b'>') => {
                    let digit = line[column + 1..].iter().take(2).find(|byte| byte.is_ascii_digit());
                    let spaces =
                        digit.map(|digit| (self.parent().max(0) as usize) + usize::from(digit - b'0'));
                    self.value = new_value(writer.masker);
                    self.mode = Mode::Literal { spaces };
                    writer.pass(&line[from..]);
                    return Ok(line.len());
                }
                Some(&quote @ (b'"' | b'\'')) => {
                    self.value = new_value(writer.masker);
                    self.mode = Mode::Quoted(Quote::new(quote));
                    writer.pass(&line[from..=column]);
                    return Ok(column + 1);
                }
                Some(b'{' | b'[') => {
                    self.mode = Mode::Flow(Box::new(Flow::new(self.here)));
                    writer.pass(&line[from..column]);
                    return Ok(column);
                }
                Some(b'@' | b'`' | b'%') => {
                    return Err(StructureError::Malformed(self.offset + column as u64));
                }
                Some(_) => {
                    let text = plain(&line[column..]);
                    if place.is_none() || matches!(text, b"~" | b"null" | b"Null" | b"NULL") {
                        return Ok(from);
                    }
                    writer.pass(&line[from..column]);
                    self.value = new_value(writer.masker);
                    self.take(text);
                    self.mode = Mode::Plain { newlines: usize::from(line.ends_with(b"\n")) };
                    return Ok(line.len());
                }
            }
        }
    }

    fn take(&mut self, text: &[u8]) {
        if let Some(value) = &mut self.value {
            value.take(text);
        }
    }

    /// The indentation that what belongs to the current value exceeds.
    fn parent(&self) -> isize {
        self.levels.last().map_or(-1, |level| level.indent as isize)
    }

    fn end_scalar(&mut self, writer: &mut Writer<'_, impl Sink>) {
        let mode = std::mem::replace(&mut self.mode, Mode::Block);
        let Some(value) = self.value.take() else { return };
        match mode {
            Mode::Plain { newlines } => {
                value.finish_quoted("\"", &self.places, writer.masker, writer.out);
                writer.pass("\n".repeat(newlines).as_bytes());
            }
            Mode::Literal { spaces } => {
                writer.pass(" ".repeat(spaces.unwrap_or(0)).as_bytes());
                if !value.is_empty() {
                    value.finish(&self.places, writer.masker, writer.out);
                }
                writer.pass(b"\n");
            }
            Mode::Block | Mode::Rest | Mode::Quoted(_) | Mode::Flow(_) => {}
        }
    }

    fn end_quoted(&mut self, writer: &mut Writer<'_, impl Sink>) {
        let Mode::Quoted(quote) = std::mem::replace(&mut self.mode, Mode::Rest) else { return };
        if let Some(value) = self.value.take()
            && !value.is_empty()
        {
            value.finish(&self.places, writer.masker, writer.out);
        }
        writer.pass(&[quote.mark]);
    }

    fn finish(&mut self, masker: &mut Masker, out: &mut impl Sink) -> Result<(), StructureError> {
        match &self.mode {
            Mode::Quoted(quote) if quote.is_half => self.end_quoted(&mut Writer { masker, out }),
            Mode::Quoted(_) | Mode::Flow(_) => return Err(StructureError::Incomplete(self.offset)),
            Mode::Plain { .. } | Mode::Literal { .. } => self.end_scalar(&mut Writer { masker, out }),
            Mode::Block | Mode::Rest => {}
        }
        Ok(())
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("depth", &self.levels.len())
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn enter(self, places: &Places, key: Option<&Key>) -> Self {
        let set = places.enter(self.set, key);
        Self { set, masked: self.masked.or_else(|| places.masked(set)) }
    }
}

/// A quoted scalar: what has been read of an escape is kept until it is whole.
pub(super) struct Quote {
    pub mark: u8,
    escape: Vec<u8>,
    /// A single quote was read: the end, or the first half of an escaped one.
    is_half: bool,
}

impl Quote {
    pub(super) fn new(mark: u8) -> Self {
        Self { mark, escape: Vec::new(), is_half: false }
    }

    /// Reads on; tells up to where, and whether the closing quote (which is not written) was read. None if
    /// an escape is malformed.
    pub(super) fn read(
        &mut self,
        text: &[u8],
        value: &mut Option<Value>,
        writer: &mut Writer<'_, impl Sink>,
    ) -> Option<(usize, bool)> {
        let mut at = 0;
        if std::mem::take(&mut self.is_half) {
            if text[0] != b'\'' {
                return Some((0, true));
            }
            emit(b"''", b"'", value, writer);
            at = 1;
        }
        while let Some(&byte) = text.get(at) {
            if !self.escape.is_empty() {
                self.escape.push(byte);
                self.end_escape(value, writer)?;
                at += 1;
            } else if byte == b'\\' && self.mark == b'"' {
                self.escape.push(byte);
                at += 1;
            } else if byte == self.mark {
                at += 1;
                if self.mark == b'\'' && at == text.len() {
                    self.is_half = true;
                    return Some((at, false));
                }
                if self.mark == b'"' || text[at] != b'\'' {
                    return Some((at, true));
                }
                emit(b"''", b"'", value, writer);
                at += 1;
            } else {
                let end = at
                    + memchr::memchr2(self.mark, b'\\', &text[at + 1..])
                        .map_or(text.len() - at, |end| end + 1);
                emit(&text[at..end], &text[at..end], value, writer);
                at = end;
            }
        }
        Some((at, false))
    }

    fn end_escape(&mut self, value: &mut Option<Value>, writer: &mut Writer<'_, impl Sink>) -> Option<()> {
        let digits = match self.escape[1] {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => 0,
        };
        if self.escape.len() > 2 && !self.escape[self.escape.len() - 1].is_ascii_hexdigit() {
            return None;
        }
        if self.escape.len() < 2 + digits {
            return Some(());
        }
        let raw = std::mem::take(&mut self.escape);
        let code =
            std::str::from_utf8(&raw[2..]).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let meaning = code.and_then(char::from_u32).or(match raw[1] {
            b'n' => Some('\n'),
            b't' => Some('\t'),
            b'r' => Some('\r'),
            byte @ (b'"' | b'\\' | b'/' | b' ') => Some(char::from(byte)),
            _ => None,
        });
        let mut utf8 = [0; 4];
        let meaning = meaning.map_or(&raw[..], |character| character.encode_utf8(&mut utf8).as_bytes());
        match (value, meaning) {
            (None, &[byte]) if byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' => {
                writer.masker.push_escaped(byte, &raw, writer.out)
            }
            (value, meaning) => emit(&raw, meaning, value, writer),
        }
        Some(())
    }
}

fn emit(raw: &[u8], meaning: &[u8], value: &mut Option<Value>, writer: &mut Writer<'_, impl Sink>) {
    match value {
        Some(value) => {
            value.take_decoded(meaning);
            value.take_raw(raw);
        }
        None => writer.pass(raw),
    }
}

fn is_marker(line: &[u8]) -> bool {
    (line.starts_with(b"---") || line.starts_with(b"...")) && line.get(3).is_none_or(u8::is_ascii_whitespace)
}

/// The text of a plain scalar on its first line, without a comment.
fn plain(text: &[u8]) -> &[u8] {
    let end = text
        .windows(2)
        .position(|pair| pair[0].is_ascii_whitespace() && pair[1] == b'#')
        .unwrap_or(text.len());
    text[..end].trim_ascii_end()
}

/// A key at the beginning of `text`, and where what follows its colon begins.
fn find_key(text: &[u8]) -> Option<(Key, usize)> {
    let is_colon =
        |at: usize| text.get(at) == Some(&b':') && text.get(at + 1).is_none_or(u8::is_ascii_whitespace);
    let mut key = Key::default();
    match text[0] {
        mark @ (b'"' | b'\'') => {
            let mut at = 1;
            while *text.get(at)? != mark {
                let escaped = mark == b'"' && text[at] == b'\\';
                key.extend(&text[at..=at]);
                at += 1 + usize::from(escaped);
            }
            let colon = at + 1 + text[at + 1..].iter().take_while(|&&byte| byte == b' ').count();
            // A key with an escape could be any key.
            if text[1..at].contains(&b'\\') {
                key.mark_unknown();
            }
            is_colon(colon).then_some((key, colon + 1))
        }
        b'{' | b'[' | b'|' | b'>' | b'#' | b'%' | b'@' | b'`' => None,
        _ => {
            let end = plain(text).len().min(1100);
            let colon = (0..=end).find(|&at| is_colon(at))?;
            key.extend(text[..colon].trim_ascii_end());
            Some((key, colon + 1))
        }
    }
}
