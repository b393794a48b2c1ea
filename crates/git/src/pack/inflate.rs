//! Inflates zlib streams (RFC 1950, 1951), one after the other, in pieces of any size.
//!
//! A pack is many small streams, of which nobody knows where they end: libraries that are fast want the whole
//! of a stream, and the others take half their time to begin one. What this one takes and refuses is what zlib does.

mod bits;
mod codes;
mod dynamic;
mod fuzz;
mod run;
#[cfg(test)]
mod tests;

use simd_adler32::Adler32;

pub use self::fuzz::fuzz_inflate;
use self::{
    bits::{Bits, Source},
    codes::{Codes, FIXED},
    dynamic::Dynamic,
    run::{Run, copy},
};

/// Bytes that a stream may copy from behind it.
const WINDOW: usize = 32 * 1024;
/// Bytes that are made at once at most.
const MADE: usize = 96 * 1024;
/// Bytes of some literals and the longest copy behind those, and what copying in words writes behind it.
const MORE: usize = 4 + 258 + 32;
const OUT: usize = WINDOW + MADE + MORE;
/// Bytes of input with which symbols are read without asking for the end of it.
const AHEAD: usize = 16;

/// Why a stream can't be inflated: its sender made it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the zlib stream is malformed: {0}")]
pub struct InflateError(&'static str);

/// A zlib stream that is read, and then the next.
pub(super) struct Inflate {
    state: State,
    bits: Bits,
    /// Whether the block is the last.
    last: bool,
    /// Those of the block, if it brought any, and what was read of them.
    codes: Codes,
    dynamic: Dynamic,
    /// What was made last.
    out: Box<[u8; OUT]>,
    /// Where in it the end of what was made is.
    at: usize,
    /// Where in it the beginning is of what is not in the checksum.
    summed: usize,
    checksum: Adler32,
    total: u64,
}

/// A step through a stream.
pub(super) struct Progress<'a> {
    /// Bytes of the input that it took.
    pub(super) read: usize,
    pub(super) made: &'a [u8],
    pub(super) ended: bool,
}

