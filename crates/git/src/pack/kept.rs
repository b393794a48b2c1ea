//! Content of objects that is kept at hand, within a bound: as a base of deltas, or to be asked for soon.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{Kind, Place};

/// Bytes of objects of one generation.
const SIZE: usize = 8 << 20;
/// Bytes that one of them takes besides its content.
const ENTRY: usize = 128;

/// What was used since the last change of generations, and in the one before.
#[derive(Default)]
pub(super) struct Kept {
    young: HashMap<Place, (Kind, Arc<[u8]>)>,
    old: HashMap<Place, (Kind, Arc<[u8]>)>,
    size: usize,
}

impl Kept {
    pub(super) fn get(&mut self, at: Place) -> Option<(Kind, Arc<[u8]>)> {
        if let Some((kind, content)) = self.young.get(&at) {
            return Some((*kind, Arc::clone(content)));
        }
        let (kind, content) = self.old.remove(&at)?;
        self.put(at, kind, &content);
        Some((kind, content))
    }

    pub(super) fn put(&mut self, at: Place, kind: Kind, content: &Arc<[u8]>) {
        let size = content.len() + ENTRY;
        if self.size + size > SIZE {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        if size <= SIZE {
            self.size += size;
            self.young.insert(at, (kind, Arc::clone(content)));
        }
    }
}
