//! JSON, and any number of JSON texts one after another (NDJSON, a Kubernetes watch).
//!
//! A byte machine follows the grammar without building anything. Escapes that hide a letter (`\u0041KIA`) are
//! shown decoded to the text rules and written as they came.

use super::StructureError;
use super::places::{Key, Places, Set};
use super::value::Value;
use crate::mask::Masker;
use crate::sink::{Input, Sink};

/// Levels at which the place is known exactly; below, see [`Places::enter_untracked`].
const TRACKED: usize = 128;

/// Levels at all: a bit each, 12.5 KiB.
const MAX_DEPTH: usize = 100 << 10;

/// How many words of bits are made room for at once.
const WORDS: usize = 32;

/// Masks JSON by place, and by text in what is left. Feed it like a [`Masker`].
#[derive(Debug)]
pub struct JsonMasker {
    masker: Masker,
    machine: Machine,
}

/// Everything but the masker, which it drives.
struct Machine {
    places: Places,
    state: State,
    levels: Levels,
    /// The place of the value to come.
    here: Set,
    key: Key,
    value: Option<Value>,
    /// The escape sequence being read.
    escape: Escape,
    offset: u64,
    failed: Option<StructureError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two texts.
    Top,
    Value,
    /// After `[`.
    FirstElement,
    /// After `{`.
    FirstKey,
    Key,
    Colon,
    /// After a value.
    Comma,
    String {
        is_key: bool,
    },
    Escape {
        is_key: bool,
    },
    Scalar,
}

impl JsonMasker {
    /// Masks by `places`, and by the rules and values of `masker`, which should run on
    /// [`RuleSet::structured`](crate::RuleSet::structured) rules.
    #[must_use]
    pub fn new(masker: Masker, places: &Places) -> Self {
        let machine = Machine {
            places: places.clone(),
            state: State::Top,
            levels: Levels::default(),
            here: places.root(),
            key: Key::default(),
            value: None,
            escape: Escape::default(),
            offset: 0,
            failed: None,
        };
        Self { masker, machine }
    }

    /// Takes the next bytes and writes what is certain.
    ///
    /// # Errors
    /// The document is malformed or nested too deep. Nothing is written for this and any later input.
    pub fn push<'a>(
        &mut self,
        input: impl Into<Input<'a>>,
        out: &mut impl Sink,
    ) -> Result<(), StructureError> {
        let Self { masker, machine } = self;
        if let Some(error) = machine.failed {
            return Err(error);
        }
        machine.push(input.into(), masker, out).inspect_err(|error| machine.fail(*error))
    }

    /// Writes everything that is not held back.
    pub fn flush(&mut self, out: &mut impl Sink) {
        if self.machine.failed.is_none() {
            self.masker.flush(out);
        }
    }

    /// Ends the stream and writes the rest.
    ///
    /// # Errors
    /// The stream ended within a document, or an earlier error.
    pub fn finish(&mut self, out: &mut impl Sink) -> Result<(), StructureError> {
        if let Some(error) = self.machine.failed {
            return Err(error);
        }
        if self.machine.state == State::Scalar && self.machine.levels.depth == 0 {
            self.machine.end_scalar(&mut self.masker, out);
        }
        if self.machine.state != State::Top {
            return Err(StructureError::Incomplete(self.machine.offset));
        }
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
}

