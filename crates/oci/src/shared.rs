//! Values by key, one for all who use it at the same time, and none when nobody does.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Keys after whom those are forgotten whose value nobody uses.
const MANY: usize = 1024;

/// The values that are in use.
#[derive(Debug)]
pub(crate) struct Shared<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Shared<K, V> {
    /// The value that is in use, or a new one.
    pub(crate) fn get(&self, key: K, new: impl FnOnce() -> V) -> Arc<V> {
        // Nothing in the lock can panic midway and leave it inconsistent.
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = held.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        if held.len() >= MANY {
            held.retain(|_, value| value.strong_count() > 0);
        }
        let value = Arc::new(new());
        held.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_value_while_it_is_used() {
        let shared = Shared::<usize, ()>::default();
        let one = shared.get(MANY, || ());
        assert!(Arc::ptr_eq(&one, &shared.get(MANY, || ())));
        (0..MANY).for_each(|key| drop(shared.get(key, || ())));
        assert!(Arc::ptr_eq(&one, &shared.get(MANY, || ())));
        assert!(shared.0.lock().unwrap().len() < MANY);
    }
}
