//! Huffman codes of deflate (RFC 1951, section 3.2), as tables that are asked with the bits that come next.
//!
//! A table holds an entry for every sequence of its first bits. Code words longer than that have an entry that
//! points to a table of their own behind the first, which is asked with the bits after these.

use std::{ops::Range, sync::LazyLock};

use super::InflateError;

/// Symbols of a code of literals and lengths, and of one of distances.
pub(super) const LITERALS: usize = 288;
pub(super) const DISTANCES: usize = 32;
/// Symbols of a code in which the lengths of the others are written.
pub(super) const LENGTHS: usize = 19;
/// The longest code word.
const LONGEST: usize = 15;

/// What a sequence of bits stands for. From the lowest bit on:
/// - 8 bits: how many of the sequence it takes, with the extra bits behind the code word,
/// - 5 bits: how many of these are the code word; of a pointer, by how many bits its table is asked,
/// - 3 flags: the end of a block, a pointer, and anything that is neither a length nor a literal,
/// - 15 bits: a literal, the least length or distance, or where a table begins,
/// - 1 flag: a literal.
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

const END: u32 = 1 << 13;
const POINTER: u32 = 1 << 14;
/// A flag alone: no code word begins so.
const SPECIAL: u32 = 1 << 15;
const LITERAL: u32 = 1 << 31;

impl Entry {
    /// The bits that it takes.
    pub(super) fn bits(self) -> u32 {
        self.0 & 0xff
    }

    pub(super) fn is_literal(self) -> bool {
        self.0 & LITERAL != 0
    }

    pub(super) fn literal(self) -> u8 {
        (self.0 >> 16) as u8
    }

    pub(super) fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }

    pub(super) fn is_end(self) -> bool {
        self.0 & END != 0
    }

    /// A length or distance, with its extra bits.
    pub(super) fn number(self, bits: u64) -> usize {
        let extra = (bits & ((1 << self.bits()) - 1)) >> (self.0 >> 8 & 0x1f);
        self.least() + extra as usize
    }

    fn least(self) -> usize {
        (self.0 >> 16 & 0x7fff) as usize
    }

    pub(super) fn is_pointer(self) -> bool {
        self.0 & POINTER != 0
    }
}

/// A code, of which every table together has at most `N` entries: a power of two.
pub(super) struct Code<const N: usize> {
    entries: Box<[Entry; N]>,
    mask: u64,
}

/// What stands for a code of `288` symbols, asked by 11 bits: 2,342 entries are the most there can be, by
/// `enough 288 11 15` of zlib.
pub(super) type Literals = Code<4096>;
/// The same for `32` symbols and 8 bits: 402.
pub(super) type Distances = Code<512>;
/// The same for `19` symbols and 7 bits, of which no code word has more.
pub(super) type Lengths = Code<128>;

/// The codes of a block.
pub(super) struct Codes {
    pub(super) literals: Literals,
    pub(super) distances: Distances,
}

/// Those of a block with fixed codes (RFC 1951, section 3.2.6).
pub(super) static FIXED: LazyLock<Codes> = LazyLock::new(|| {
    let mut lengths = [8; LITERALS];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    let mut codes = Codes::new();
    let built = codes.build(&lengths, &[5; DISTANCES]);
    debug_assert_eq!(built, Ok(()), "the codes are complete");
    codes
});

impl Codes {
    pub(super) fn new() -> Self {
        Self { literals: Code::new(), distances: Code::new() }
    }

    /// Makes codes of the lengths of their words.
    pub(super) fn build(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), InflateError> {
        self.literals.build(literals, 11, &LITERAL_SYMBOLS, true)?;
        self.distances.build(distances, 8, &DISTANCE_SYMBOLS, true)
    }
}

impl Lengths {
    /// Makes the code of the lengths of others.
    pub(super) fn of(&mut self, lengths: &[u8; LENGTHS]) -> Result<(), InflateError> {
        self.build(lengths, 7, &LENGTH_SYMBOLS, false)
    }
}

