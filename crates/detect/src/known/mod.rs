//! Known values: exact secrets that must not appear, whatever they look like. They are found as they are
//! and in every encoding of `encode`, in streams that already run as well as in new ones.

mod encode;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous;
use aho_corasick::{Anchored, MatchKind};

pub(crate) use aho_corasick::automaton::StateID;

use crate::RuleSet;
use crate::filter::{Filter, Follow, KNOWN, Quad, Start};

/// Values shorter than this would mask ordinary words.
pub const MIN_VALUE: usize = 6;

/// Longer values are looked for in pieces of this size, each of which is masked.
const PIECE: usize = 1024;

/// What all encodings of all values may take together.
const MAX_BYTES: usize = 8 << 20;

/// A value cannot be looked for; the caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnownError {
    /// Shorter than [`MIN_VALUE`]: masking it would mask ordinary words.
    #[error("the value is shorter than {MIN_VALUE} bytes")]
    TooShort,
    /// The set has no room for it. Content that holds this value must be treated as secret by other means.
    #[error("the known values take more than {MAX_BYTES} bytes")]
    Full,
}

/// A set of exact secrets, shared by every clone; `Debug` tells only how many there are.
#[derive(Clone, Default)]
pub struct KnownValues(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Grows with every change; lets a masker see without a lock that nothing has changed.
    version: AtomicU64,
    state: Mutex<State>,
    parent: Option<KnownValues>,
}

#[derive(Default)]
struct State {
    values: HashMap<Arc<[u8]>, Arc<str>>,
    bytes: usize,
    /// With the version that it is of.
    snapshot: Option<(u64, Arc<Snapshot>)>,
}

impl KnownValues {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty set for which those of `parent` are looked for, too, now and later.
    #[must_use]
    pub fn within(parent: &Self) -> Self {
        Self(Arc::new(Shared { parent: Some(parent.clone()), ..Shared::default() }))
    }

