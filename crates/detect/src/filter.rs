//! The prefilter: every rule is reduced to the four-byte strings ("quads") that its match can begin with,
//! and the text is probed at every second byte for a three-byte window that such a quad contains.
//!
//! Most of a stream is passed over by one table lookup per two bytes. A hit is looked up in a second table, of
//! whole quads, and then confirmed against the exact ones and what can follow each (`places`); they name the rules
//! to be tried at that place (`mask::engine`). The tables of quads are kept small, and so in the cache, by knowing
//! no case: most words of the rules may be written in any.

mod places;
mod tails;

use std::fmt;

pub(crate) use self::places::Places;
use self::tails::Tails;

/// The bits of the trigram table: 2^18, 32 KiB, which stays in the first-level cache.
const BITS: u32 = 18;
const WORDS: usize = 1 << (BITS - 6);

/// The bits of the table of quads: 2^17, 16 KiB.
const QUAD_BITS: u32 = 17;
const QUAD_WORDS: usize = 1 << (QUAD_BITS - 6);

/// What a quad leads to: the index of a rule in its set, or [`KNOWN`].
pub(crate) type Target = u16;

/// The target that stands for the known values.
pub(crate) const KNOWN: Target = Target::MAX;

/// How many bytes of a match a [`Start`] tells something about.
pub(crate) const OPENING: usize = 4 + Follow::LEN;

/// The bit that tells the cases of a letter apart, for each byte of a window.
const CASE: u32 = 0x2020_2020;

/// The first four bytes of a match; letters can be said to be of either case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quad {
    /// The first byte is the low one; without the bits that `exact` lacks.
    bytes: u32,
    /// The bits that must be as they are in `bytes`.
    exact: u32,
}

impl Quad {
    pub(crate) fn exactly(bytes: [u8; 4]) -> Self {
        Self { bytes: u32::from_le_bytes(bytes), exact: u32::MAX }
    }

    /// The same, whatever the case of the letter at `place`.
    pub(crate) fn in_either_case(self, place: usize) -> Self {
        let exact = !(0x20 << (8 * place));
        Self { bytes: self.bytes & exact, exact: self.exact & exact }
    }

    #[inline]
    fn is(self, bytes: u32) -> bool {
        bytes & self.exact == self.bytes
    }

    /// The two bytes, or twice the one, that can stand at `place`.
    pub(crate) fn at(self, place: usize) -> [u8; 2] {
        [self.bytes.to_le_bytes()[place], (self.bytes | !self.exact).to_le_bytes()[place]]
    }

    /// Every four bytes that it stands for.
    pub(crate) fn variants(self) -> impl Iterator<Item = [u8; 4]> {
        let free = (0..4).filter(|&place| self.at(place)[0] != self.at(place)[1]);
        let free = free.fold(0, |free, place| free | 1 << place);
        let pick = move |choice: usize| std::array::from_fn(|place| self.at(place)[choice >> place & 1]);
        (0..16).filter(move |choice| choice & !free == 0).map(pick)
    }

    /// The key under which the table holds it.
    fn folded(self) -> u32 {
        self.bytes | CASE
    }
}

impl fmt::Debug for Quad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..4).try_for_each(|place| match self.at(place) {
            [one, other] if one == other => write!(f, "{}", one.escape_ascii()),
            [one, other] => write!(f, "[{}{}]", one.escape_ascii(), other.escape_ascii()),
        })
    }
}

/// A quad and the rule that can begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Start {
    pub quad: Quad,
    /// Who wants to be tried.
    pub target: Target,
    /// Which of its openings this is.
    pub opening: u32,
    /// What can come after the quad.
    pub follow: Follow,
    /// Whether it begins a word, so that nothing of a word can stand before.
    pub at_word: bool,
    /// Whether the secret begins here, so that a stream's end that looks like the quad's first bytes
    /// must be held back.
    pub held: bool,
}

/// Which bytes can come after a quad, per place, a bit for each: most words that begin like a rule's are
/// told apart by it without starting an automaton. Bytes share bits, so that it may allow too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Follow([u64; Self::LEN]);

impl Follow {
    const LEN: usize = 6;

    #[cfg(test)]
    pub(crate) const ANY: Self = Self([u64::MAX; Self::LEN]);
    pub(crate) const NONE: Self = Self([0; Self::LEN]);

    /// Allows `byte` at `place`.
    pub(crate) fn allow(&mut self, place: usize, byte: u8) {
        self.0[place] |= Self::bit(byte);
    }

    /// Allows whatever comes at `place` and later.
    pub(crate) fn allow_all_from(&mut self, place: usize) {
        self.0[place..].fill(u64::MAX);
    }

