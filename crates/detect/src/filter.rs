//! The prefilter: every rule is reduced to the four-byte strings ("quads") that its match can begin with,
//! and the text is probed at every second byte for a three-byte window that such a quad contains.
//!
//! Most of a stream is passed over by one table lookup per two bytes; a hit is confirmed against the exact
//! quads, which name the rules to be tried at that place (`mask::engine`).

/// The bits of the trigram table: 2^18, 32 KiB, which stays in the first-level cache.
const BITS: u32 = 18;
const WORDS: usize = 1 << (BITS - 6);

/// What a quad leads to: the index of a rule in its set, or [`KNOWN`].
pub(crate) type Target = u16;

/// The target that stands for the known values.
pub(crate) const KNOWN: Target = Target::MAX;

/// How many bytes of a match a [`Start`] tells something about.
pub(crate) const OPENING: usize = 4 + Follow::LEN;

/// A quad and the rule that can begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    /// Four bytes, the first in the low byte.
    pub quad: u32,
    /// Who wants to be tried.
    pub target: Target,
    /// What can come after the quad.
    pub follow: Follow,
    /// Whether the secret begins here, so that a stream's end that looks like the quad's first bytes
    /// must be held back.
    pub held: bool,
}

/// Which bytes can come after a quad, per place, a bit for each: most words that begin like a rule's are
/// told apart by it without starting an automaton. Bytes share bits, so that it may allow too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Follow([u64; Self::LEN]);

impl Follow {
    const LEN: usize = 3;

    pub(crate) const ANY: Self = Self([u64::MAX; Self::LEN]);
    pub(crate) const NONE: Self = Self([0; Self::LEN]);

    /// Allows `text` too, and with it whatever comes where it ends early.
    pub(crate) fn add(&mut self, text: &[u8]) {
        for (place, set) in self.0.iter_mut().enumerate() {
            *set |= text.get(place).map_or(u64::MAX, |&byte| Self::bit(byte));
        }
    }

    /// Whether `text` can come, as far as it goes.
    #[inline]
    pub(crate) fn allows(self, text: &[u8]) -> bool {
        self.0.iter().zip(text).all(|(set, &byte)| set & Self::bit(byte) != 0)
    }

    fn bit(byte: u8) -> u64 {
        1 << (byte.to_ascii_uppercase() & 63)
    }
}

pub(crate) struct Filter {
    trigrams: Box<[u64; WORDS]>,
    tails: Tails,
    slots: Vec<Slot>,
    starts: Vec<Start>,
}

#[derive(Clone, Copy)]
struct Slot {
    quad: u32,
    first: u32,
    /// Zero in a free slot.
    len: u32,
}

impl Filter {
    pub(crate) fn new(mut starts: Vec<Start>) -> Self {
        starts.sort_unstable();
        starts.dedup();
        let quads = starts.chunk_by(|a, b| a.quad == b.quad);
        let size = (quads.clone().count() * 4).next_power_of_two().max(16);
        let mut filter = Self {
            trigrams: Box::new([0; WORDS]),
            tails: Tails::new(),
            slots: vec![Slot { quad: 0, first: 0, len: 0 }; size],
            starts: Vec::new(),
        };
        let mut first = 0;
        for group in quads {
            filter.insert(Slot { quad: group[0].quad, first, len: group.len() as u32 });
            first += group.len() as u32;
            if group.iter().any(|start| start.held) {
                filter.tails.insert(group[0].quad.to_le_bytes());
            }
        }
        filter.starts = starts;
        filter
    }