impl<const N: usize> Code<N> {
    pub(super) fn new() -> Self {
        Self { entries: Box::new([Entry(SPECIAL); N]), mask: 0 }
    }

    /// What the next bits stand for, and how many come before those that it takes.
    #[inline(always)]
    pub(super) fn find(&self, bits: u64) -> (Entry, u32) {
        let entry = self.first(bits);
        if entry.is_pointer() { (self.second(entry, bits >> entry.bits()), entry.bits()) } else { (entry, 0) }
    }

    #[inline(always)]
    pub(super) fn first(&self, bits: u64) -> Entry {
        self.entries[(bits & self.mask) as usize % N]
    }

    #[inline(always)]
    pub(super) fn second(&self, pointer: Entry, bits: u64) -> Entry {
        let behind = bits & ((1 << (pointer.0 >> 8 & 0x1f)) - 1);
        self.entries[(pointer.least() + behind as usize) % N]
    }

    /// `symbols`: what each stands for, without its code word.
    fn build(&mut self, lengths: &[u8], bits: u32, symbols: &[u32], lone: bool) -> Result<(), InflateError> {
        let (mut counts, used) = ([0u16; LONGEST + 1], Used::of(lengths));
        for symbol in used.symbols() {
            counts[usize::from(lengths[usize::from(*symbol)] & 15)] += 1;
        }
        let Some(longest) = counts.iter().rposition(|count| *count != 0) else {
            // No word at all. Whoever asks for one is wrong, as in zlib by any bit; a length is zero by it, and so the
            // block has no end.
            let symbol = if lone { SPECIAL } else { symbols[0] };
            (self.entries[0], self.mask) = (Entry(symbol | 1 << 8 | 1), 0);
            return Ok(());
        };
        // By the rules of zlib: what is not complete has one word of one bit.
        let mut room = 1i32;
        for count in &counts[1..=longest] {
            room = (room << 1) - i32::from(*count);
            if room < 0 {
                return Err(InflateError("a code has too many words"));
            }
        }
        if room > 0 && (longest > 1 || !lone) {
            return Err(InflateError("a code lacks words"));
        }

        // Symbols by the length of their words.
        let (mut sorted, mut next) = ([0u16; LITERALS], [0usize; LONGEST + 2]);
        for length in 1..=LONGEST {
            next[length + 1] = next[length] + usize::from(counts[length]);
        }
        for symbol in used.symbols() {
            let place = &mut next[usize::from(lengths[usize::from(*symbol)] & 15)];
            sorted[*place] = *symbol;
            *place += 1;
        }
        self.fill(&counts, &sorted, (bits as usize).min(longest), longest, symbols);
        Ok(())
    }

    /// Words are taken in their order; as the first of a word's bits is the lowest, a word is counted up backwards.
    fn fill(&mut self, counts: &[u16; 16], sorted: &[u16], bits: usize, longest: usize, symbols: &[u32]) {
        let entries = &mut *self.entries;
        let (mut word, mut sorted) = (0usize, sorted.iter());
        let entry = |symbol: &u16, length: usize| {
            Entry(symbols[usize::from(*symbol)] + (length << 8 | length) as u32)
        };
        entries[..2].fill(Entry(SPECIAL));
        for (length, count) in counts.iter().enumerate().take(bits + 1).skip(1) {
            // A table of one more bit: twice what there is.
            if length > 1 {
                let half = 1 << (length - 1);
                entries.copy_within(..half, half);
            }
            for symbol in sorted.by_ref().take((*count).into()) {
                entries[word] = entry(symbol, length);
                word = following(word, length);
            }
        }
        self.mask = (1 << bits) - 1;
        let (mut end, mut start, mut prefix) = (1 << bits, 0, usize::MAX);
        for length in bits + 1..=longest {
            for (taken, symbol) in sorted.by_ref().take(counts[length].into()).enumerate() {
                let behind = length - bits;
                if word & self.mask as usize != prefix {
                    prefix = word & self.mask as usize;
                    start = end;
                    // As many bits as the words need that share this beginning.
                    let (mut wide, mut words) = (behind, usize::from(counts[length]) - taken);
                    while words < 1 << wide && wide + bits < longest {
                        wide += 1;
                        words = words * 2 + usize::from(counts[bits + wide]);
                    }
                    end = start + (1 << wide);
                    let pointer = (start << 16 | wide << 8 | bits) as u32;
                    entries[prefix] = Entry(pointer | POINTER | SPECIAL);
                }
                let places = start + (word >> bits)..end;
                for place in places.step_by(1 << behind) {
                    entries[place] = entry(symbol, behind);
                }
                word = following(word, length);
            }
        }
    }
}

