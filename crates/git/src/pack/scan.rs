//! The pass over a pack that finds its commits.

use std::{collections::HashMap, ops::ControlFlow};

use super::{
    Budget, Commits, PackError, Source, delta,
    entry::{Kind, Stored},
    input::{Inflater, Input},
    name::name,
};
use crate::oid::{ObjectFormat, Oid};

/// The largest commit, or delta to one, that is held.
const HELD: u64 = 8 << 20;
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
    budget.check()?;
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
        let base = match entry.stored {
            Stored::Whole(Kind::Commit) => {
                let content = inflater.hold(&mut input, entry.size, HELD, budget)?;
                in_run = true;
                if found.add(offset, content, &mut visit)?.is_break() {
                    break;
                }
                continue;
            }
            Stored::Whole(Kind::Tree | Kind::Blob | Kind::Tag) => None,
            Stored::OffsetDelta(base) => Some(base).filter(|base| found.commits.is_at(*base)),
            Stored::RefDelta(name) => found.commits.offset(&name),
        };
        if let Some(base) = base {
            let delta = inflater.hold(&mut input, entry.size, HELD, budget)?;
            let content = delta::apply(&found.content(base)?, &delta, HELD)?;
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
        let name = name(self.format, Kind::Commit, &content)?;
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
            let inflated = self.inflater.hold(&mut input, entry.size, HELD, self.budget)?;
            // Every base was found before what stands on it, so this comes to an end.
            offset = match entry.stored {
                Stored::Whole(Kind::Commit) => break inflated,
                Stored::OffsetDelta(base) => base,
                Stored::RefDelta(base) => self.commits.offset(&base).ok_or(CHANGED)?,
                Stored::Whole(Kind::Tree | Kind::Blob | Kind::Tag) => return Err(CHANGED),
            };
            held += inflated.len();
            if deltas.len() == DEPTH || held > CHAIN {
                return Err(PackError::TooLarge("deltas upon deltas"));
            }
            deltas.push(inflated);
        };
        for delta in deltas.iter().rev() {
            content = delta::apply(&content, delta, HELD)?;
        }
        Ok(content)
    }
}

const CHANGED: PackError = PackError::Malformed("a delta's base is no commit at a second look");