    /// The first place in `text`, from `from` on, where a quad begins; the quad lies wholly in `text`.
    pub(crate) fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        // A window at `at` sees the quads that begin at `at` and at `at - 1`.
        let mut at = from;
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
            let low = u64::from_le_bytes([
                block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7],
            ]);
            let high = u64::from_le_bytes([
                block[6], block[7], block[8], block[9], block[10], block[11], block[12], block[13],
            ]);
            let hits = self.probe(low)
                | self.probe(low >> 16) << 1
                | self.probe(low >> 32) << 2
                | self.probe(high) << 3
                | self.probe(high >> 16) << 4
                | self.probe(high >> 32) << 5;
            if hits != 0
                && let Some(place) = self.confirm(text, from, at, hits)
            {
                return Some(place);
            }
            at += 12;
        }
        // The last bytes, one by one; the window before `at` may still hide a quad at `at - 1`.
        (at.saturating_sub(1).max(from)..text.len().saturating_sub(3)).find(|&at| self.at(text, at))
    }

    fn confirm(&self, text: &[u8], from: usize, at: usize, mut hits: u64) -> Option<usize> {
        while hits != 0 {
            let window = at + 2 * hits.trailing_zeros() as usize;
            if window > from && self.at(text, window - 1) {
                return Some(window - 1);
            }
            if self.at(text, window) {
                return Some(window);
            }
            hits &= hits - 1;
        }
        None
    }

    fn at(&self, text: &[u8], at: usize) -> bool {
        text.get(at..)
            .and_then(|rest| rest.first_chunk())
            .is_some_and(|quad| self.is_quad(u32::from_le_bytes(*quad)))
    }

    fn is_quad(&self, quad: u32) -> bool {
        self.probe(u64::from(quad)) != 0 && !self.starts(quad).is_empty()
    }

    /// Who begins with `quad`.
    #[inline]
    pub(crate) fn starts(&self, quad: u32) -> &[Start] {
        if self.probe(u64::from(quad >> 8)) == 0 {
            return &[];
        }
        let mask = self.slots.len() - 1;
        let mut index = spread(quad) as usize & mask;
        loop {
            let slot = self.slots[index];
            if slot.len == 0 {
                return &[];
            }
            if slot.quad == quad {
                return &self.starts[slot.first as usize..(slot.first + slot.len) as usize];
            }
            index = (index + 1) & mask;
        }
    }

    /// How many of the last bytes, at most three, could be the beginning of a held quad.
    pub(crate) fn tail(&self, last: &[u8]) -> usize {
        self.tails.longest(last)
    }

    /// One if the low three bytes of `window` are in the table.
    #[inline(always)]
    fn probe(&self, window: u64) -> u64 {
        let hash = trigram_hash(window as u32);
        (self.trigrams[(hash >> 6) as usize & (WORDS - 1)] >> (hash & 63)) & 1
    }

    fn insert(&mut self, new: Slot) {
        for window in [new.quad, new.quad >> 8] {
            let hash = trigram_hash(window);
            self.trigrams[(hash >> 6) as usize] |= 1 << (hash & 63);
        }
        let mask = self.slots.len() - 1;
        let mut index = spread(new.quad) as usize & mask;
        while self.slots[index].len != 0 {
            index = (index + 1) & mask;
        }
        self.slots[index] = new;
    }
}

#[inline(always)]
fn trigram_hash(window: u32) -> u32 {
    // The shift drops the fourth byte before the product spreads the other three over the high bits.
    (window << 8).wrapping_mul(0x9E37_79B1) >> (32 - BITS)
}

fn spread(quad: u32) -> u32 {
    quad.wrapping_mul(0x85EB_CA6B).rotate_left(15)
}

/// Which one, two and three bytes a held quad begins with, exactly for one and two.
struct Tails {
    one: [bool; 256],
    two: Vec<u64>,
    three: Vec<u32>,
}

impl Tails {
    fn new() -> Self {
        Self { one: [false; 256], two: vec![0; 1 << 10], three: Vec::new() }
    }

    fn insert(&mut self, quad: [u8; 4]) {
        self.one[quad[0] as usize] = true;
        let pair = u16::from_le_bytes([quad[0], quad[1]]) as usize;
        self.two[pair >> 6] |= 1 << (pair & 63);
        let triple = u32::from_le_bytes([quad[0], quad[1], quad[2], 0]);
        if let Err(place) = self.three.binary_search(&triple) {
            self.three.insert(place, triple);
        }
    }

    fn longest(&self, last: &[u8]) -> usize {
        match *last {
            [.., a, b, c] if self.has_three([a, b, c]) => 3,
            [.., a, b] if self.has_two([a, b]) => 2,
            [.., a] if self.one[a as usize] => 1,
            _ => 0,
        }
    }

    fn has_two(&self, pair: [u8; 2]) -> bool {
        let pair = u16::from_le_bytes(pair) as usize;
        self.two[pair >> 6] >> (pair & 63) & 1 == 1
    }

    fn has_three(&self, [a, b, c]: [u8; 3]) -> bool {
        self.has_two([a, b]) && self.three.binary_search(&u32::from_le_bytes([a, b, c, 0])).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn starts(quads: &[[u8; 4]]) -> Vec<Start> {
        quads
            .iter()
            .enumerate()
            .map(|(target, quad)| Start {
                quad: u32::from_le_bytes(*quad),
                target: target as Target,
                follow: Follow::ANY,
                held: true,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn finds_the_first_quad_and_nothing_else(
            text in proptest::collection::vec(b'a'..=b'c', 0..80),
            quads in proptest::collection::vec(proptest::array::uniform4(b'a'..=b'c'), 0..6),
            from in 0usize..10,
        ) {
            let filter = Filter::new(starts(&quads));
            let naive = (from..text.len().saturating_sub(3)).find(|&at| quads.iter().any(|quad| text[at..].starts_with(quad)));
            prop_assert_eq!(filter.find(&text, from), naive);
        }
    }

    #[test]
    fn a_tail_is_the_longest_beginning_of_a_quad() {
        let filter = Filter::new(starts(&[*b"AKIA", *b"ghp_"]));
        for (text, expected) in
            [("", 0), ("x", 0), ("xA", 1), ("AK", 2), ("AKI", 3), ("AKIA", 1), ("gh", 2), ("hp", 0)]
        {
            assert_eq!(filter.tail(text.as_bytes()), expected, "{text}");
        }
    }
}