    /// Allows `text`, and whatever comes after it.
    pub(crate) fn allow_text(&mut self, text: &[u8]) {
        let text = &text[..text.len().min(Self::LEN)];
        text.iter().enumerate().for_each(|(place, &byte)| self.allow(place, byte));
        self.allow_all_from(text.len());
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
    quads: Box<[u64; QUAD_WORDS]>,
    tails: Tails,
    slots: Vec<Slot>,
    starts: Vec<Start>,
}

#[derive(Clone, Copy)]
struct Slot {
    folded: u32,
    first: u32,
    /// Zero in a free slot.
    len: u32,
    /// The bytes that can come next, as in [`Follow`].
    next: u64,
}

impl Filter {
    pub(crate) fn new(mut starts: Vec<Start>) -> Self {
        starts.sort_unstable_by_key(|start| (start.quad.folded(), *start));
        starts.dedup();
        let groups = starts.chunk_by(|a, b| a.quad.folded() == b.quad.folded());
        let size = (groups.clone().count() * 2).next_power_of_two().max(16);
        let mut filter = Self {
            trigrams: Box::new([0; WORDS]),
            quads: Box::new([0; QUAD_WORDS]),
            tails: Tails::new(),
            slots: vec![Slot { folded: 0, first: 0, len: 0, next: 0 }; size],
            starts: Vec::new(),
        };
        let mut first = 0;
        for group in groups {
            filter.insert(Slot {
                folded: group[0].quad.folded(),
                first,
                len: group.len() as u32,
                next: group.iter().fold(0, |next, start| next | start.follow.0[0]),
            });
            first += group.len() as u32;
        }
        for (start, quad) in
            starts.iter().flat_map(|start| start.quad.variants().map(move |quad| (start, quad)))
        {
            filter.see(u32::from_le_bytes(quad));
            if start.held {
                filter.tails.insert(quad);
            }
        }
        filter.starts = starts;
        filter
    }

    /// The places in `text`, from `from` on, where a quad begins that lies wholly in `text` and is followed by what
    /// can follow it.
    pub(crate) fn places<'a>(&'a self, text: &'a [u8], from: usize) -> Places<'a> {
        Places::new(self, text, from)
    }

    /// Whether a quad begins at `at`, and is followed by what can follow it.
    #[inline]
    fn begins(&self, text: &[u8], at: usize) -> bool {
        let Some((quad, after)) = text[at..].split_first_chunk() else { return false };
        let quad = u32::from_le_bytes(*quad);
        let Some(slot) = self.slot(quad | CASE) else { return false };
        after.first().is_none_or(|&next| slot.next & Follow::bit(next) != 0)
            && self.group(slot).iter().any(|start| start.quad.is(quad) && start.follow.allows(after))
    }

    /// Who begins with `quad`.
    #[inline]
    pub(crate) fn starts(&self, quad: u32) -> impl Iterator<Item = &Start> {
        let group = self.slot(quad | CASE).map_or(&[][..], |slot| self.group(slot));
        group.iter().filter(move |start| start.quad.is(quad))
    }

    fn group(&self, slot: &Slot) -> &[Start] {
        &self.starts[slot.first as usize..(slot.first + slot.len) as usize]
    }

    #[inline]
    fn slot(&self, folded: u32) -> Option<&Slot> {
        let mask = self.slots.len() - 1;
        let mut index = spread(folded) as usize & mask;
        loop {
            let slot = &self.slots[index];
            if slot.len == 0 {
                return None;
            }
            if slot.folded == folded {
                return Some(slot);
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
    fn probe(&self, window: u32) -> u64 {
        let hash = trigram_hash(window);
        (self.trigrams[(hash >> 6) as usize & (WORDS - 1)] >> (hash & 63)) & 1
    }

    /// Whether `quad`, in some case, is in the table.
    #[inline(always)]
    fn sees(&self, quad: u32) -> bool {
        let hash = quad_hash(quad | CASE);
        (self.quads[(hash >> 6) as usize & (QUAD_WORDS - 1)] >> (hash & 63)) & 1 == 1
    }

    /// Enters a quad and both of its trigrams.
    fn see(&mut self, quad: u32) {
        let hash = quad_hash(quad | CASE);
        self.quads[(hash >> 6) as usize] |= 1 << (hash & 63);
        for window in [quad, quad >> 8] {
            let hash = trigram_hash(window);
            self.trigrams[(hash >> 6) as usize] |= 1 << (hash & 63);
        }
    }

    fn insert(&mut self, new: Slot) {
        let mask = self.slots.len() - 1;
        let mut index = spread(new.folded) as usize & mask;
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

#[inline(always)]
fn quad_hash(folded: u32) -> u32 {
    folded.wrapping_mul(0x85EB_CA6B) >> (32 - QUAD_BITS)
}

fn spread(quad: u32) -> u32 {
    quad.wrapping_mul(0x85EB_CA6B).rotate_left(15)
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
                quad: Quad::exactly(*quad),
                target: target as Target,
                opening: 0,
                follow: Follow::ANY,
                at_word: false,
                held: true,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn finds_every_quad_and_nothing_else(
            text in proptest::collection::vec(letter(), 0..600),
            quads in proptest::collection::vec((proptest::array::uniform4(letter()), letter()), 0..6),
            either in 0usize..5,
            follows in any::<bool>(),
            from in 0usize..10,
        ) {
            let mut starts = starts(&quads.iter().map(|(quad, _)| *quad).collect::<Vec<_>>());
            for (start, (_, next)) in starts.iter_mut().zip(&quads) {
                if either < 4 {
                    start.quad = start.quad.in_either_case(either);
                }
                if follows {
                    start.follow = Follow::NONE;
                    start.follow.allow_text(&[*next]);
                }
            }
            let is = |place: usize, one: u8, other: u8| {
                if place == either { one & !0x20 == other & !0x20 } else { one == other }
            };
            let begins = |at: usize| quads.iter().any(|(quad, next)| {
                (0..4).all(|place| is(place, text[at + place], quad[place]))
                    && (!follows || text.get(at + 4).is_none_or(|byte| byte.eq_ignore_ascii_case(next)))
            });
            let naive: Vec<usize> = (from..text.len().saturating_sub(3)).filter(|&at| begins(at)).collect();
            let filter = Filter::new(starts);
            prop_assert_eq!(filter.places(&text, from).collect::<Vec<_>>(), naive);
        }
    }

    fn letter() -> impl Strategy<Value = u8> {
        proptest::sample::select(b"abA_".to_vec())
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
