//! A pack taken in pieces, as it arrives: every object that comes whole is inflated once, named, and shown
//! to who looks at it; and every delta upon what is at hand, which most are, for git writes them behind their bases.
//!
//! Nothing of it is held but one object at a time, of large blobs not even that, and some megabytes of what came last.
//! Deltas upon anything else are inflated to find their end; [`super::resolve`] makes objects of them when the whole
//! pack is there.

use std::{io::Read as _, sync::Arc};

use super::{
    Budget, Index, Kind, Limits, PackError, Place, Source, delta,
    entry::{self, Entry, HEAD, Stored},
    input::{CUT, Inflater},
    name::{Checksum, Digest, name},
};
use crate::oid::{ObjectFormat, Oid};

/// Bytes of the longest head of an entry, with some to spare.
const ENTRY: usize = 64;
/// Bytes of the largest blob that is shown whole.
const WHOLE: u64 = 1 << 20;
/// Bytes of the largest that is kept at hand for deltas upon it.
const BASE: u64 = 512 * 1024;
/// Bytes that a buffer may keep from one object to the next.
const BUFFER: usize = 1 << 20;
/// Bytes that are read from a source at once.
const READ: usize = 128 * 1024;

/// An object of a pack.
pub(crate) struct Object<'a> {
    /// Its place in the index.
    pub(crate) place: u32,
    pub(crate) kind: Kind,
    pub(crate) name: Oid,
    /// Its content; `None` for a large blob, which was shown in parts.
    pub(crate) content: Option<&'a Arc<[u8]>>,
    /// From which it was made by a delta, where that was at hand.
    pub(crate) upon: Option<Upon<'a>>,
}

/// An object that was shown before others which are made from it.
#[derive(Clone, Copy)]
pub(crate) struct Upon<'a> {
    pub(crate) place: u32,
    pub(crate) content: &'a [u8],
}