impl Machine {
    fn push(
        &mut self,
        input: Input<'_>,
        masker: &mut Masker,
        out: &mut impl Sink,
    ) -> Result<(), StructureError> {
        let bytes = input.as_slice();
        // What lies between `from` and `at` goes through as it is.
        let (mut from, mut at) = (0, 0);
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::String { is_key } => {
                    let end = at + memchr::memchr2(b'"', b'\\', &bytes[at..]).unwrap_or(bytes.len() - at);
                    self.in_string(&bytes[at..end], is_key);
                    if self.value.is_some() {
                        from = end;
                    }
                    at = end;
                    match bytes.get(end) {
                        Some(b'"') => {
                            self.end_string(is_key, masker, out);
                            at += 1;
                        }
                        Some(_) => {
                            pass(input, from, end, masker, out);
                            self.escape = Escape::default();
                            self.state = State::Escape { is_key };
                        }
                        None => {}
                    }
                    continue;
                }
                State::Escape { is_key } => {
                    let done =
                        self.escape.take(byte).ok_or(StructureError::Malformed(self.offset + at as u64))?;
                    if done {
                        self.end_escape(is_key, masker, out);
                    }
                    from = at + 1;
                }
                State::Scalar => {
                    if is_delimiter(byte) {
                        if self.value.is_some() {
                            self.end_scalar(masker, out);
                            from = at;
                        } else {
                            self.after_value();
                        }
                        continue;
                    }
                    if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
                        return Err(StructureError::Malformed(self.offset + at as u64));
                    }
                    if let Some(value) = &mut self.value {
                        value.take(&[byte]);
                        from = at + 1;
                    }
                }
                State::Top
                | State::Value
                | State::FirstElement
                | State::FirstKey
                | State::Key
                | State::Colon
                | State::Comma => {
                    let masked =
                        self.between(byte, masker).map_err(|fault| fault(self.offset + at as u64))?;
                    match masked {
                        Begun::String => {
                            pass(input, from, at + 1, masker, out);
                            from = at + 1;
                        }
                        Begun::Scalar => {
                            pass(input, from, at, masker, out);
                            from = at + 1;
                        }
                        Begun::Nothing => {}
                    }
                }
            }
            at += 1;
        }
        pass(input, from, bytes.len(), masker, out);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Nothing is read any more.
    fn fail(&mut self, error: StructureError) {
        self.failed = Some(error);
        (self.levels, self.value) = (Levels::default(), None);
    }

    /// A byte outside of strings and scalars.
    fn between(&mut self, byte: u8, masker: &Masker) -> Result<Begun, fn(u64) -> StructureError> {
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(Begun::Nothing);
        }
        match (self.state, byte) {
            // RFC 7464 begins each text with a record separator.
            (State::Top, 0x1e) => Ok(Begun::Nothing),
            (State::Top | State::Value | State::FirstElement, _) if byte != b']' => {
                self.begin_value(byte, masker)
            }
            (State::FirstKey | State::Key, b'"') => {
                self.key.clear();
                self.state = State::String { is_key: true };
                Ok(Begun::Nothing)
            }
            (State::Colon, b':') => {
                self.state = State::Value;
                Ok(Begun::Nothing)
            }
            (State::Comma, b',') => {
                self.state = if self.levels.is_object() { State::Key } else { State::Value };
                self.enter_element();
                Ok(Begun::Nothing)
            }
            (State::FirstKey | State::Comma, b'}') if self.levels.is_object() => self.end_container(),
            (State::FirstElement | State::Comma, b']') if !self.levels.is_object() => self.end_container(),
            _ => Err(StructureError::Malformed),
        }
    }

    fn begin_value(&mut self, byte: u8, masker: &Masker) -> Result<Begun, fn(u64) -> StructureError> {
        let place = self.levels.masked.map(|(_, place)| place).or_else(|| self.places.masked(self.here));
        let value = place.map(|place| Value::new(masker, &self.places, place));
        match byte {
            b'"' => {
                self.state = State::String { is_key: false };
                self.value = value;
                Ok(if self.value.is_some() { Begun::String } else { Begun::Nothing })
            }
            b'{' | b'[' => {
                let is_object = byte == b'{';
                self.levels
                    .push(is_object, self.here, place)
                    .ok_or(StructureError::TooDeep as fn(u64) -> _)?;
                self.state = if is_object { State::FirstKey } else { State::FirstElement };
                self.enter_element();
                Ok(Begun::Nothing)
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                self.state = State::Scalar;
                self.value = value;
                let Some(value) = &mut self.value else { return Ok(Begun::Nothing) };
                value.take(&[byte]);
                Ok(Begun::Scalar)
            }
            _ => Err(StructureError::Malformed),
        }
    }

    /// Elements of an array have no key: their place is known before they come.
    fn enter_element(&mut self) {
        if !self.levels.is_object() {
            self.here = self.levels.enter(&self.places, None);
        }
    }

    fn end_container(&mut self) -> Result<Begun, fn(u64) -> StructureError> {
        self.levels.pop();
        self.after_value();
        Ok(Begun::Nothing)
    }

    fn after_value(&mut self) {
        self.state = if self.levels.depth == 0 { State::Top } else { State::Comma };
        if self.levels.depth == 0 {
            self.here = self.places.root();
        }
    }

    fn in_string(&mut self, bytes: &[u8], is_key: bool) {
        if is_key {
            self.key.extend(bytes);
        } else if let Some(value) = &mut self.value {
            value.take(bytes);
        }
    }

    fn end_string(&mut self, is_key: bool, masker: &mut Masker, out: &mut impl Sink) {
        if is_key {
            self.here = self.levels.enter(&self.places, Some(&self.key));
            self.state = State::Colon;
            return;
        }
        if let Some(value) = self.value.take()
            && !value.is_empty()
        {
            value.finish(&self.places, masker, out);
        }
        self.after_value();
    }

    fn end_escape(&mut self, is_key: bool, masker: &mut Masker, out: &mut impl Sink) {
        let (raw, decoded) = (self.escape.raw(), self.escape.decoded());
        self.state = State::String { is_key };
        let mut utf8 = [0; 4];
        // Half of a surrogate pair stands for itself.
        let meaning = decoded.map_or(raw, |character| character.encode_utf8(&mut utf8).as_bytes());
        if let Some(value) = &mut self.value {
            value.take_decoded(meaning);
            value.take_raw(raw);
            return;
        }
        if is_key {
            self.key.extend(meaning);
        }
        match meaning {
            // The backslash and the quote stay escaped for the rules, which know them so.
            &[byte] if byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' => {
                masker.push_escaped(byte, raw, out)
            }
            _ => masker.push(raw, out),
        }
    }

    fn end_scalar(&mut self, masker: &mut Masker, out: &mut impl Sink) {
        if let Some(value) = self.value.take() {
            match value.start() {
                b"null" => masker.push(b"null", out),
                [b'-' | b'0'..=b'9', ..] => value.finish_as("0", &self.places, masker, out),
                _ => value.finish_as("false", &self.places, masker, out),
            }
        }
        self.after_value();
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("state", &self.state)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// What began with a byte that must not go through as it is.
enum Begun {
    Nothing,
    /// A masked string: its quote goes through, its content does not.
    String,
    /// A masked number or truth value.
    Scalar,
}

fn pass(input: Input<'_>, from: usize, to: usize, masker: &mut Masker, out: &mut impl Sink) {
    if from < to {
        input.part(from..to).with_input(|part| masker.push(part, out));
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' | 0x1e)
}

/// The containers one is in.
#[derive(Default)]
struct Levels {
    depth: usize,
    /// A bit per level: whether it is an object.
    objects: Vec<u64>,
    sets: Vec<Set>,
    /// The depth of the masked container, and its place.
    masked: Option<(usize, u16)>,
}

impl Levels {
    fn push(&mut self, is_object: bool, here: Set, place: Option<u16>) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.objects.len() {
            if word == self.objects.capacity() {
                self.objects.reserve_exact(WORDS);
            }
            self.objects.push(0);
        }
        self.objects[word] = self.objects[word] & !(1 << bit) | u64::from(is_object) << bit;
        if self.depth < TRACKED {
            self.sets.push(here);
        }
        self.depth += 1;
        if self.masked.is_none() {
            self.masked = place.map(|place| (self.depth, place));
        }
        Some(())
    }

    fn pop(&mut self) {
        if self.masked.is_some_and(|(depth, _)| depth == self.depth) {
            self.masked = None;
        }
        self.depth -= 1;
        self.sets.truncate(self.depth);
        self.objects.truncate(self.depth.div_ceil(64));
        // Room is given back where a level more would not ask for it again at once.
        if self.objects.len() + 2 * WORDS <= self.objects.capacity() {
            self.objects.shrink_to(self.objects.len() + WORDS);
        }
        if self.depth == 0 {
            self.sets = Vec::new();
        }
    }

    fn is_object(&self) -> bool {
        self.depth > 0 && self.objects[(self.depth - 1) / 64] >> ((self.depth - 1) % 64) & 1 == 1
    }

    fn enter(&self, places: &Places, key: Option<&Key>) -> Set {
        match self.sets.get(self.depth.wrapping_sub(1)) {
            Some(set) => places.enter(*set, key),
            None => places.enter_untracked(key),
        }
    }
}

/// `\` and what follows, six bytes at most.
#[derive(Clone, Copy, Default)]
struct Escape {
    raw: [u8; 6],
    len: u8,
}

impl Escape {
    /// Takes a byte; true at the end, none if there is no such escape.
    fn take(&mut self, byte: u8) -> Option<bool> {
        let is_valid = match self.len {
            0 => byte == b'\\',
            1 => matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u'),
            _ => byte.is_ascii_hexdigit(),
        };
        self.raw[usize::from(self.len)] = byte;
        self.len += 1;
        is_valid.then_some(self.len == 6 || (self.len == 2 && byte != b'u'))
    }

    fn raw(&self) -> &[u8] {
        &self.raw[..usize::from(self.len)]
    }

    fn decoded(&self) -> Option<char> {
        Some(match self.raw[1] {
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let digits = std::str::from_utf8(&self.raw[2..]).ok()?;
                return char::from_u32(u32::from_str_radix(digits, 16).ok()?);
            }
            other => char::from(other),
        })
    }
}
