//! The entries of a tar stream (ustar, pax, GNU long names), with the digests of their contents. Nothing is unpacked.

use std::borrow::Cow;

use aws_lc_rs::digest::{Context, SHA256};

const BLOCK: usize = 512;
/// How many entries are kept.
const ENTRIES: usize = 10_000;
/// How much is kept of what describes an entry.
const META: u64 = 64 << 10;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path, as it stands in the stream.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of its content.
    pub size: u64,
    /// The SHA-256 of its content, in hex; none where the content was cut off.
    pub sha256: Option<String>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A link, hard or symbolic, to this path.
    Link(String),
    /// A device, a pipe, or what only its writer knows.
    Other,
}

/// This is no tar stream, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// A header whose sum is wrong.
    #[error("a block that should be a header is none")]
    Header,
    /// A number that can't be read.
    #[error("a header has a number that can't be read")]
    Number,
    /// A description of an entry that can't be read, or is too long.
    #[error("the description of an entry can't be read, or is too long")]
    Meta,
}

/// Reads a tar stream.
pub(super) struct Tar {
    state: State,
    block: Vec<u8>,
    next: Described,
    entries: Vec<Entry>,
    more: u64,
}

/// What the entries before one say of it.
#[derive(Debug, Default)]
struct Described {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

enum State {
    Header,
    /// Bytes of a description, and of the padding behind it.
    Meta {
        kind: u8,
        left: u64,
        padding: u64,
        bytes: Vec<u8>,
    },
    /// Bytes of an entry's content, and of the padding behind it.
    Content {
        left: u64,
        padding: u64,
        digest: Context,
        is_kept: bool,
    },
    /// Behind the end, where only padding is.
    Over,
    Failed(TarError),
}

impl Tar {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header,
            block: Vec::with_capacity(BLOCK),
            next: Described::default(),
            entries: Vec::new(),
            more: 0,
        }
    }

    pub(super) fn push(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            if let Err(error) = self.step(&mut input) {
                self.state = State::Failed(error);
            }
        }
    }

    /// The entries, how many more there were, and why there may be others.
    pub(super) fn finish(self) -> (Vec<Entry>, u64, Option<TarError>) {
        let error = if let State::Failed(error) = self.state { Some(error) } else { None };
        (self.entries, self.more, error)
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<(), TarError> {
        match &mut self.state {
            State::Over | State::Failed(_) => *input = &[],
            State::Header => {
                let (part, rest) = input.split_at(input.len().min(BLOCK - self.block.len()));
                self.block.extend_from_slice(part);
                *input = rest;
                if self.block.len() == BLOCK {
                    let block = std::mem::take(&mut self.block);
                    self.state = self.header(&block)?;
                    self.block = block;
                    self.block.clear();
                    self.settle()?;
                }
            }
            State::Meta { left, padding, bytes, .. } => {
                bytes.extend_from_slice(take(input, left));
                if *left == 0 {
                    take(input, padding);
                }
                self.settle()?;
            }
            State::Content { left, padding, digest, .. } => {
                digest.update(take(input, left));
                if *left == 0 {
                    take(input, padding);
                }
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Ends a description or a content that is whole.
    fn settle(&mut self) -> Result<(), TarError> {
        match &self.state {
            State::Meta { kind, left: 0, padding: 0, bytes } => {
                self.next.take(*kind, bytes)?;
                self.state = State::Header;
            }
            State::Content { left: 0, padding: 0, digest, is_kept } => {
                if let Some(entry) = self.entries.last_mut().filter(|_| *is_kept) {
                    entry.sha256 = Some(hex(digest.clone().finish().as_ref()));
                }
                self.state = State::Header;
            }
            State::Header | State::Meta { .. } | State::Content { .. } | State::Over | State::Failed(_) => {}
        }
        Ok(())
    }

    fn header(&mut self, block: &[u8]) -> Result<State, TarError> {
        if block.iter().all(|byte| *byte == 0) {
            return Ok(State::Over);
        }
        let sum = block.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let field = block[148..156].iter().map(|byte| u64::from(*byte)).sum::<u64>();
        if number(&block[148..156]) != Ok(sum - field + 8 * u64::from(b' ')) {
            return Err(TarError::Header);
        }
        let size = number(&block[124..136])?;
        let kind = block[156];
        if let b'x' | b'g' | b'L' | b'K' = kind {
            if size > META {
                return Err(TarError::Meta);
            }
            return Ok(State::Meta { kind, left: size, padding: padding(size), bytes: Vec::new() });
        }
        let next = std::mem::take(&mut self.next);
        let link = next.link.unwrap_or_else(|| text(&block[157..257]).into_owned());
        let kind = match kind {
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' | b'2' => EntryKind::Link(link),
            b'5' => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        // Of links and directories the size says nothing about what follows.
        let has_content = matches!(kind, EntryKind::File | EntryKind::Other);
        let size = if has_content { next.size.unwrap_or(size) } else { 0 };
        let path = next.path.unwrap_or_else(|| path(block));
        let is_kept = self.entries.len() < ENTRIES;
        if is_kept {
            self.entries.push(Entry { path, kind, size, sha256: None });
        } else {
            self.more += 1;
        }
        let digest = Context::new(&SHA256);
        Ok(State::Content { left: size, padding: padding(size), digest, is_kept: is_kept && has_content })
    }
}

impl Described {
    fn take(&mut self, kind: u8, bytes: &[u8]) -> Result<(), TarError> {
        match kind {
            b'L' => self.path = Some(text(bytes).into_owned()),
            b'K' => self.link = Some(text(bytes).into_owned()),
            b'x' => {
                for record in records(bytes) {
                    let (key, value) = record?;
                    match key {
                        b"path" => self.path = Some(text(value).into_owned()),
                        b"linkpath" => self.link = Some(text(value).into_owned()),
                        b"size" => {
                            let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                            self.size = Some(size.ok_or(TarError::Number)?);
                        }
                        _ => {}
                    }
                }
            }
            // What is said of all entries names none of them.
            _ => {}
        }
        Ok(())
    }
}

/// The records of a pax header: their length, a space, a key, `=`, a value, a line feed.
fn records(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), TarError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || (!rest.is_empty()).then(|| record(&mut rest).ok_or(TarError::Meta)))
}

fn record<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
    let (record, after) = rest.split_at_checked(length)?;
    let pair = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    *rest = after;
    Some((&pair[..equals], &pair[equals + 1..]))
}

fn path(block: &[u8]) -> String {
    let name = text(&block[..100]);
    let prefix = text(&block[345..500]);
    if block[257..].starts_with(b"ustar\0") && !prefix.is_empty() {
        format!("{prefix}/{name}")
    } else {
        name.into_owned()
    }
}

fn text(field: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// A number, octal or, for large ones, binary.
fn number(field: &[u8]) -> Result<u64, TarError> {
    if let [0x80, high @ .., _, _, _, _, _, _, _, _] = field {
        let low = &field[field.len() - 8..];
        let number = low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        // A size that wraps around would be no size.
        let fits = high.iter().all(|byte| *byte == 0) && number >> 62 == 0;
        return if fits { Ok(number) } else { Err(TarError::Number) };
    }
    let digits = std::str::from_utf8(field).map_err(|_| TarError::Number)?;
    let digits = digits.trim_matches([' ', '\0']);
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).map_err(|_| TarError::Number)
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

/// Takes off the input what is left of something.
fn take<'a>(input: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let (part, rest) = input.split_at(usize::try_from(*left).unwrap_or(usize::MAX).min(input.len()));
    *left -= part.len() as u64;
    *input = rest;
    part
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl std::fmt::Debug for Tar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tar").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
