//! Content of objects that is kept at hand, within a bound: as a base of deltas, or to be asked for soon.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Kind, Place};

/// Bytes of trees of one generation.
const TREES: usize = 8 << 20;
/// Bytes of trees of one generation that nothing stands upon: at the end of long chains of deltas, they are asked for
/// again when all else has passed by, and are the dearest to make.
const ENDS: usize = 4 << 20;
/// Bytes of other objects of one generation.
const OTHERS: usize = 6 << 20;
/// Bytes that one of them takes besides its content.
const ENTRY: usize = 128;

/// What was used last.
pub(super) struct Kept {
    trees: Generations,
    ends: Generations,
    others: Generations,
}

/// What was used since the last change of generations, and in the one before.
struct Generations {
    young: HashMap<Place, (Kind, Arc<[u8]>)>,
    old: HashMap<Place, (Kind, Arc<[u8]>)>,
    size: usize,
    max: usize,
}

impl Default for Kept {
    fn default() -> Self {
        let [trees, ends, others] = [TREES, ENDS, OTHERS].map(Generations::new);
        Self { trees, ends, others }
    }
}

impl Kept {
    pub(super) fn get(&mut self, at: Place) -> Option<(Kind, Arc<[u8]>)> {
        self.trees.get(at).or_else(|| self.others.get(at)).or_else(|| self.ends.get(at))
    }

    pub(super) fn put(&mut self, at: Place, kind: Kind, content: &Arc<[u8]>) {
        let generations = match kind {
            Kind::Tree => &mut self.trees,
            Kind::Commit | Kind::Blob | Kind::Tag => &mut self.others,
        };
        generations.put(at, kind, content);
    }

    /// Keeps what was made by a delta upon another.
    pub(super) fn put_upon(&mut self, base: Place, at: Place, kind: Kind, content: &Arc<[u8]>) {
        self.put(at, kind, content);
        if kind == Kind::Tree {
            self.ends.remove(base);
            self.ends.put(at, kind, content);
        }
    }
}

impl Generations {
    fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), size: 0, max }
    }

    fn get(&mut self, at: Place) -> Option<(Kind, Arc<[u8]>)> {
        if let Some((kind, content)) = self.young.get(&at) {
            return Some((*kind, Arc::clone(content)));
        }
        let (kind, content) = self.old.remove(&at)?;
        self.put(at, kind, &content);
        Some((kind, content))
    }

    fn put(&mut self, at: Place, kind: Kind, content: &Arc<[u8]>) {
        let size = content.len() + ENTRY;
        if size > self.max {
            return;
        }
        if self.size + size > self.max {
            // The memory of the table is used again.
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
            self.size = 0;
        }
        self.size += size;
        self.young.insert(at, (kind, Arc::clone(content)));
    }

    fn remove(&mut self, at: Place) {
        match self.young.remove(&at) {
            Some((_, content)) => self.size -= content.len() + ENTRY,
            None => drop(self.old.remove(&at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_used_last_within_its_bound() {
        let mut kept = Kept::default();
        let at = |place| Place { pack: 0, place };
        let content = |size| -> Arc<[u8]> { vec![7; size].into() };
        for (kind, max) in [(Kind::Tree, TREES), (Kind::Blob, OTHERS)] {
            let first = if kind == Kind::Tree { 0 } else { 1000 };
            let half = max / 2 - ENTRY;
            kept.put(at(first), kind, &content(half));
            kept.put(at(first + 1), kind, &content(half));
            kept.put(at(first + 2), kind, &content(half));
            assert!(kept.get(at(first)).is_some(), "asked for, it is young again");
            kept.put(at(first + 3), kind, &content(half));
            let there = |kept: &mut Kept, place| kept.get(at(place)).is_some_and(|(found, _)| found == kind);
            assert!(there(&mut kept, first) && there(&mut kept, first + 3));
            assert!(!there(&mut kept, first + 1), "nobody asked for it");
            kept.put(at(first + 4), kind, &content(max));
            assert!(!there(&mut kept, first + 4), "too large to be kept");
        }
    }

    #[test]
    fn keeps_the_ends_of_chains_longest() {
        let mut kept = Kept::default();
        let at = |place| Place { pack: 0, place };
        let content: Arc<[u8]> = vec![7; 1000].into();
        // Chains of ten, of many more bytes than are kept.
        for place in 0..40_000 {
            match place % 10 {
                0 => kept.put(at(place), Kind::Tree, &content),
                _ => kept.put_upon(at(place - 1), at(place), Kind::Tree, &content),
            }
        }
        assert!(kept.get(at(20_009)).is_some() && kept.get(at(20_005)).is_none());
        assert!(kept.get(at(39_995)).is_some(), "all of those that came last");
        assert!([&kept.ends.young, &kept.ends.old].iter().all(|ends| ends.len() <= ENDS / content.len()));
    }
}
