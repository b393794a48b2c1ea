//! Makes objects of the deltas of a pack that [`Pass`](super::Pass) left, each once, those upon others after them.

use super::{Budget, Object, Objects, PackError, Place, Source, Visit, name::name};
use crate::oid::Oid;

/// Resolves the deltas of the pack of that number, and shows what they make. Returns the objects that some
/// stand on and none of the packs holds; when those were added it can be called again.
///
/// # Errors
/// [`PackError`].
pub(crate) fn resolve<S: Source>(
    objects: &mut Objects<S>,
    pack: usize,
    budget: &Budget,
    visitor: &mut impl Visit,
) -> Result<Vec<Oid>, PackError> {
    let index = objects.index_mut(pack);
    let mut on_entries = std::mem::take(&mut index.on_entries);
    let mut on_names = std::mem::take(&mut index.on_names);
    on_entries.sort_unstable();
    on_names.sort_unstable();
    let deltas = Deltas { on_entries: &on_entries, on_names: &on_names };

    let mut next = deltas.on_others(objects, pack, budget, visitor)?;
    let mut bases = on_entries.chunk_by(|(a, _), (b, _)| a == b).map(|deltas| deltas[0].0);
    // Depth first, so that what comes next stands on what is still at hand.
    while let Some(base) = next.pop().or_else(|| bases.next()) {
        let Some(name) = objects.index(pack).name(base) else { continue };
        for delta in deltas.of(base, &name) {
            next.extend(make(objects, Place { pack, place: delta }, budget, visitor)?);
        }
    }
    on_names.retain(|(_, delta)| objects.index(pack).kind(*delta).is_none());
    let missing = on_names.chunk_by(|(a, _), (b, _)| a == b).map(|deltas| deltas[0].0);
    let missing: Vec<Oid> = missing.collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    let index = objects.index_mut(pack);
    (index.on_entries, index.on_names) = (on_entries, on_names);
    Ok(missing)
}

/// The deltas of a pack, sorted by what they stand on.
struct Deltas<'a> {
    on_entries: &'a [(u32, u32)],
    on_names: &'a [(Oid, u32)],
}

impl Deltas<'_> {
    /// Those upon the object at a place.
    fn of(&self, base: u32, name: &Oid) -> impl Iterator<Item = u32> {
        let start = self.on_entries.partition_point(|(other, _)| *other < base);
        let by_entry = self.on_entries[start..].iter().take_while(move |(other, _)| *other == base);
        let start = self.on_names.partition_point(|(other, _)| other < name);
        let by_name = self.on_names[start..].iter().take_while(move |(other, _)| other == name);
        by_entry.map(|(_, delta)| *delta).chain(by_name.map(|(_, delta)| *delta))
    }

    /// Makes those upon objects that are named rather than pointed at, as far as those are there.
    fn on_others<S: Source>(
        &self,
        objects: &mut Objects<S>,
        pack: usize,
        budget: &Budget,
        visitor: &mut impl Visit,
    ) -> Result<Vec<u32>, PackError> {
        let mut made = Vec::new();
        for (base, delta) in self.on_names {
            if objects.find(base).is_some() {
                made.extend(make(objects, Place { pack, place: *delta }, budget, visitor)?);
            }
        }
        Ok(made)
    }
}

/// Makes the object at a place and shows it; `None` if that was done before.
fn make<S: Source>(
    objects: &mut Objects<S>,
    at: Place,
    budget: &Budget,
    visitor: &mut impl Visit,
) -> Result<Option<u32>, PackError> {
    if objects.index(at.pack).kind(at.place).is_some() {
        return Ok(None);
    }
    let (kind, content) = objects.resolved(at, budget)?;
    let name = name(objects.format(), kind, &content)?;
    let size = content.len() as u64;
    objects.index_mut(at.pack).set(at.place, kind, &name, size, &content)?;
    visitor.end(&Object { place: at.place, kind, name, content: Some(&content), upon: None })?;
    Ok(Some(at.place))
}
