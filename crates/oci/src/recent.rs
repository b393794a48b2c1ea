//! Verdicts on blobs by their digests, which never change. Those that were asked for least lately go first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Verdict;
use crate::parse::name::Digest;

#[derive(Debug)]
pub(super) struct Verdicts {
    max: usize,
    clock: u64,
    by_digest: HashMap<Digest, (u64, Arc<Verdict>)>,
    by_use: BTreeMap<u64, Digest>,
}

impl Verdicts {
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), clock: 0, by_digest: HashMap::new(), by_use: BTreeMap::new() }
    }

    pub(super) fn get(&mut self, digest: &Digest) -> Option<Arc<Verdict>> {
        self.clock += 1;
        let (used, verdict) = self.by_digest.get_mut(digest)?;
        self.by_use.remove(used);
        *used = self.clock;
        self.by_use.insert(self.clock, digest.clone());
        Some(Arc::clone(verdict))
    }

    pub(super) fn put(&mut self, digest: Digest, verdict: Arc<Verdict>) {
        self.clock += 1;
        if let Some((used, _)) = self.by_digest.insert(digest.clone(), (self.clock, verdict)) {
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
        let mut verdicts = Verdicts::new(2);
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        let verdict = |further| Arc::new(Verdict { further, ..Verdict::default() });
        verdicts.put(digest("a"), verdict(1));
        verdicts.put(digest("b"), verdict(2));
        assert_eq!(verdicts.get(&digest("a")).unwrap().further, 1);
        verdicts.put(digest("c"), verdict(3));
        assert!(verdicts.get(&digest("b")).is_none());
        verdicts.put(digest("a"), verdict(4));
        assert_eq!(verdicts.get(&digest("a")).unwrap().further, 4);
        assert_eq!((verdicts.by_digest.len(), verdicts.by_use.len()), (2, 2));
    }
}
