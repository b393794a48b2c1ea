//! The content of any object of some packs, with all its deltas applied.

use std::sync::Arc;

use super::{
    Budget, Index, Kind, PackError, Source, delta,
    entry::Stored,
    input::{Inflater, Input},
    kept::Kept,
    window::Windows,
};
use crate::oid::{ObjectFormat, Oid};

/// The longest chain of deltas; git makes none longer than 4095.
const DEPTH: usize = 4095;
/// Bytes of the deltas of one chain that are held at once.
const CHAIN: usize = 32 << 20;

/// Where a pack comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was pushed.
    Pushed,
    /// The upstream has it: what the update at this place brings, and the push lacks.
    Lacking(usize),
    /// The upstream has it: what updates or deltas stand on.
    Known,
}

/// An object of one of the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) pack: usize,
    pub(crate) place: u32,
}

/// Some packs, as one store of objects.
pub(crate) struct Objects<S> {
    format: ObjectFormat,
    packs: Vec<Pack<S>>,
    inflater: Inflater,
    held: u64,
    windows: Windows,
    kept: Kept,
    made: Vec<u8>,
}

pub(super) struct Pack<S> {
    pub(super) index: Index,
    source: S,
    origin: Origin,
}

impl<S: Source> Objects<S> {
    /// None yet; no object larger than `held` bytes will be held.
    pub(crate) fn new(format: ObjectFormat, held: u64) -> Self {
        let (windows, kept, made) = (Windows::default(), Kept::default(), Vec::new());
        Self { format, packs: Vec::new(), inflater: Inflater::new(), held, windows, kept, made }
    }

    pub(crate) fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Adds a pack; says its number.
    pub(crate) fn add(&mut self, source: S, mut index: Index, origin: Origin) -> usize {
        let kept = std::mem::take(&mut index.kept);
        // The pass over it took it for the first.
        if self.packs.is_empty() {
            self.kept = kept;
        }
        self.packs.push(Pack { index, source, origin });
        self.packs.len() - 1
    }

    /// The packs: where they come from, and what they hold.
    pub(crate) fn packs(&self) -> impl Iterator<Item = (Origin, &Index)> {
        self.packs.iter().map(|pack| (pack.origin, &pack.index))
    }

    pub(crate) fn index(&self, pack: usize) -> &Index {
        &self.packs[pack].index
    }

    pub(super) fn index_mut(&mut self, pack: usize) -> &mut Index {
        &mut self.packs[pack].index
    }

    /// The object of a name, if one of the packs holds it.
    pub(crate) fn find(&self, name: &Oid) -> Option<(Place, Kind)> {
        self.packs.iter().enumerate().find_map(|(pack, Pack { index, .. })| {
            let place = index.find(name)?;
            Some((Place { pack, place }, index.kind(place)?))
        })
    }

    /// The content of an object.
    pub(crate) fn content(&mut self, at: Place, budget: &Budget) -> Result<Arc<[u8]>, PackError> {
        self.resolved(at, budget).map(|(_, content)| content)
    }

    /// What the entry at a place is, and its content.
    pub(super) fn resolved(&mut self, at: Place, budget: &Budget) -> Result<(Kind, Arc<[u8]>), PackError> {
        let (mut next, mut deltas, mut held) = (at, Vec::new(), 0);
        let (kind, mut content) = loop {
            if let Some(found) = self.kept.get(next) {
                break found;
            }
            let pack = &self.packs[next.pack];
            let offset = pack.index.offset(next.place);
            let (entry, inflated) = {
                let reader = self.windows.reader(&pack.source, next.pack, offset)?;
                let mut input = Input::over(reader, offset);
                let entry = input.entry(self.format)?;
                (entry, self.inflater.hold(&mut input, entry.size, self.held, budget)?)
            };
            let base = match entry.stored {
                Stored::Whole(kind) => break (kind, inflated.into()),
                Stored::OffsetDelta(base) => {
                    pack.index.at(base).map(|place| Place { pack: next.pack, place })
                }
                Stored::RefDelta(base) => self.find(&base).map(|(place, _)| place),
            };
            held += inflated.len();
            if deltas.len() == DEPTH || held > CHAIN {
                return Err(PackError::TooLarge("deltas upon deltas"));
            }
            deltas.push((next, inflated));
            next = base.ok_or(PackError::Malformed("a delta's base is gone"))?;
        };
        if deltas.is_empty() {
            self.kept.put(at, kind, &content);
        }
        // All on the way are kept: what is asked for next often stands between.
        for (at, delta) in deltas.iter().rev() {
            delta::apply_into(&content, delta, self.held, &mut self.made)?;
            budget.spend(self.made.len() as u64)?;
            content = Arc::from(&*self.made);
            self.kept.put(*at, kind, &content);
        }
        Ok((kind, content))
    }
}
