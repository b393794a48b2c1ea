//! Which commits and tags an update brings.

use hashbrown::HashSet;

use super::InspectError;
use crate::{
    oid::Oid,
    pack::{Budget, Kind, Objects, Origin, Place, Source},
};

/// What a ref points at, through all tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tip {
    Commit(Oid),
    Tree(Oid),
    Blob(Oid),
    /// At what none of the packs holds.
    Missing(Oid),
}

/// Follows tags to what they tag. Returns them, the outermost first.
pub(super) fn peel<S: Source>(
    objects: &mut Objects<S>,
    oid: Oid,
    budget: &Budget,
) -> Result<(Vec<(Oid, Place)>, Tip), InspectError> {
    let (mut oid, mut tags) = (oid, Vec::new());
    loop {
        match objects.find(&oid) {
            None => return Ok((tags, Tip::Missing(oid))),
            Some((_, Kind::Commit)) => return Ok((tags, Tip::Commit(oid))),
            Some((_, Kind::Tree)) => return Ok((tags, Tip::Tree(oid))),
            Some((_, Kind::Blob)) => return Ok((tags, Tip::Blob(oid))),
            Some((place, Kind::Tag)) => {
                tags.push((oid, place));
                let content = objects.content(place, budget)?;
                oid = tagged(&content)
                    .filter(|tagged| tagged.format() == oid.format())
                    .ok_or(InspectError::malformed("tag", oid, "names no object"))?;
            }
        }
    }
}

/// What a tag tags: its first line says so.
fn tagged(content: &[u8]) -> Option<Oid> {
    let line = content.split(|byte| *byte == b'\n').next()?;
    Oid::from_hex(line.strip_prefix(b"object ")?)
}

/// What is reached from one commit and not from another.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Parents before children.
    pub(super) commits: Vec<Oid>,
    /// What none of the packs holds, and so stands before them.
    pub(super) missing: Vec<Oid>,
    /// What the other reaches in the packs, and itself.
    pub(super) old: HashSet<Oid>,
}

/// Walks from `new` to what `olds` reach, for the update of that number.
pub(super) fn history<S: Source>(
    objects: &Objects<S>,
    number: usize,
    new: Oid,
    olds: &[Oid],
    budget: &Budget,
) -> Result<History, InspectError> {
    let mut history = History::default();
    let mut next = olds.to_vec();
    while let Some(oid) = next.pop() {
        budget.check()?;
        if history.old.insert(oid) {
            next.extend(parents(objects, number, &oid).into_iter().flatten());
        }
    }
    let (mut seen, mut open) = (HashSet::new(), vec![(new, false)]);
    while let Some((oid, followed)) = open.pop() {
        budget.check()?;
        if followed {
            history.commits.push(oid);
        } else if !history.old.contains(&oid) && seen.insert(oid) {
            match parents(objects, number, &oid) {
                Some(parents) => {
                    open.push((oid, true));
                    open.extend(parents.map(|parent| (parent, false)));
                }
                None => history.missing.push(oid),
            }
        }
    }
    Ok(history)
}

/// The parents of a commit that an update may bring: one that was pushed, or that the upstream named when it
/// was asked what this update lacks. `None` for all others.
pub(super) fn parents<S: Source>(
    objects: &Objects<S>,
    number: usize,
    oid: &Oid,
) -> Option<impl Iterator<Item = Oid>> {
    objects.packs().find_map(|(origin, index)| match origin {
        Origin::Pushed => index.commits().find(oid).map(|place| index.commits().parents(place)),
        Origin::Lacking(other) if other == number => {
            index.commits().find(oid).map(|place| index.commits().parents(place))
        }
        Origin::Lacking(_) | Origin::Known => None,
    })
}