/// Looks at the objects of a pack.
pub(crate) trait Visit {
    /// A large blob of so many bytes begins.
    fn begin(&mut self, size: u64);
    /// The next part of it.
    fn part(&mut self, part: &[u8]);
    /// An object ended.
    ///
    /// # Errors
    /// [`PackError`], usually [`PackError::Object`], which ends the pass.
    fn end(&mut self, object: &Object<'_>) -> Result<(), PackError>;
}

/// A pass over one pack.
pub(crate) struct Pass<V> {
    format: ObjectFormat,
    limits: Limits,
    state: State,
    /// Bytes before the input.
    offset: u64,
    /// As of the end of some input that did not end the last entry.
    unfinished: u64,
    /// Entries to come.
    left: u32,
    /// What was read of a head or of the checksum.
    head: Vec<u8>,
    checksum: Checksum,
    inflater: Inflater,
    index: Index,
    /// What is held of the object, or delta, that is passing by.
    held: Vec<u8>,
    /// What the last delta made.
    made: Vec<u8>,
    pub(crate) visitor: V,
}

enum State {
    Head,
    Entry,
    Body(Body),
    Checksum,
}

struct Body {
    size: u64,
    place: u32,
    what: What,
}

enum What {
    Whole {
        kind: Kind,
        digest: Digest,
        /// Whether it is held.
        held: bool,
    },
    /// Upon what is at hand.
    Delta(Base),
    /// To be resolved when the whole pack is there.
    Left,
}

struct Base {
    place: u32,
    kind: Kind,
    content: Arc<[u8]>,
}

impl<V: Visit> Pass<V> {
    pub(crate) fn new(format: ObjectFormat, limits: Limits, budget: &Budget, visitor: V) -> Self {
        Self {
            format,
            limits,
            state: State::Head,
            offset: 0,
            unfinished: 0,
            left: 0,
            head: Vec::new(),
            checksum: Checksum::new(format),
            inflater: Inflater::new(),
            index: Index::new(format, budget),
            held: Vec::new(),
            made: Vec::new(),
            visitor,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`PackError`]; the pass is of no use afterwards.
    pub(crate) fn feed(&mut self, input: &[u8], budget: &Budget) -> Result<(), PackError> {
        budget.check()?;
        let (mut rest, mut taken) = (input, 0);
        while !rest.is_empty() {
            if matches!(self.state, State::Checksum) {
                self.head.extend_from_slice(rest);
                if self.head.len() > self.format.width() {
                    return Err(PackError::Malformed("something follows its end"));
                }
                break;
            }
            let read = self.step(rest, budget)?;
            self.offset += read as u64;
            rest = &rest[read..];
            taken += read;
        }
        self.checksum.update(&input[..taken]);
        match self.state {
            State::Head | State::Entry | State::Body(_) => self.unfinished = self.offset,
            State::Checksum => {}
        }
        Ok(())
    }

    /// Bytes of a beginning of the pack that lacks the end of an entry at least, and so is none to anybody.
    pub(crate) fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Ends it: what was found, and who looked at it.
    ///
    /// # Errors
    /// [`PackError::Malformed`] where the pack is not whole.
    pub(crate) fn finish(self) -> Result<(Index, V), PackError> {
        if !matches!(self.state, State::Checksum) || self.head.len() < self.format.width() {
            return Err(CUT);
        }
        if !self.checksum.is(&self.head) {
            return Err(PackError::Malformed("its checksum is that of another"));
        }
        Ok((self.index, self.visitor))
    }

    /// Takes some of the input; says how much.
    fn step(&mut self, input: &[u8], budget: &Budget) -> Result<usize, PackError> {
        match &mut self.state {
            State::Head => {
                let read = input.len().min(HEAD - self.head.len());
                self.head.extend_from_slice(&input[..read]);
                if let Ok(head) = <[u8; HEAD]>::try_from(&*self.head) {
                    self.left = entry::count(head)?;
                    if self.left > self.limits.objects {
                        return Err(PackError::TooLarge("objects"));
                    }
                    self.next_entry();
                }
                Ok(read)
            }
            State::Entry => {
                let held = self.head.len();
                let start = self.offset - held as u64;
                self.head.extend_from_slice(&input[..input.len().min(ENTRY - held)]);
                let Some((entry, length)) = Entry::parse(&self.head, start, self.format)? else {
                    if self.head.len() == ENTRY {
                        return Err(PackError::Malformed("the head of an entry has no end"));
                    }
                    return Ok(self.head.len() - held);
                };
                self.begin(entry, start)?;
                Ok(length - held)
            }
            State::Body(body) => {
                let step = self.inflater.step(input, body.size, budget)?;
                let mut whole = None;
                match &mut body.what {
                    What::Whole { digest, held, .. } => {
                        digest.update(step.made);
                        match (*held, step.ended && self.held.is_empty()) {
                            (true, true) => whole = Some(Arc::from(step.made)),
                            (true, false) => self.held.extend_from_slice(step.made),
                            (false, _) => self.visitor.part(step.made),
                        }
                    }
                    What::Delta(_) => self.held.extend_from_slice(step.made),
                    What::Left => {}
                }
                let read = step.read;
                if step.ended {
                    self.end(whole, budget)?;
                }
                Ok(read)
            }
            State::Checksum => Ok(0),
        }
    }

    fn next_entry(&mut self) {
        self.head.clear();
        self.state = if self.left == 0 { State::Checksum } else { State::Entry };
    }

    fn begin(&mut self, entry: Entry, start: u64) -> Result<(), PackError> {
        let size = entry.size;
        let place = self.index.add(start)?;
        self.left -= 1;
        let what = match entry.stored {
            Stored::Whole(kind) => {
                let held = kind != Kind::Blob || size <= WHOLE;
                What::Whole { kind, digest: Digest::object(self.format, kind, size), held }
            }
            Stored::OffsetDelta(base) => {
                let base = self.index.at(base).ok_or(PackError::Malformed("a delta against no entry"))?;
                self.at_hand(base).unwrap_or_else(|| {
                    self.index.on_entries.push((base, place));
                    What::Left
                })
            }
            Stored::RefDelta(name) => {
                self.index.find(&name).and_then(|base| self.at_hand(base)).unwrap_or_else(|| {
                    self.index.on_names.push((name, place));
                    What::Left
                })
            }
        };
        let blob = matches!(what, What::Whole { kind: Kind::Blob, .. });
        let in_parts = matches!(what, What::Whole { held: false, .. });
        if size > if blob { self.limits.object } else { self.limits.held } {
            return Err(PackError::TooLarge("the size of an object"));
        }
        if in_parts {
            self.visitor.begin(size);
        }
        self.inflater.begin();
        self.state = State::Body(Body { size, place, what });
        Ok(())
    }

    /// A delta upon the entry at a place, where its content is at hand.
    fn at_hand(&mut self, base: u32) -> Option<What> {
        let (kind, content) = self.index.kept.get(Place { pack: 0, place: base })?;
        Some(What::Delta(Base { place: base, kind, content }))
    }

    /// Ends an entry. `whole`: its content, where that came at once.
    fn end(&mut self, whole: Option<Arc<[u8]>>, budget: &Budget) -> Result<(), PackError> {
        if let State::Body(body) = std::mem::replace(&mut self.state, State::Entry) {
            let Body { size, place, what } = body;
            match what {
                What::Whole { kind, digest, held } => {
                    let content = held.then(|| whole.unwrap_or_else(|| Arc::from(&*self.held)));
                    let name = digest.finish()?;
                    self.index.set(place, kind, &name, size, content.as_deref().unwrap_or_default())?;
                    let content = content.as_ref();
                    self.visitor.end(&Object { place, kind, name, content, upon: None })?;
                    if let Some(content) = content.filter(|_| kind != Kind::Blob || size <= BASE) {
                        self.index.kept.put(Place { pack: 0, place }, kind, content);
                    }
                }
                What::Delta(base) => self.make(place, &base, budget)?,
                What::Left => {}
            }
            for buffer in [&mut self.held, &mut self.made] {
                buffer.clear();
                buffer.shrink_to(BUFFER);
            }
        }
        self.next_entry();
        Ok(())
    }

    /// Makes an object of the delta that is held.
    fn make(&mut self, place: u32, base: &Base, budget: &Budget) -> Result<(), PackError> {
        let Base { place: at, kind, ref content } = *base;
        let upon = Some(Upon { place: at, content });
        delta::apply_into(content, &self.held, self.limits.held, &mut self.made)?;
        let (made, size) = (Arc::from(&*self.made), self.made.len() as u64);
        budget.spend(size)?;
        let name = name(self.format, kind, &made)?;
        self.index.set(place, kind, &name, size, &made)?;
        self.visitor.end(&Object { place, kind, name, content: Some(&made), upon })?;
        let [base, place] = [at, place].map(|place| Place { pack: 0, place });
        self.index.kept.put_upon(base, place, kind, &made);
        Ok(())
    }
}

/// Passes over a whole pack that is there.
///
/// # Errors
/// [`PackError`].
pub(crate) fn pass<V: Visit>(
    source: &impl Source,
    mut pass: Pass<V>,
    budget: &Budget,
) -> Result<(Index, V), PackError> {
    let (mut reader, mut buffer) = (source.reader(0), vec![0; READ]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return pass.finish(),
            read => pass.feed(&buffer[..read], budget)?,
        }
    }
}
