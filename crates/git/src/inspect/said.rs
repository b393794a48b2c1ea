//! What the commits of a pack say, kept as they pass by: the history of a push is told from it.

use hashbrown::HashMap;

use crate::pack::Details;

/// Bytes that it may take, of one pack. Commits beyond are read again when they are asked for.
const MAX: usize = 8 << 20;
/// Bytes that one takes besides its texts, about.
const ENTRY: usize = 200;

/// What commits say, by place.
#[derive(Debug, Default)]
pub(super) struct Said {
    by_place: HashMap<u32, Details>,
    size: usize,
}

impl Said {
    pub(super) fn keep(&mut self, place: u32, details: Details) {
        let Details { author, committer, message, .. } = &details;
        let size = author.len() + committer.len() + message.len() + ENTRY;
        if self.size + size <= MAX {
            self.size += size;
            self.by_place.insert(place, details);
        }
    }

    pub(super) fn of(&self, place: u32) -> Option<&Details> {
        self.by_place.get(&place)
    }

    /// Takes those of the same pack that were found later.
    pub(super) fn append(&mut self, others: Self) {
        others.by_place.into_iter().for_each(|(place, details)| self.keep(place, details));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_no_more_than_it_may() {
        let of = |size| Details {
            author: String::new(),
            committer: String::new(),
            message: "x".repeat(size),
            signed: false,
        };
        let mut said = Said::default();
        said.keep(1, of(MAX / 2));
        said.keep(2, of(MAX / 2));
        let mut others = Said::default();
        others.keep(3, of(10));
        said.append(others);
        let there = [1, 2, 3].map(|place| said.of(place).is_some());
        assert_eq!(there, [true, false, true]);
    }
}
