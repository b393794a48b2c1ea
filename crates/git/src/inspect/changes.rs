//! How trees differ from those that they came as deltas upon. These are mostly the trees that are compared afterwards,
//! the tree of a commit with that of its parent: what was seen as they passed by need not be read again.

use super::{
    diff::Joined,
    tree::{self, Differing},
};
use crate::pack::Upon;

/// Bytes that those of one pack may take. Trees beyond are read again when they are asked for.
const MAX: usize = 16 << 20;
/// Bytes before the entries of a change: the place of the base, and how many bytes of entries there are of each.
const HEAD: usize = 12;
/// Bytes of entries for which memory is held from one tree to the next.
const SCRATCH: usize = 64 * 1024;

/// The changes of the trees of one pack.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By place: behind how many of the bytes the change of the tree there begins; zero where there is none.
    starts: Vec<u32>,
    bytes: Vec<u8>,
    /// Of the last tree.
    differing: Differing,
}

impl Changes {
    /// Checks a tree that was made from another in which all is as git writes it, and keeps how they differ.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check(
        &mut self,
        place: u32,
        content: &[u8],
        upon: Upon<'_>,
        width: usize,
    ) -> Result<(), &'static str> {
        if tree::check_change(upon.content, content, width, &mut self.differing)?
            || self.compare(content, upon.content, width)
        {
            self.keep(place, upon.place);
        }
        self.differing.new.shrink_to(SCRATCH);
        self.differing.old.shrink_to(SCRATCH);
        Ok(())
    }

    /// Finds out how two trees differ; says whether it did.
    fn compare(&mut self, new: &[u8], old: &[u8], width: usize) -> bool {
        let alike = tree::alike(new, old, width);
        let compared = tree::differing(&new[alike..], &[&old[alike..]], width);
        let Some((new, olds)) = compared else { return false };
        self.differing.clear();
        for (new, olds) in Joined::new(&new, &olds) {
            new.iter().for_each(|entry| entry.write(&mut self.differing.new));
            olds.iter().flatten().for_each(|entry| entry.write(&mut self.differing.old));
        }
        true
    }

    fn keep(&mut self, place: u32, base: u32) {
        let Differing { new, old } = &self.differing;
        if self.bytes.is_empty() {
            // No change begins there.
            self.bytes.push(0);
        }
        let start = self.bytes.len();
        if start + HEAD + new.len() + old.len() <= MAX {
            // None of these is more than [`MAX`].
            let head = [base, new.len() as u32, old.len() as u32].map(u32::to_le_bytes);
            for part in [head.as_flattened(), new, old] {
                self.bytes.extend_from_slice(part);
            }
            let place = place as usize;
            self.starts.resize(self.starts.len().max(place + 1), 0);
            self.starts[place] = start as u32;
        }
    }

    /// The entries in which two trees differ, of each in its order, if one came as a delta upon the other.
    pub(super) fn between(&self, new: u32, old: u32) -> Option<[&[u8]; 2]> {
        self.upon(new, old).or_else(|| self.upon(old, new).map(|[old, new]| [new, old]))
    }

    /// Takes those of the same pack that were found later, where there were none.
    pub(super) fn append(&mut self, others: Self) {
        if self.bytes.is_empty() {
            *self = others;
        }
    }

    fn upon(&self, place: u32, base: u32) -> Option<[&[u8]; 2]> {
        let start = self.starts.get(place as usize).filter(|start| **start > 0)?;
        let change = &self.bytes[*start as usize..];
        let (head, entries) = change.split_at_checked(HEAD)?;
        let (numbers, _) = head.as_chunks();
        let [of, news, olds] = <[[u8; 4]; 3]>::try_from(numbers).ok()?.map(u32::from_le_bytes);
        let (news, rest) = entries.split_at_checked(news as usize)?;
        (of == base).then_some([news, rest.get(..olds as usize)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_differs_in_both_directions() {
        let entry = |mode: &str, name: &str, fill: u8| {
            [mode.as_bytes(), b" ", name.as_bytes(), &[0], &[fill; 20]].concat()
        };
        let (same, more) = (entry("100644", "a", 1), entry("40000", "z", 1));
        let (is, was) = (entry("100755", "b", 2), entry("100644", "b", 2));
        let (added, removed) = (entry("40000", "c", 3), entry("160000", "d", 4));
        let base = [&*same, &was, &removed, &more].concat();
        let made = [&*same, &is, &added, &more].concat();
        let (news, olds) = ([&*is, &added].concat(), [&*was, &removed].concat());
        let mut changes = Changes::default();
        changes.check(7, &made, Upon { place: 3, content: &base }, 20).unwrap();
        changes.check(9, &same, Upon { place: 7, content: &same }, 20).unwrap();
        assert_eq!(changes.between(7, 3), Some([&*news, &*olds]));
        assert_eq!(changes.between(3, 7), Some([&*olds, &*news]));
        assert_eq!(changes.between(9, 7), Some([&[][..], &[]]));
        assert_eq!(changes.between(9, 3), None, "neither came upon the other");
        assert_eq!(changes.between(70, 3), None);
        let other = entry("100644", "a", 9);
        changes.check(10, &other, Upon { place: 9, content: &same }, 20).unwrap();
        assert_eq!(changes.between(10, 9), Some([&*other, &*same]), "where only what is named differs");
        let many: Vec<u8> = (0..MAX / 28).flat_map(|n| entry("100644", &format!("e{n:07}"), 5)).collect();
        changes.check(11, &many, Upon { place: 9, content: &same }, 20).unwrap();
        assert_eq!(changes.between(11, 9), None, "they take no more than they may");
        assert!(changes.check(12, b"40000 .", Upon { place: 9, content: &same }, 20).is_err());
        assert_eq!(changes.between(12, 9), None);
        assert_eq!(changes.between(9, 7), Some([&[][..], &[]]));
    }
}
