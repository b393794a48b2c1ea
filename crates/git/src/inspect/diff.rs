//! What differs between a tree and some others.

use std::collections::BTreeSet;

use super::{
    InspectError,
    content::Seen,
    tree::{self, Entry},
};
use crate::{
    oid::Oid,
    pack::{Budget, Kind, Objects, PackError, Source, name},
};

/// Compares trees within some packs.
pub(super) struct Diff<'a, S> {
    pub(super) objects: &'a mut Objects<S>,
    /// What was seen of each of them.
    pub(super) seen: &'a [Seen],
    pub(super) budget: &'a Budget,
    /// Bytes of the longest path.
    pub(super) path: usize,
    /// Trees that none of the packs holds.
    pub(super) missing: BTreeSet<Oid>,
}

/// Trees at one path; `None` where there is none.
struct Pair {
    path: Vec<u8>,
    new: Option<Oid>,
    olds: Vec<Option<Oid>>,
}

impl<S: Source> Diff<'_, S> {
    /// Shows each file that differs from what stands at its path in all of `olds`, with what it is in
    /// `new`, nothing where it was removed, and in each of `olds`. Directories are no files, gitlinks and symbolic links are.
    pub(super) fn run(
        &mut self,
        new: Option<Oid>,
        olds: &[Option<Oid>],
        mut see: impl FnMut(&[u8], Option<Entry<'_>>, &[Option<Entry<'_>>]) -> Result<(), InspectError>,
    ) -> Result<(), InspectError> {
        let mut open = vec![Pair { path: Vec::new(), new, olds: olds.to_vec() }];
        open.retain(|pair| pair.olds.iter().all(|old| *old != pair.new));
        while let Some(pair) = open.pop() {
            self.budget.check()?;
            let width = self.objects.format().width();
            if let Some([new, old]) = self.seen(&pair) {
                let (new, old) = (entries(new, width, pair.new)?, entries(old, width, None)?);
                pair.show(self.path, &new, &[old], &mut open, &mut see)?;
                continue;
            }
            let Some(new) = self.tree(pair.new)? else { continue };
            let mut olds = Vec::with_capacity(pair.olds.len());
            for old in &pair.olds {
                olds.extend(self.tree(*old)?);
            }
            if olds.len() < pair.olds.len() {
                continue;
            }
            // Most of two trees is alike.
            let alike = olds.iter().map(|old| tree::alike(&new, old, width)).min().unwrap_or_default();
            let (new, rests) = (&new[alike..], olds.iter().map(|old| &old[alike..]).collect::<Vec<_>>());
            let (new, olds) = match tree::differing(new, &rests, width).filter(|(new, olds)| {
                std::iter::once(new)
                    .chain(olds)
                    .all(|entries| entries.is_sorted_by(|a, b| a.order(b).is_le()))
            }) {
                Some(differing) => differing,
                None => {
                    let olds = rests.iter().zip(&pair.olds);
                    let olds: Result<_, _> = olds.map(|(old, oid)| entries(old, width, *oid)).collect();
                    (entries(new, width, pair.new)?, olds?)
                }
            };
            pair.show(self.path, &new, &olds, &mut open, &mut see)?;
        }
        Ok(())
    }

    /// The entries in which two trees differ, where that was seen as they passed by.
    fn seen(&self, pair: &Pair) -> Option<[&[u8]; 2]> {
        let (Some(new), [Some(old)]) = (pair.new, &*pair.olds) else { return None };
        let ((new, _), (old, _)) = (self.objects.find(&new)?, self.objects.find(old)?);
        let seen = self.seen.get(new.pack).filter(|_| new.pack == old.pack)?;
        seen.changes.between(new.place, old.place)
    }

    /// The content of a tree, empty where there is none; `None` if it is missing.
    fn tree(&mut self, oid: Option<Oid>) -> Result<Option<std::sync::Arc<[u8]>>, InspectError> {
        let Some(oid) = oid else { return Ok(Some([].into())) };
        match self.objects.find(&oid) {
            Some((place, Kind::Tree)) => Ok(Some(self.objects.content(place, self.budget)?)),
            Some((_, Kind::Commit | Kind::Blob | Kind::Tag)) => {
                Err(InspectError::Pushed(PackError::Object {
                    kind: "object",
                    name: oid,
                    fault: "is no tree",
                }))
            }
            // The one object that git knows without having it.
            None if oid == name(oid.format(), Kind::Tree, b"")? => Ok(Some([].into())),
            None => {
                self.missing.insert(oid);
                Ok(None)
            }
        }
    }
}

