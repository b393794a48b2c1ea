//! The commits of one pack: names, trees, parents and places, in flat arrays.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::PackError;
use crate::oid::{ObjectFormat, Oid, key};

/// Parents per commit, on average over a pack, that are kept.
const PARENTS: usize = 4;

/// The commits of one pack, in its order.
pub(crate) struct Commits {
    format: ObjectFormat,
    max: usize,
    names: Vec<u8>,
    offsets: Vec<u64>,
    /// All zeros where a commit names none.
    trees: Vec<u8>,
    parents: Vec<u8>,
    /// Where the parents of each commit end in `parents`.
    ends: Vec<u32>,
    by_name: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Commits {
    pub(super) fn new(format: ObjectFormat, max: usize) -> Self {
        Self {
            format,
            max,
            names: Vec::new(),
            offsets: Vec::new(),
            trees: Vec::new(),
            parents: Vec::new(),
            ends: Vec::new(),
            by_name: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// The place of a commit among them.
    pub(crate) fn find(&self, name: &Oid) -> Option<usize> {
        let hash = self.hasher.hash_one(key(name.as_bytes()));
        self.by_name.find(hash, |place| self.name(*place) == name.as_bytes()).map(|place| *place as usize)
    }

    /// The parents of the commit at a place.
    pub(crate) fn parents(&self, place: usize) -> impl Iterator<Item = Oid> {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        let parents = &self.parents[start as usize..self.ends[place] as usize];
        parents.chunks_exact(self.format.width()).filter_map(Oid::from_bytes)
    }

    /// The tree of a commit; `None` where it names none, or is not among them.
    pub(crate) fn tree(&self, name: &Oid) -> Option<Oid> {
        let (place, width) = (self.find(name)?, self.format.width());
        Oid::from_bytes(&self.trees[place * width..][..width]).filter(|tree| !tree.is_null())
    }

    /// Whether the entry at that offset of the pack is a commit.
    pub(super) fn is_at(&self, offset: u64) -> bool {
        self.offsets.binary_search(&offset).is_ok()
    }

    /// Where in the pack a commit is.
    pub(super) fn offset(&self, name: &Oid) -> Option<u64> {
        self.find(name).map(|place| self.offsets[place])
    }

    /// Adds the commit at an offset behind all others.
    pub(super) fn add(&mut self, offset: u64, name: &Oid, content: &[u8]) -> Result<(), PackError> {
        let place = self.offsets.len();
        if place == self.max {
            return Err(PackError::TooLarge("commits"));
        }
        for parent in parents(content, self.format) {
            self.parents.extend_from_slice(parent.as_bytes());
        }
        let end = u32::try_from(self.parents.len()).ok();
        let end = end.filter(|end| *end as usize <= self.max * PARENTS * self.format.width());
        self.ends.push(end.ok_or(PackError::TooLarge("parents of commits"))?);
        self.names.extend_from_slice(name.as_bytes());
        match tree(content, self.format) {
            Some(tree) => self.trees.extend_from_slice(tree.as_bytes()),
            None => self.trees.resize(self.names.len(), 0),
        }
        self.offsets.push(offset);
        let place = u32::try_from(place).map_err(|_| PackError::TooLarge("commits"))?;
        let Self { names, by_name, hasher, format, .. } = self;
        let name_of = |place: u32| &names[place as usize * format.width()..][..format.width()];
        let hash = |place: u32| hasher.hash_one(key(name_of(place)));
        if by_name.find(hash(place), |other| name_of(*other) == name_of(place)).is_none() {
            by_name.insert_unique(hash(place), place, |other| hash(*other));
        }
        Ok(())
    }

    fn name(&self, place: u32) -> &[u8] {
        &self.names[place as usize * self.format.width()..][..self.format.width()]
    }
}

/// The tree that a commit names.
fn tree(content: &[u8], format: ObjectFormat) -> Option<Oid> {
    header(&mut &*content, b"tree ", format)
}

/// The parents that a commit names, exactly where git reads them: in lines behind that of the tree.
fn parents(content: &[u8], format: ObjectFormat) -> impl Iterator<Item = Oid> {
    let mut rest = content;
    let tree = header(&mut rest, b"tree ", format);
    std::iter::from_fn(move || tree.and_then(|_| header(&mut rest, b"parent ", format)))
}

fn header(content: &mut &[u8], word: &[u8], format: ObjectFormat) -> Option<Oid> {
    let (name, rest) = content.strip_prefix(word)?.split_at_checked(format.width() * 2)?;
    *content = rest.strip_prefix(b"\n")?;
    Oid::from_hex(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_parents_only_where_git_does() {
        let (tree, a, b) = ("0".repeat(40), "a".repeat(40), "b".repeat(40));
        let check = |content: String, expected: &[&str]| {
            let found: Vec<_> =
                parents(content.as_bytes(), ObjectFormat::Sha1).map(|oid| oid.to_string()).collect();
            assert_eq!(found, expected, "{content}");
        };
        check(format!("tree {tree}\nparent {a}\nparent {b}\nauthor x\n\nparent {a}\n"), &[&a, &b]);
        check(format!("tree {tree}\nauthor x\nparent {a}\n"), &[]);
        check(format!("parent {a}\n"), &[]);
        check(format!("tree {tree}\nparent {a}{a}\n"), &[]);
        check(format!("tree {tree}\nparent {a}"), &[]);
        check(format!("tree {tree}\n parent {a}\n"), &[]);
        check(String::new(), &[]);
    }

    #[test]
    fn finds_commits_by_name_and_place() {
        let mut commits = Commits::new(ObjectFormat::Sha1, 300);
        let name = |n: u16| Oid::from_bytes(&[&n.to_be_bytes()[..], &[0; 18]].concat()).unwrap();
        let content = |n| format!("tree {}\nparent {}\n", name(0), name(n)).into_bytes();
        for n in 1..=300 {
            commits.add(u64::from(n) * 7, &name(n), &content(n - 1)).unwrap();
        }
        assert!(matches!(commits.add(9999, &name(301), b""), Err(PackError::TooLarge(_))));
        for n in 1..=300 {
            let place = commits.find(&name(n)).unwrap();
            assert_eq!(commits.parents(place).collect::<Vec<_>>(), [name(n - 1)]);
            assert_eq!(commits.tree(&name(n)), None, "a name of zeros is none");
            assert_eq!(commits.offset(&name(n)), Some(u64::from(n) * 7));
            assert!(commits.is_at(u64::from(n) * 7) && !commits.is_at(u64::from(n) * 7 + 1));
        }
        assert_eq!(commits.find(&name(0)), None);
        assert_eq!(commits.len(), 300);
    }
}
