//! The pass over a pack that finds its commits.

use std::{collections::HashMap, ops::ControlFlow};

use super::{
    Budget, Commits, PackError, Source, delta,
    input::{Inflater, Input, Kind},
};
use crate::oid::{ObjectFormat, Oid};

/// The longest chain of deltas; git makes none longer than 4095.
const DEPTH: usize = 4095;
/// Bytes of the deltas of one chain that are held at once.
const CHAIN: usize = 32 << 20;
/// Bytes of commits that are kept as likely bases of the next delta.
const BASES: usize = 2 << 20;

/// What the pass came upon.
pub(crate) enum Event<'a> {
    /// A commit.
    Commit(&'a Oid, &'a [u8]),
    /// Something else behind commits: git writes all commits first, so that these may be all.
    Run(&'a Commits),
}

/// Reads a pack for its commits, until its end or until `visit` breaks. Deltas against what the pack does
/// not hold before them are passed over: such a commit counts as one that is not there.
///
/// # Errors
/// [`PackError`].
pub(crate) fn scan(
    source: &impl Source,
    format: ObjectFormat,
    budget: &Budget,
    mut visit: impl FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<Commits, PackError> {
    let mut input = Input::new(source.reader(0), 0, 128 * 1024);
    let mut inflater = Inflater::new();
    let mut found = Found {
        source,
        format,
        budget,
        commits: Commits::new(format, budget.commits),
        bases: HashMap::new(),
        bases_len: 0,
        inflater: Inflater::new(),
    };
    let mut in_run = false;
    for _ in 0..input.header()? {
        let offset = input.offset();
        let entry = input.entry(format)?;
        let base = match entry.kind {
            Kind::Commit => {
                let content = inflater.hold(&mut input, entry.size, budget)?;
                in_run = true;
                if found.add(offset, content, &mut visit)?.is_break() {
                    break;
                }
                continue;
            }
            Kind::Other => None,
            Kind::OffsetDelta(base) => Some(base).filter(|base| found.commits.is_at(*base)),
            Kind::RefDelta(name) => found.commits.offset(&name),
        };
        if let Some(base) = base {
            let delta = inflater.hold(&mut input, entry.size, budget)?;
            let content = delta::apply(&found.content(base)?, &delta)?;
            in_run = true;
            if found.add(offset, content, &mut visit)?.is_break() {
                break;
            }
        } else {
            if std::mem::take(&mut in_run) && visit(Event::Run(&found.commits)).is_break() {
                break;
            }
            inflater.skip(&mut input, entry.size, budget)?;
        }
    }
    Ok(found.commits)
}

struct Found<'a, S> {
    source: &'a S,
    format: ObjectFormat,
    budget: &'a Budget,
    commits: Commits,
    bases: HashMap<u64, Vec<u8>>,
    bases_len: usize,
    inflater: Inflater,
}

impl<S: Source> Found<'_, S> {
    fn add(
        &mut self,
        offset: u64,
        content: Vec<u8>,
        visit: &mut impl FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, PackError> {
        let name = name(self.format, &content)?;
        self.commits.add(offset, &name, &content)?;
        let flow = visit(Event::Commit(&name, &content));
        self.keep(offset, content);
        Ok(flow)
    }

    fn keep(&mut self, offset: u64, content: Vec<u8>) {
        if self.bases_len + content.len() > BASES {
            self.bases.clear();
            self.bases_len = 0;
        }
        if content.len() <= BASES / 8 {
            self.bases_len += content.len();
            self.bases.insert(offset, content);
        }
    }

    /// The content of the commit at an offset, with all its deltas applied.
    fn content(&mut self, offset: u64) -> Result<Vec<u8>, PackError> {
        let (mut offset, mut deltas, mut held) = (offset, Vec::new(), 0);
        let mut content = loop {
            if let Some(content) = self.bases.get(&offset) {
                break content.clone();
            }
            let mut input = Input::new(self.source.reader(offset), offset, 4096);
            let entry = input.entry(self.format)?;
            let inflated = self.inflater.hold(&mut input, entry.size, self.budget)?;
            // Every base was found before what stands on it, so this comes to an end.
            offset = match entry.kind {
                Kind::Commit => break inflated,
                Kind::OffsetDelta(base) => base,
                Kind::RefDelta(base) => self.commits.offset(&base).ok_or(CHANGED)?,
                Kind::Other => return Err(CHANGED),
            };
            held += inflated.len();
            if deltas.len() == DEPTH || held > CHAIN {
                return Err(PackError::TooLarge("deltas upon deltas"));
            }
            deltas.push(inflated);
        };
        for delta in deltas.iter().rev() {
            content = delta::apply(&content, delta)?;
        }
        Ok(content)
    }
}

const CHANGED: PackError = PackError::Malformed("a delta's base is no commit at a second look");

/// The name of a commit, by the same collision-detecting hash that git uses.
fn name(format: ObjectFormat, content: &[u8]) -> Result<Oid, PackError> {
    let kind = match format {
        ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
    };
    let mut hasher = gix_hash::hasher(kind);
    hasher.update(format!("commit {}\0", content.len()).as_bytes());
    hasher.update(content);
    let name = hasher.try_finalize().map_err(|_| PackError::Collision)?;
    Oid::from_bytes(name.as_slice()).ok_or(PackError::Malformed("a name of no known length"))
}