impl Pair {
    /// Shows the files among what differs; what is below its directories is to be compared next.
    fn show(
        &self,
        longest: usize,
        new: &[Entry<'_>],
        olds: &[Vec<Entry<'_>>],
        open: &mut Vec<Self>,
        see: &mut impl FnMut(&[u8], Option<Entry<'_>>, &[Option<Entry<'_>>]) -> Result<(), InspectError>,
    ) -> Result<(), InspectError> {
        for (entry, olds) in Joined::new(new, olds) {
            let Some(first) = entry.or_else(|| *olds.first()?) else { continue };
            let mut path = self.path.clone();
            path.extend_from_slice(first.name);
            if path.len() > longest {
                return Err(InspectError::TooLarge("the length of a path"));
            }
            if first.is_tree() {
                path.push(b'/');
                let olds = olds.iter().map(|old| old.map(|old| old.oid)).collect();
                open.push(Self { path, new: entry.map(|entry| entry.oid), olds });
            } else {
                see(&path, entry, &olds)?;
            }
        }
        Ok(())
    }
}

/// The entries of a tree, in git's order whoever wrote it.
fn entries(content: &[u8], width: usize, oid: Option<Oid>) -> Result<Vec<Entry<'_>>, InspectError> {
    let mut entries = tree::entries(content, width).map_err(|fault| match oid {
        Some(name) => PackError::Object { kind: "tree", name, fault },
        None => PackError::Malformed(fault),
    })?;
    if !entries.is_sorted_by(|a, b| a.order(b).is_le()) {
        entries.sort_by(Entry::order);
    }
    Ok(entries)
}

/// Walks a tree and others side by side, and stops where the first differs from all others.
pub(super) struct Joined<'a> {
    new: &'a [Entry<'a>],
    olds: Vec<&'a [Entry<'a>]>,
}

impl<'a> Joined<'a> {
    pub(super) fn new(new: &'a [Entry<'a>], olds: &'a [Vec<Entry<'a>>]) -> Self {
        Self { new, olds: olds.iter().map(Vec::as_slice).collect() }
    }
}

impl Joined<'_> {
    /// Passes over what all begin with, without asking what comes first.
    fn skip_alike(&mut self) {
        while let Some(first) = self.new.first()
            && self.olds.iter().all(|old| old.first() == Some(first))
        {
            self.new = &self.new[1..];
            self.olds.iter_mut().for_each(|old| *old = &old[1..]);
        }
    }
}

impl<'a> Iterator for Joined<'a> {
    type Item = (Option<Entry<'a>>, Vec<Option<Entry<'a>>>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.skip_alike();
            let heads = std::iter::once(&self.new).chain(&self.olds).filter_map(|list| list.first());
            let first = *heads.min_by(|a, b| a.order(b))?;
            let take = |list: &mut &'a [Entry<'a>]| {
                let entry = list.first().filter(|entry| entry.order(&first).is_eq())?;
                *list = &list[1..];
                Some(*entry)
            };
            let new = take(&mut self.new);
            let same = |old: &Option<Entry<'_>>| match (old, &new) {
                (Some(old), Some(new)) => (old.mode, old.oid) == (new.mode, new.oid),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            let olds: Vec<_> = self.olds.iter_mut().map(take).collect();
            if !olds.iter().any(same) {
                return Some((new, olds));
            }
        }
    }
}
