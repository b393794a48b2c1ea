//! What is known of content by its digest, and so never changes. What was asked for least lately goes first.

use std::collections::{BTreeMap, HashMap};

use crate::parse::name::Digest;

/// So many values.
#[derive(Debug)]
pub(crate) struct Recent<V> {
    max: usize,
    clock: u64,
    by_digest: HashMap<Digest, (u64, V)>,
    by_use: BTreeMap<u64, Digest>,
}

impl<V: Clone> Recent<V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), clock: 0, by_digest: HashMap::new(), by_use: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, digest: &Digest) -> Option<V> {
        self.clock += 1;
        let (used, value) = self.by_digest.get_mut(digest)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, digest.clone());
        Some(value.clone())
    }

    pub(crate) fn put(&mut self, digest: Digest, value: V) {
        self.clock += 1;
        if let Some((used, _)) = self.by_digest.insert(digest.clone(), (self.clock, value)) {
            self.by_use.remove(&used);
        }
        self.by_use.insert(self.clock, digest);
        while self.by_digest.len() > self.max {
            match self.by_use.pop_first() {
                Some((_, oldest)) => drop(self.by_digest.remove(&oldest)),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::name::Algorithm;

    #[test]
    fn what_was_used_last_stays() {
        let mut recent = Recent::new(2);
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        recent.put(digest("a"), 1);
        recent.put(digest("b"), 2);
        assert_eq!(recent.get(&digest("a")), Some(1));
        recent.put(digest("c"), 3);
        assert_eq!(recent.get(&digest("b")), None);
        recent.put(digest("a"), 4);
        assert_eq!(recent.get(&digest("a")), Some(4));
        assert_eq!((recent.by_digest.len(), recent.by_use.len()), (2, 2));
    }
}
