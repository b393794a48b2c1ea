//! What is known of every object of a pack: name, kind, size and place, in flat arrays.

use std::{hash::BuildHasher as _, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{Budget, Commits, Kind, PackError, kept::Kept};
use crate::oid::{ObjectFormat, Oid, key};

/// The objects of one pack, in its order. Those that come as deltas have no name until they are resolved.
pub(crate) struct Index {
    format: ObjectFormat,
    entries: Vec<Entry>,
    names: Vec<u8>,
    by_name: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Deltas, with the entry that each stands on.
    pub(super) on_entries: Vec<(u32, u32)>,
    /// Deltas, with the object that each stands on.
    pub(super) on_names: Vec<(Oid, u32)>,
    commits: Arc<Commits>,
    /// What of them is at hand.
    pub(super) kept: Kept,
}

#[derive(Clone, Copy)]
struct Entry {
    offset: u64,
    size: u64,
    /// `None` until it is resolved.
    kind: Option<Kind>,
}

impl Index {
    pub(super) fn new(format: ObjectFormat, budget: &Budget) -> Self {
        Self {
            format,
            entries: Vec::new(),
            names: Vec::new(),
            by_name: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            on_entries: Vec::new(),
            on_names: Vec::new(),
            commits: Arc::new(Commits::new(format, budget.commits)),
            kept: Kept::default(),
        }
    }

    /// How many objects.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The commits among them.
    pub(crate) fn commits(&self) -> &Arc<Commits> {
        &self.commits
    }

    /// The place of an object.
    pub(crate) fn find(&self, name: &Oid) -> Option<u32> {
        let hash = self.hasher.hash_one(key(name.as_bytes()));
        self.by_name.find(hash, |place| self.bytes(*place) == name.as_bytes()).copied()
    }

    /// The name of the object at a place, once it is resolved.
    pub(crate) fn name(&self, place: u32) -> Option<Oid> {
        self.kind(place).and_then(|_| Oid::from_bytes(self.bytes(place)))
    }

    /// The names of all objects that are resolved.
    pub(crate) fn names(&self) -> impl Iterator<Item = Oid> {
        (0..self.len()).filter_map(|place| self.name(u32::try_from(place).ok()?))
    }

    /// What the object at a place is, once it is resolved.
    pub(crate) fn kind(&self, place: u32) -> Option<Kind> {
        self.entries[place as usize].kind
    }

    /// Bytes of the object at a place, once it is resolved.
    pub(crate) fn size(&self, place: u32) -> u64 {
        self.entries[place as usize].size
    }

    pub(super) fn offset(&self, place: u32) -> u64 {
        self.entries[place as usize].offset
    }

    /// The entry that begins at that offset of the pack.
    pub(super) fn at(&self, offset: u64) -> Option<u32> {
        let place = self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok()?;
        u32::try_from(place).ok()
    }

    /// Adds an entry at an offset behind all others, without a name yet.
    pub(super) fn add(&mut self, offset: u64) -> Result<u32, PackError> {
        let place = u32::try_from(self.entries.len()).map_err(|_| PackError::TooLarge("objects"))?;
        self.entries.push(Entry { offset, size: 0, kind: None });
        self.names.resize(self.names.len() + self.format.width(), 0);
        Ok(place)
    }

    /// Says what the entry at a place is. `content` is that of a commit.
    pub(super) fn set(
        &mut self,
        place: u32,
        kind: Kind,
        name: &Oid,
        size: u64,
        content: &[u8],
    ) -> Result<(), PackError> {
        let Entry { offset, .. } = self.entries[place as usize];
        self.entries[place as usize] = Entry { offset, size, kind: Some(kind) };
        let width = self.format.width();
        self.names[place as usize * width..][..width].copy_from_slice(name.as_bytes());
        let Self { names, by_name, hasher, .. } = self;
        let name_of = |place: u32| &names[place as usize * width..][..width];
        let hash = hasher.hash_one(key(name.as_bytes()));
        // An object that comes twice is the same twice: its name says so.
        if by_name.find(hash, |other| name_of(*other) == name.as_bytes()).is_some() {
            return Ok(());
        }
        by_name.insert_unique(hash, place, |other| hasher.hash_one(key(name_of(*other))));
        match (kind, Arc::get_mut(&mut self.commits)) {
            (Kind::Commit, Some(commits)) => commits.add(offset, name, content),
            (Kind::Commit, None) => Err(PackError::Malformed("a commit was found too late")),
            (Kind::Tree | Kind::Blob | Kind::Tag, _) => Ok(()),
        }
    }

    fn bytes(&self, place: u32) -> &[u8] {
        &self.names[place as usize * self.format.width()..][..self.format.width()]
    }
}
