//! How trees differ from those that they came as deltas upon. These are mostly the trees that are compared afterwards,
//! the tree of a commit with that of its parent: what was seen as they passed by need not be read again.

use super::{
    diff::Joined,
    tree::{self, Entry},
};
use crate::pack::Upon;

/// Bytes that those of one pack may take. Trees beyond are read again when they are asked for.
const MAX: usize = 16 << 20;
/// Bytes before the entries of a change: the place of the base, and how many bytes of entries there are of each.
const HEAD: usize = 12;

/// The changes of the trees of one pack.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By place: behind how many of the bytes the change of the tree there begins; zero where there is none.
    starts: Vec<u32>,
    bytes: Vec<u8>,
}

impl Changes {
    /// Keeps how a tree differs from its base, in both of which all is as git writes it.
    pub(super) fn keep(&mut self, place: u32, content: &[u8], upon: Upon<'_>, width: usize) {
        let alike = tree::alike(content, upon.content, width);
        let (new, old) = (&content[alike..], &upon.content[alike..]);
        let Some((new, olds)) = tree::differing(new, &[old], width) else { return };
        if self.bytes.is_empty() {
            // No change begins there.
            self.bytes.push(0);
        }
        let start = self.bytes.len();
        self.bytes.resize(start + HEAD, 0);
        let differing: Vec<_> = Joined::new(&new, &olds).collect();
        let news = self.write(differing.iter().filter_map(|(new, _)| new.as_ref()));
        let olds = self.write(differing.iter().flat_map(|(_, olds)| olds).flatten());
        let (Ok(news), Ok(olds)) = (u32::try_from(news), u32::try_from(olds)) else { return };
        if self.bytes.len() > MAX {
            self.bytes.truncate(start);
            return;
        }
        let head = [upon.place, news, olds].map(u32::to_le_bytes);
        self.bytes[start..start + HEAD].copy_from_slice(head.as_flattened());
        self.starts.resize(place as usize + 1, 0);
        // At most [`MAX`].
        self.starts[place as usize] = start as u32;
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

    /// Writes entries as those of a tree; says how many bytes.
    fn write<'a>(&mut self, entries: impl Iterator<Item = &'a Entry<'a>>) -> usize {
        let start = self.bytes.len();
        entries.for_each(|entry| entry.write(&mut self.bytes));
        self.bytes.len() - start
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
        changes.keep(7, &made, Upon { place: 3, content: &base }, 20);
        changes.keep(9, &same, Upon { place: 7, content: &same }, 20);
        assert_eq!(changes.between(7, 3), Some([&*news, &*olds]));
        assert_eq!(changes.between(3, 7), Some([&*olds, &*news]));
        assert_eq!(changes.between(9, 7), Some([&[][..], &[]]));
        assert_eq!(changes.between(9, 3), None, "neither came upon the other");
        assert_eq!(changes.between(70, 3), None);
        let many = entry("100644", "e", 5).repeat(MAX / 28);
        changes.keep(11, &many, Upon { place: 9, content: &same }, 20);
        assert_eq!(changes.between(11, 9), None, "they take no more than they may");
        assert_eq!(changes.between(9, 7), Some([&[][..], &[]]));
    }
}
