//! Content of objects that is kept at hand, within a bound: as a base of deltas, or to be asked for soon.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Kind, Place};

/// Bytes of trees of one generation: they are asked for again when all else has passed by.
const TREES: usize = 12 << 20;
/// Bytes of other objects of one generation.
const OTHERS: usize = 6 << 20;
/// Bytes that one of them takes besides its content.
const ENTRY: usize = 128;

/// What was used last.
pub(super) struct Kept {
    trees: Generations,
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
        Self { trees: Generations::new(TREES), others: Generations::new(OTHERS) }
    }
}

impl Kept {
    pub(super) fn get(&mut self, at: Place) -> Option<(Kind, Arc<[u8]>)> {
        self.trees.get(at).or_else(|| self.others.get(at))
    }

    pub(super) fn put(&mut self, at: Place, kind: Kind, content: &Arc<[u8]>) {
        let generations = match kind {
            Kind::Tree => &mut self.trees,
            Kind::Commit | Kind::Blob | Kind::Tag => &mut self.others,
        };
        generations.put(at, kind, content);
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
}