/// The symbols of a code that have a word: of a small stream few do.
struct Used {
    symbols: [u16; LITERALS],
    count: usize,
}

impl Used {
    fn of(lengths: &[u8]) -> Self {
        let mut used = Self { symbols: [0; LITERALS], count: 0 };
        let (eights, rest) = lengths.as_chunks::<8>();
        let mut first = 0;
        for eight in eights {
            if u64::from_le_bytes(*eight) != 0 {
                used.add(first, eight);
            }
            first += 8;
        }
        used.add(first, rest);
        used
    }

    #[inline(always)]
    fn add(&mut self, first: u16, lengths: &[u8]) {
        for (symbol, length) in (first..).zip(lengths) {
            // Written in any case, and counted where it has a word.
            if let Some(place) = self.symbols.get_mut(self.count) {
                *place = symbol;
            }
            self.count += usize::from(*length != 0);
        }
    }

    fn symbols(&self) -> &[u16] {
        &self.symbols[..self.count]
    }
}

/// The word behind another of that many bits, the first bit lowest.
fn following(word: usize, length: usize) -> usize {
    let zeros = !word & ((1 << length) - 1);
    match zeros.checked_ilog2() {
        // The highest zero becomes a one, the ones above it zeros.
        Some(bit) => (word & ((1 << bit) - 1)) | 1 << bit,
        None => 0,
    }
}

/// RFC 1951, section 3.2.5: literals, the end of a block, and lengths.
static LITERAL_SYMBOLS: [u32; LITERALS] = {
    let mut symbols = numbers(literals([SPECIAL; LITERALS], 256), 257..285, 3, 4);
    symbols[256] = SPECIAL | END;
    symbols[285] = 258 << 16;
    symbols
};

/// The same: distances.
static DISTANCE_SYMBOLS: [u32; DISTANCES] = numbers([SPECIAL; DISTANCES], 0..30, 1, 2);

/// RFC 1951, section 3.2.7: lengths of code words, and of runs of them, whose extra bits are read apart.
static LENGTH_SYMBOLS: [u32; LENGTHS] = literals([SPECIAL; LENGTHS], LENGTHS);

/// The first `count` symbols as literals.
const fn literals<const N: usize>(mut symbols: [u32; N], count: usize) -> [u32; N] {
    let mut symbol = 0;
    while symbol < count {
        symbols[symbol] = LITERAL | (symbol as u32) << 16;
        symbol += 1;
    }
    symbols
}

/// Some symbols as numbers from `least` on: of `each` symbols in turn one extra bit more than those before, the first
/// twice as many without any.
const fn numbers<const N: usize>(
    mut symbols: [u32; N],
    places: Range<usize>,
    mut least: u32,
    each: usize,
) -> [u32; N] {
    let mut place = places.start;
    while place < places.end {
        let extra = ((place - places.start) / each).saturating_sub(1) as u32;
        symbols[place] = least << 16 | extra;
        least += 1 << extra;
        place += 1;
    }
    symbols
}