    /// Adds a secret under a name that placeholders show. Maskers that run on this set look for it from
    /// their next bytes on. Adding a value again changes nothing.
    ///
    /// # Errors
    /// [`KnownError`], in which case the value is not looked for.
    pub fn add(&self, name: &str, value: &[u8]) -> Result<(), KnownError> {
        if value.len() < MIN_VALUE {
            return Err(KnownError::TooShort);
        }
        let mut state = self.lock();
        for piece in pieces(value) {
            if state.values.contains_key(piece) {
                continue;
            }
            let cost = encode::all(piece).iter().map(Vec::len).sum::<usize>();
            if state.bytes + cost > MAX_BYTES {
                return Err(KnownError::Full);
            }
            state.bytes += cost;
            state.values.insert(piece.into(), name.into());
            self.0.version.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// Stops looking for a secret.
    pub fn remove(&self, value: &[u8]) {
        let mut state = self.lock();
        for piece in pieces(value) {
            if state.values.remove(piece).is_some() {
                state.bytes -= encode::all(piece).iter().map(Vec::len).sum::<usize>();
                self.0.version.fetch_add(1, Ordering::Release);
            }
        }
    }

    /// How many values (pieces of long ones each counted) are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().values.len() + self.0.parent.as_ref().map_or(0, Self::len)
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn version(&self) -> u64 {
        // Neither shrinks, so that the sum tells of a change of either.
        self.0.version.load(Ordering::Acquire) + self.0.parent.as_ref().map_or(0, Self::version)
    }

    /// The current set in its searchable form, with its version; none if it is empty.
    pub(crate) fn snapshot(&self) -> (u64, Option<Arc<Snapshot>>) {
        let mut state = self.lock();
        let version = self.version();
        if let Some((of, snapshot)) = &state.snapshot
            && *of == version
        {
            return (version, Some(Arc::clone(snapshot)));
        }
        let mut values = self.0.parent.as_ref().map(Self::values).unwrap_or_default();
        values.extend(state.values.iter().map(|(value, name)| (Arc::clone(value), Arc::clone(name))));
        if values.is_empty() {
            return (version, None);
        }
        let snapshot = Arc::new(Snapshot::new(&values));
        state.snapshot = Some((version, Arc::clone(&snapshot)));
        (version, Some(snapshot))
    }

    fn values(&self) -> HashMap<Arc<[u8]>, Arc<str>> {
        let mut values = self.0.parent.as_ref().map(Self::values).unwrap_or_default();
        values.extend(self.lock().values.iter().map(|(value, name)| (Arc::clone(value), Arc::clone(name))));
        values
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is changed in one step each, so a panic elsewhere leaves it whole.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KnownValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownValues({} values)", self.len())
    }
}

/// Pieces of at most [`PIECE`] bytes, none shorter than [`MIN_VALUE`].
fn pieces(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.chunks(PIECE).enumerate().map(move |(index, piece)| {
        if piece.len() >= MIN_VALUE {
            piece
        } else {
            &value[(index * PIECE + piece.len()).saturating_sub(MIN_VALUE)..]
        }
    })
}

/// One state of the set, searchable.
pub(crate) struct Snapshot {
    trie: contiguous::NFA,
    /// Per pattern of the trie.
    needles: Vec<Needle>,
    starts: Vec<Start>,
    merged: Mutex<Vec<(RuleSet, Arc<Filter>)>>,
}

/// What a found encoding stands for.
#[derive(Clone)]
pub(crate) struct Needle {
    pub name: Arc<str>,
    pub value: Arc<[u8]>,
}

impl Snapshot {
    fn new(values: &HashMap<Arc<[u8]>, Arc<str>>) -> Self {
        let mut patterns: Vec<(Vec<u8>, Needle)> = values
            .iter()
            .flat_map(|(value, name)| {
                let needle = Needle { name: Arc::clone(name), value: Arc::clone(value) };
                encode::all(value).into_iter().map(move |pattern| (pattern, needle.clone()))
            })
            .collect();
        patterns.sort_unstable_by(|a, b| (&a.0, &a.1.value).cmp(&(&b.0, &b.1.value)));
        patterns.dedup_by(|a, b| a.0 == b.0);
        let trie = contiguous::NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(patterns.iter().map(|(pattern, _)| pattern))
            .expect("8 MiB of patterns are far below the limits of the automaton");
        let mut follows = BTreeMap::<[u8; 4], Follow>::new();
        for (pattern, _) in &patterns {
            if let Some((quad, after)) = pattern.split_first_chunk() {
                follows.entry(*quad).or_insert(Follow::NONE).allow_text(after);
            }
        }
        let starts = follows
            .into_iter()
            .map(|(quad, follow)| Start {
                quad: Quad::exactly(quad),
                target: KNOWN,
                opening: 0,
                follow,
                at_word: false,
                held: true,
            })
            .collect();
        let needles = patterns.into_iter().map(|(_, needle)| needle).collect();
        Self { trie, needles, starts, merged: Mutex::default() }
    }

    /// The filter for the rules of `set` and these values; made once per set.
    pub(crate) fn filter(&self, set: &RuleSet) -> Arc<Filter> {
        let mut merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, filter)) = merged.iter().find(|(other, _)| other.same(set)) {
            return Arc::clone(filter);
        }
        let filter = Arc::new(Filter::new(set.starts().iter().chain(&self.starts).copied().collect()));
        merged.push((set.clone(), Arc::clone(&filter)));
        filter
    }

    pub(crate) fn start(&self) -> Option<StateID> {
        self.trie.start_state(Anchored::Yes).ok()
    }

    /// The state after `byte`, or none if no value goes on like this.
    pub(crate) fn next(&self, state: StateID, byte: u8) -> Option<StateID> {
        let next = self.trie.next_state(Anchored::Yes, state, byte);
        (!self.trie.is_dead(next)).then_some(next)
    }

    /// The needle of exactly `len` bytes that ends in `state`.
    pub(crate) fn matched(&self, state: StateID, len: u64) -> Option<&Needle> {
        if !self.trie.is_match(state) {
            return None;
        }
        // A state also lists needles that are a suffix of what was read; only a whole one counts.
        (0..self.trie.match_len(state))
            .map(|index| self.trie.match_pattern(state, index))
            .find(|&pattern| self.trie.pattern_len(pattern) as u64 == len)
            .map(|pattern| &self.needles[pattern.as_usize()])
    }
}
