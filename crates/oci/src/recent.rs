//! What is known of so much and no more, and does not change. What was asked for least lately goes first.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// So many values.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    max: usize,
    held: Mutex<Held<K, V>>,
}

#[derive(Debug)]
struct Held<K, V> {
    clock: u64,
    by_key: HashMap<K, (u64, V)>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        let held = Held { clock: 0, by_key: HashMap::new(), by_use: BTreeMap::new() };
        Self { max: max.max(1), held: Mutex::new(held) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let Held { clock, by_key, by_use } = &mut *self.held();
        *clock += 1;
        let (used, value) = by_key.get_mut(key)?;
        by_use.remove(used);
        *used = *clock;
        by_use.insert(*clock, key.clone());
        Some(value.clone())
    }

    pub(crate) fn put(&self, key: K, value: V) {
        let Held { clock, by_key, by_use } = &mut *self.held();
        *clock += 1;
        if let Some((used, _)) = by_key.insert(key.clone(), (*clock, value)) {
            by_use.remove(&used);
        }
        by_use.insert(*clock, key);
        while by_key.len() > self.max {
            match by_use.pop_first() {
                Some((_, oldest)) => drop(by_key.remove(&oldest)),
                None => return,
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held<K, V>> {
        // Nothing in the lock can panic midway and leave it inconsistent.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays() {
        let recent = Recent::new(2);
        recent.put("a", 1);
        recent.put("b", 2);
        assert_eq!(recent.get(&"a"), Some(1));
        recent.put("c", 3);
        assert_eq!(recent.get(&"b"), None);
        recent.put("a", 4);
        assert_eq!(recent.get(&"a"), Some(4));
        let held = recent.held();
        assert_eq!((held.by_key.len(), held.by_use.len()), (2, 2));
    }
}