enum State {
    Header,
    Block,
    /// Bytes that are there as they are: the head of them, and how many are left.
    StoredHead,
    Stored(usize),
    Dynamic,
    Symbols {
        fixed: bool,
    },
    Checksum,
    Ended,
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header,
            bits: Bits::default(),
            last: false,
            codes: Codes::new(),
            dynamic: Dynamic::new(),
            out: Box::new([0; OUT]),
            at: 0,
            summed: 0,
            checksum: Adler32::new(),
            total: 0,
        }
    }

    /// Begins another stream.
    pub(super) fn begin(&mut self) {
        (self.state, self.bits) = (State::Header, Bits::default());
        (self.at, self.summed, self.total) = (0, 0, 0);
        self.checksum = Adler32::new();
    }

    /// Bytes that the stream has made so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Goes on until the input ends, or the stream, or as much was made as is made at once.
    ///
    /// # Errors
    /// [`InflateError`]; then nothing but [`begin`](Self::begin) is of use.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Progress<'_>, InflateError> {
        // Not with every step, of which there may be one for each byte.
        if self.at > WINDOW + MADE / 2 {
            self.sum();
            self.out.copy_within(self.at - WINDOW..self.at, 0);
            (self.at, self.summed) = (WINDOW, WINDOW);
        }
        let (start, mut source) = (self.at, Source::new(input));
        while self.advance(&mut source)? {}
        self.total += (self.at - start) as u64;
        let ended = matches!(self.state, State::Ended);
        Ok(Progress { read: source.read, made: &self.out[start..self.at], ended })
    }

    /// Goes on to another state; `false` if there is nothing to do, or nothing to do it with.
    fn advance(&mut self, source: &mut Source<'_>) -> Result<bool, InflateError> {
        match &mut self.state {
            State::Header => {
                let Some(header) = self.bits.take(source, 16) else { return Ok(false) };
                let (method, flags) = (header & 0xff, header >> 8);
                if (method << 8 | flags) % 31 != 0 {
                    return Err(InflateError("its header is wrong"));
                }
                if method & 0xf != 8 || method >> 4 > 7 {
                    return Err(InflateError("its method is not known"));
                }
                if flags & 0x20 != 0 {
                    return Err(InflateError("it needs a dictionary"));
                }
                self.state = State::Block;
            }
            State::Block => {
                let Some(head) = self.bits.take(source, 3) else { return Ok(false) };
                self.last = head & 1 != 0;
                self.state = match head >> 1 {
                    0 => State::StoredHead,
                    1 => State::Symbols { fixed: true },
                    2 => {
                        self.dynamic.begin();
                        State::Dynamic
                    }
                    _ => return Err(InflateError("a block is of no known type")),
                };
            }
            State::StoredHead => {
                self.bits.align();
                let Some(head) = self.bits.take(source, 32) else { return Ok(false) };
                let (length, inverted) = (head & 0xffff, head >> 16);
                if length != inverted ^ 0xffff {
                    return Err(InflateError("a stored block is of two lengths"));
                }
                self.state = State::Stored(length as usize);
            }
            State::Stored(left) => {
                let part = source.rest();
                let room = (WINDOW + MADE).saturating_sub(self.at);
                let part = &part[..part.len().min(*left).min(room)];
                self.out[self.at..self.at + part.len()].copy_from_slice(part);
                self.at += part.len();
                source.read += part.len();
                *left -= part.len();
                if *left > 0 {
                    return Ok(false);
                }
                self.end_block();
            }
            State::Dynamic => {
                if !self.dynamic.read(&mut self.bits, source, &mut self.codes)? {
                    return Ok(false);
                }
                self.state = State::Symbols { fixed: false };
            }
            State::Symbols { fixed } => {
                let fixed = *fixed;
                if !self.symbols(source, fixed)? {
                    return Ok(false);
                }
                self.end_block();
            }
            State::Checksum => {
                self.bits.align();
                let Some(checksum) = self.bits.take(source, 32) else { return Ok(false) };
                self.sum();
                if self.checksum.finish() != (checksum as u32).swap_bytes() {
                    return Err(InflateError("its checksum is that of another"));
                }
                self.state = State::Ended;
            }
            State::Ended => return Ok(false),
        }
        Ok(true)
    }

    fn end_block(&mut self) {
        self.state = if self.last { State::Checksum } else { State::Block };
    }

    /// Makes what the symbols of a block say; whether the block ended.
    fn symbols(&mut self, source: &mut Source<'_>, fixed: bool) -> Result<bool, InflateError> {
        loop {
            if source.rest().len() >= AHEAD && self.at < WINDOW + MADE && self.run(source, fixed)? {
                return Ok(true);
            }
            // One with care, near an end of something.
            if self.at >= WINDOW + MADE {
                return Ok(false);
            }
            let codes = if fixed { &*FIXED } else { &self.codes };
            let bits = self.bits.bits;
            let (entry, skipped) = codes.literals.find(bits);
            let used = skipped + entry.bits();
            let (distance, skips) = codes.distances.find(bits >> used);
            let is_copy = !entry.is_literal() && !entry.is_special();
            let needed = used + if is_copy { skips + distance.bits() } else { 0 };
            if needed > self.bits.count {
                if self.bits.pull(source) {
                    continue;
                }
                return Ok(false);
            }
            if entry.is_literal() {
                self.out[self.at] = entry.literal();
                self.at += 1;
            } else if is_copy {
                if distance.is_special() {
                    return Err(InflateError("a distance is of no known code"));
                }
                let length = entry.number(bits >> skipped);
                let distance = distance.number(bits >> used >> skips);
                self.at = copy(&mut self.out, self.at, distance, length)?;
            } else if !entry.is_end() {
                return Err(InflateError("a symbol is of no known code"));
            }
            self.bits.drop(needed);
            if entry.is_end() {
                return Ok(true);
            }
        }
    }

    /// The same, fast, while there is enough of everything.
    fn run(&mut self, source: &mut Source<'_>, fixed: bool) -> Result<bool, InflateError> {
        let codes = if fixed { &*FIXED } else { &self.codes };
        let Bits { bits, count } = self.bits;
        let mut run = Run { bits, count, at: self.at, read: source.read };
        let ended = run.symbols(codes, source.input, &mut self.out)?;
        // Whole bytes go back to where they came from: the next stream may begin with them.
        let back = (run.count as usize / 8).min(run.read - source.read);
        let count = run.count - back as u32 * 8;
        self.bits = Bits { bits: run.bits & ((1 << count) - 1), count };
        (self.at, source.read) = (run.at, run.read - back);
        Ok(ended)
    }

    fn sum(&mut self) {
        self.checksum.write(&self.out[self.summed..self.at]);
        self.summed = self.at;
    }
}
