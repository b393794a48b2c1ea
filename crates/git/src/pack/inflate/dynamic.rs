//! The codes that a block brings along: lengths of code words, themselves written in a code (RFC 1951, section 3.2.7).

use super::{
    InflateError,
    bits::{Bits, Source},
    codes::{Codes, LENGTHS, Lengths},
};

/// The most symbols that a code of literals and lengths, and one of distances, may have.
const LITERALS: usize = 286;
const DISTANCES: usize = 30;
/// The order in which the lengths of the lengths' own code come.
const ORDER: [u8; LENGTHS] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// What was read of a block's codes.
pub(super) struct Dynamic {
    head: Option<Head>,
    own: [u8; LENGTHS],
    /// The code of lengths, once these are whole.
    code: Lengths,
    own_read: usize,
    lengths: [u8; LITERALS + DISTANCES],
    read: usize,
}

/// How many lengths there are.
#[derive(Clone, Copy)]
struct Head {
    literals: usize,
    distances: usize,
    own: usize,
}

impl Dynamic {
    pub(super) fn new() -> Self {
        Self {
            head: None,
            own: [0; LENGTHS],
            code: Lengths::new(),
            own_read: 0,
            lengths: [0; LITERALS + DISTANCES],
            read: 0,
        }
    }

    /// Begins another block.
    pub(super) fn begin(&mut self) {
        (self.head, self.own_read, self.read) = (None, 0, 0);
    }

    /// Reads what is there; makes the codes and says so when they are whole.
    pub(super) fn read(
        &mut self,
        bits: &mut Bits,
        source: &mut Source<'_>,
        codes: &mut Codes,
    ) -> Result<bool, InflateError> {
        let Some(Head { literals, distances, own }) = self.head(bits, source)? else { return Ok(false) };
        while self.own_read < own {
            let Some(length) = bits.take(source, 3) else { return Ok(false) };
            self.own[usize::from(ORDER[self.own_read])] = length as u8;
            self.own_read += 1;
            if self.own_read == own {
                self.code.of(&self.own)?;
            }
        }
        if !self.lengths(bits, source, literals + distances)? {
            return Ok(false);
        }
        let (literals, distances) = self.lengths[..literals + distances].split_at(literals);
        if literals[256] == 0 {
            return Err(InflateError("a block has no end"));
        }
        codes.build(literals, distances)?;
        Ok(true)
    }

    fn head(&mut self, bits: &mut Bits, source: &mut Source<'_>) -> Result<Option<Head>, InflateError> {
        if self.head.is_none() {
            let Some(head) = bits.take(source, 14) else { return Ok(None) };
            let number = |shift: u32, width: u32| (head >> shift & ((1 << width) - 1)) as usize;
            let (literals, distances) = (number(0, 5) + 257, number(5, 5) + 1);
            if literals > LITERALS || distances > DISTANCES {
                return Err(InflateError("a code has too many symbols"));
            }
            self.own = [0; LENGTHS];
            self.head = Some(Head { literals, distances, own: number(10, 4) + 4 });
        }
        Ok(self.head)
    }

    /// Reads lengths, of which there are `all`; whether they are whole.
    fn lengths(
        &mut self,
        bits: &mut Bits,
        source: &mut Source<'_>,
        all: usize,
    ) -> Result<bool, InflateError> {
        while self.read < all {
            let (entry, _) = self.code.find(bits.bits);
            let symbol = entry.literal();
            let (extra, least) = match symbol {
                16 => (2, 3),
                17 => (3, 3),
                18 => (7, 11),
                _ => (0, 1),
            };
            if entry.bits() + extra > bits.count {
                if bits.pull(source) {
                    continue;
                }
                return Ok(false);
            }
            bits.drop(entry.bits());
            let times = least + (bits.bits & ((1 << extra) - 1)) as usize;
            bits.drop(extra);
            let length = match symbol {
                16 => self.read.checked_sub(1).map(|last| self.lengths[last]),
                17 | 18 => Some(0),
                length => Some(length),
            };
            let length = length.ok_or(InflateError("a length of nothing is repeated"))?;
            match self.lengths[..all].get_mut(self.read..self.read + times) {
                Some([one]) => *one = length,
                Some(lengths) => lengths.fill(length),
                None => return Err(InflateError("a length is repeated too often")),
            }
            self.read += times;
        }
        Ok(true)
    }
}
