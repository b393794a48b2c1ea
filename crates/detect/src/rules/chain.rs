//! Which states of an automaton follow one another while bytes of one class come. Most of what a secret is made of
//! is a class some dozens of times over, and most of what leads to it the rest of a word: who stands there need not
//! look at each byte, only know how many of the class come next, which all who ask the same can share.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::primitives::StateID;

use super::compile::starts;

/// Chains shorter than this are walked byte by byte.
const SHORTEST: usize = 4;

/// A set of bytes, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteClass([u64; 4]);

impl ByteClass {
    pub(crate) const NONE: Self = Self([0; 4]);

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Which of `bytes`, 64 at most, are in the class, the first in the lowest bit.
    pub(crate) fn mask(&self, bytes: &[u8]) -> u64 {
        bytes.iter().enumerate().fold(0, |mask, (place, &byte)| mask | u64::from(self.has(byte)) << place)
    }
}

/// Where bytes of a class lead.
#[derive(Clone, Copy)]
struct Chain {
    /// Its class, in `classes`.
    class: u16,
    /// How many bytes of the class it takes; [`LOOP`] if they leave the state as it is.
    len: u16,
    /// Where in `line` it stands.
    place: u32,
    /// The first state that does the same as this one, on every byte and at the end.
    same: StateID,
    /// Whether it matches, and nothing can come after it.
    is_last: bool,
}

const LOOP: u16 = u16::MAX;

const NO_CHAIN: Chain = Chain { class: 0, len: 0, place: 0, same: StateID::ZERO, is_last: false };

/// All chains of one automaton.
pub(crate) struct Chains {
    stride2: usize,
    /// For each state, by its index.
    of: Box<[Chain]>,
    classes: Box<[ByteClass]>,
    /// States, each with where in this line the last one that matches stands, itself or before it, counted
    /// from one.
    line: Box<[(StateID, u32)]>,
}

/// What comes of taking bytes of a class.
pub(crate) struct Leap {
    pub taken: usize,
    pub state: StateID,
    /// After how many of them, one at least, the last matching state came.
    pub matched: Option<usize>,
}

impl Chains {
    pub(super) fn new(dfa: &dense::DFA<Vec<u32>>) -> Self {
        let Steps { same, last, onward } = steps(dfa, starts(dfa, false).into_iter().collect());
        let place_of = |state: StateID| state.as_usize() >> dfa.stride2();
        let mut of = vec![NO_CHAIN; same.keys().max().map_or(0, |&last| place_of(last) + 1)];
        let (mut classes, mut line) = (Vec::new(), Vec::<(StateID, u32)>::new());
        let goes_on =
            |(class, next): &(ByteClass, StateID)| onward.get(next).is_some_and(|(then, _)| then == class);
        let inner: BTreeSet<StateID> =
            onward.values().filter(|step| goes_on(step)).map(|(_, next)| *next).collect();
        // Those that no chain leads to come first, so that each chain is written whole; then rings.
        let heads = onward.keys().filter(|state| !inner.contains(state));
        let mut placed = BTreeSet::new();
        for &head in heads.chain(onward.keys()) {
            if placed.contains(&head) {
                continue;
            }
            let class = onward[&head].0;
            let (first, mut state) = (line.len(), head);
            while let Some((_, next)) = onward.get(&state).filter(|(same, _)| *same == class)
                && line.len() - first < usize::from(LOOP) - 1
                && placed.insert(state)
            {
                line.push((state, 0));
                state = *next;
            }
            line.push((state, 0));
            let last = line.len() - 1;
            let index = classes.iter().position(|known| *known == class).unwrap_or_else(|| {
                classes.push(class);
                classes.len() - 1
            });
            for (place, &(state, _)) in line.iter().enumerate().take(last).skip(first) {
                let len = if onward[&state].1 == state { LOOP } else { (last - place) as u16 };
                if usize::from(len) >= SHORTEST && index < usize::from(u16::MAX) {
                    of[place_of(state)] = Chain { class: index as u16, len, place: place as u32, ..NO_CHAIN };
                }
            }
            let mut matched = 0;
            for (place, (state, last)) in line.iter_mut().enumerate().skip(first) {
                matched = if dfa.is_match_state(*state) { place as u32 + 1 } else { matched };
                *last = matched;
            }
        }
        for (&state, &first) in &same {
            let is_last = last.contains(&first);
            of[place_of(state)] = Chain { same: first, is_last, ..of[place_of(first)] };
        }
        Self { stride2: dfa.stride2(), of: of.into(), classes: classes.into(), line: line.into() }
    }

    /// The one name of all states that do the same as `state`, on every byte and at the end.
    #[inline]
    pub(crate) fn name(&self, state: StateID) -> StateID {
        self.of[state.as_usize() >> self.stride2].same
    }

    /// Whether `state` matches and no byte, and no end, brings more: all that can be known of the match is.
    #[inline]
    pub(crate) fn is_last(&self, state: StateID) -> bool {
        self.of[state.as_usize() >> self.stride2].is_last
    }

    /// The class whose bytes lead on from `state`, if a chain begins or goes on there.
    #[inline]
    pub(crate) fn class(&self, state: StateID) -> Option<&ByteClass> {
        let chain = self.of[state.as_usize() >> self.stride2];
        (chain.len > 0).then(|| &self.classes[usize::from(chain.class)])
    }

    /// Takes up to `count` bytes of the class of `state`.
    #[inline]
    pub(crate) fn leap(&self, dfa: &impl Automaton, state: StateID, count: usize) -> Leap {
        let chain = self.of[state.as_usize() >> self.stride2];
        if chain.len == LOOP {
            let matched = Some(count).filter(|&count| count > 0 && dfa.is_match_state(state));
            return Leap { taken: count, state, matched };
        }
        let taken = count.min(usize::from(chain.len));
        let (state, last) = self.line[chain.place as usize + taken];
        let matched = (last as usize).checked_sub(chain.place as usize + 1).filter(|&matched| matched > 0);
        Leap { taken, state, matched }
    }
}

