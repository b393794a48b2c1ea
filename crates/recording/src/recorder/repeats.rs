//! Octets that are recorded once: a body that goes on like one before it, from its first octet, is recorded as where
//! those octets stand.
//!
//! Bodies are cut into segments of the same length. One is known by the digest of its body up to its end, by which
//! also everything before it is the same. So that its end is seen before any of it is written, a segment is held back:
//! not longer than anything may wait to be durable, and not when somebody waits for its exchange to be.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hashbrown::HashTable;
use uuid::Uuid;

use crate::{event::Direction, store::id_millis};

/// Octets of a segment.
pub(crate) const SEGMENT: u64 = 128 << 10;
/// The last segment of a body counts from this length on.
pub(crate) const LEAST: u64 = 64 << 10;
/// Exchanges of which a segment is held back at once: 8 MiB in all.
pub(crate) const HELD_MAX: usize = 64;
/// Only what is not older is repeated, so that no bundle is needed for long because of others.
const WITHIN: Duration = Duration::from_hours(24);

/// Where the octets of a segment stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bundle: Uuid,
    pub(crate) exchange: Uuid,
    /// The first of their records; the others follow it.
    pub(crate) sequence: u64,
}

/// The SHA-256 of a body up to the end of a segment.
pub(crate) type Key = [u8; 32];

/// The segments that would be known again. The oldest is forgotten for a new one.
#[derive(Debug)]
pub(crate) struct Known {
    max: usize,
    segments: Vec<(Key, Place)>,
    /// Which is the oldest, once there are as many as there may be.
    oldest: usize,
    /// Where in `segments` one stands, by its key: a map that kept the keys once more would take twice the memory.
    places: HashTable<u32>,
    hasher: RandomState,
}

impl Known {
    /// Of so many octets.
    pub(crate) fn new(octets: u64) -> Self {
        let max = u32::try_from(octets / SEGMENT).unwrap_or(u32::MAX) as usize;
        let (places, hasher) = (HashTable::new(), RandomState::new());
        Self { max, segments: Vec::new(), oldest: 0, places, hasher }
    }

    /// Whether anything is ever known.
    pub(crate) fn is_off(&self) -> bool {
        self.max == 0
    }

    /// Where a segment stands, for a record in this bundle.
    pub(crate) fn get(&self, key: &Key, bundle: Uuid) -> Option<Place> {
        let oldest = id_millis(bundle).saturating_sub(WITHIN.as_millis() as u64);
        let (_, place) = self.segments[self.index(key)?];
        Some(place).filter(|place| id_millis(place.bundle) >= oldest)
    }

    pub(crate) fn put(&mut self, key: Key, place: Place) {
        if self.is_off() {
            return;
        }
        if let Some(index) = self.index(&key) {
            self.segments[index].1 = place;
            return;
        }
        let index = if self.segments.len() < self.max {
            self.segments.push((key, place));
            self.segments.len() - 1
        } else {
            let index = self.oldest;
            self.oldest = (index + 1) % self.max;
            let hash = self.hasher.hash_one(self.segments[index].0);
            if let Ok(entry) = self.places.find_entry(hash, |other| *other as usize == index) {
                entry.remove();
            }
            self.segments[index] = (key, place);
            index
        };
        let Self { segments, places, hasher, .. } = self;
        let hash = |index: &u32| hasher.hash_one(segments[*index as usize].0);
        // There are never more than `u32::MAX` of them.
        places.insert_unique(hasher.hash_one(key), index as u32, hash);
    }

    fn index(&self, key: &Key) -> Option<usize> {
        let is_it = |index: &u32| self.segments[*index as usize].0 == *key;
        self.places.find(self.hasher.hash_one(key), is_it).map(|index| *index as usize)
    }
}

/// A segment of which nothing is written yet.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) direction: Direction,
    /// The octets as they came, each with its time.
    pub(crate) pieces: Vec<(u64, Bytes)>,
    pub(crate) length: u64,
    pub(crate) since: Instant,
}

impl Held {
    pub(crate) fn new(direction: Direction, since: Instant) -> Self {
        Self { direction, pieces: Vec::new(), length: 0, since }
    }

    pub(crate) fn push(&mut self, at_micros: u64, piece: Bytes) {
        self.length += piece.len() as u64;
        self.pieces.push((at_micros, piece));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Timestamp;

    use super::*;

    fn bundle(hour: u64) -> Uuid {
        Uuid::new_v7(Timestamp::from_unix(uuid::NoContext, 1_800_000_000 + 3600 * hour, 0))
    }

    fn place(hour: u64) -> Place {
        Place { bundle: bundle(hour), exchange: Uuid::nil(), sequence: 7 }
    }

    #[test]
    fn the_oldest_is_forgotten_for_a_new_one() {
        let mut known = Known::new(2 * SEGMENT);
        let now = bundle(0);
        (0..3).for_each(|key| known.put([key; 32], place(0)));
        known.put([2; 32], place(0));
        assert_eq!((known.get(&[0; 32], now), known.get(&[1; 32], now).is_some()), (None, true));
        assert_eq!((known.places.len(), known.segments.len()), (2, 2));
        assert!(known.get(&[1; 32], now).is_some() && known.get(&[2; 32], now).is_some());
        (3..100).for_each(|key| known.put([key; 32], place(0)));
        assert!(known.get(&[98; 32], now).is_some() && known.get(&[97; 32], now).is_none());
        assert_eq!(known.places.len(), 2);
        let mut off = Known::new(0);
        off.put([0; 32], place(0));
        assert!(off.is_off() && off.get(&[0; 32], now).is_none());
    }

    #[test]
    fn what_is_old_is_not_repeated() {
        let mut known = Known::new(SEGMENT);
        known.put([0; 32], place(0));
        assert!(known.get(&[0; 32], bundle(23)).is_some());
        assert_eq!(known.get(&[0; 32], bundle(25)), None);
        known.put([0; 32], place(25));
        assert_eq!(known.get(&[0; 32], bundle(25)).map(|place| place.sequence), Some(7));
    }
}
