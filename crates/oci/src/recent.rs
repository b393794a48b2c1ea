//! What is known of so much and no more, and does not change. What was asked for least lately goes first.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// So many values.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    max: usize,
    clock: u64,
    by_key: HashMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), clock: 0, by_key: HashMap::new(), by_use: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let (used, value) = self.by_key.get_mut(key)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, key.clone());
        Some(value.clone())
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        self.clock += 1;
        if let Some((used, _)) = self.by_key.insert(key.clone(), (self.clock, value)) {
            self.by_use.remove(&used);
        }
        self.by_use.insert(self.clock, key);
        while self.by_key.len() > self.max {
            match self.by_use.pop_first() {
                Some((_, oldest)) => drop(self.by_key.remove(&oldest)),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays() {
        let mut recent = Recent::new(2);
        recent.put("a", 1);
        recent.put("b", 2);
        assert_eq!(recent.get(&"a"), Some(1));
        recent.put("c", 3);
        assert_eq!(recent.get(&"b"), None);
        recent.put("a", 4);
        assert_eq!(recent.get(&"a"), Some(4));
        assert_eq!((recent.by_key.len(), recent.by_use.len()), (2, 2));
    }
}