struct Steps {
    /// For each state that can be reached, the first that does the same on every byte and at the end.
    same: BTreeMap<StateID, StateID>,
    /// Those of them that match, and after which nothing comes.
    last: BTreeSet<StateID>,
    /// For each such first state that can be left, the state that the most bytes lead on to, and these bytes. A
    /// state that only tells of a match before it leads nowhere.
    onward: BTreeMap<StateID, (ByteClass, StateID)>,
}

fn steps(dfa: &dense::DFA<Vec<u32>>, mut open: Vec<StateID>) -> Steps {
    let alphabet = dfa.byte_classes();
    let units: Vec<_> = alphabet.representatives(..).collect();
    let mut bytes_of = vec![ByteClass::NONE; alphabet.alphabet_len()];
    (0..=u8::MAX).for_each(|byte| bytes_of[usize::from(alphabet.get(byte))].insert(byte));

    let mut rows: BTreeMap<StateID, Vec<StateID>> = BTreeMap::new();
    while let Some(state) = open.pop() {
        if rows.contains_key(&state) {
            continue;
        }
        let row: Vec<StateID> = units
            .iter()
            .map(|unit| match unit.as_u8() {
                Some(byte) => dfa.next_state(state, byte),
                None => dfa.next_eoi_state(state),
            })
            .collect();
        open.extend(row.iter().filter(|to| !rows.contains_key(to)));
        rows.insert(state, row);
    }

    let mut firsts: HashMap<(&[StateID], bool), StateID> = HashMap::new();
    let same: BTreeMap<StateID, StateID> = rows
        .iter()
        .map(|(&state, row)| (state, *firsts.entry((row, dfa.is_match_state(state))).or_insert(state)))
        .collect();
    let is_over = |state: StateID| dfa.is_special_state(state) && !dfa.is_match_state(state);
    let leads_on =
        |state: &StateID| units.iter().zip(&rows[state]).any(|(unit, &to)| !unit.is_eoi() && !is_over(to));
    let mut onward = BTreeMap::new();
    for &first in firsts.values() {
        let mut next: BTreeMap<StateID, ByteClass> = BTreeMap::new();
        for (unit, to) in units.iter().zip(&rows[&first]) {
            if let Some(byte) = unit.as_u8() {
                next.entry(same[to])
                    .or_insert(ByteClass::NONE)
                    .add(&bytes_of[usize::from(alphabet.get(byte))]);
            }
        }
        let best = next
            .into_iter()
            .filter(|(to, _)| !is_over(*to) && leads_on(to))
            .max_by_key(|(_, class)| class.len());
        if let Some((to, class)) = best {
            onward.insert(first, (class, to));
        }
    }
    let last = firsts
        .values()
        .copied()
        .filter(|state| dfa.is_match_state(*state) && rows[state].iter().all(|&to| is_over(to)));
    Steps { last: last.collect(), same, onward }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::Anchored;
    use regex_automata::util::start;

    use super::super::compile::{automaton, parse};
    use super::*;

    const PATTERNS: [&str; 8] = [
        "xai-[a-z]{7,9}",
        "[a-z]{3,}[0-9]{2}",
        r"(?:ab|ba){2,6}\b",
        r"(?i)token[\w-]*=",
        "a*b{4,6}c*",
        "(?:[a-f0-9]{2}:){3,7}[a-f0-9]{2}",
        r#"[^"]{6,}""#,
        "(?:a{5}|b{7})c?",
    ];

    proptest! {
        #[test]
        fn a_leap_is_as_many_steps(
            pattern in proptest::sample::select(&PATTERNS[..]),
            text in "[ab01=:c\" xai-]{0,60}|xai-[a-z]{0,12}|[a-f0-9:]{0,30}|a{0,9}b{0,9}c{0,9}|token[a-c-]{0,20}=",
        ) {
            let dfa = automaton(&parse(pattern).expect("a pattern")).expect("a small pattern");
            let chains = Chains::new(&dfa);
            let text = text.as_bytes();
            let config = start::Config::new().anchored(Anchored::Yes);
            let mut state = dfa.start_state(&config).expect("no look-behind");
            for at in 0..text.len() {
                if let Some(class) = chains.class(state) {
                    let count = class.mask(&text[at..]).trailing_ones() as usize;
                    let leap = chains.leap(&dfa, state, count);
                    prop_assert!(leap.taken <= count);
                    let (mut slow, mut matched) = (state, None);
                    for (index, &byte) in text[at..at + leap.taken].iter().enumerate() {
                        slow = dfa.next_state(slow, byte);
                        prop_assert!(!dfa.is_dead_state(slow));
                        matched = if dfa.is_match_state(slow) { Some(index + 1) } else { matched };
                    }
                    prop_assert_eq!((leap.state, leap.matched), (slow, matched));
                }
                state = dfa.next_state(state, text[at]);
                if dfa.is_dead_state(state) {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_class_many_times_is_one_leap() {
        let dfa = automaton(&parse("k[a-z]{20,30}").expect("a pattern")).expect("a small pattern");
        let chains = Chains::new(&dfa);
        let config = start::Config::new().anchored(Anchored::Yes);
        let state = dfa.next_state(dfa.start_state(&config).expect("no look-behind"), b'k');
        let leap = chains.leap(&dfa, state, 25);
        assert_eq!((leap.taken, leap.matched), (25, Some(25)));
        assert_eq!(chains.leap(&dfa, leap.state, 25).taken, 5);
    }
}
