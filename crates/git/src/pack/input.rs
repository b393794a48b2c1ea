//! Entries of a pack: their headers, and their zlib streams.

use std::io::{BufRead as _, BufReader, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::{Budget, PackError};
use crate::oid::{ObjectFormat, Oid};

/// The largest commit, or delta to one, that is held.
const HELD: u64 = 8 << 20;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    /// A tree, blob or tag.
    Other,
    /// A delta against the entry at this offset.
    OffsetDelta(u64),
    /// A delta against this object.
    RefDelta(Oid),
}

/// The head of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Bytes of the inflated object or delta.
    pub(super) size: u64,
}

/// Reads a pack from somewhere on.
pub(super) struct Input<R> {
    reader: BufReader<R>,
    offset: u64,
}

impl<R: Read> Input<R> {
    /// `offset` is where the reader stands in the pack.
    pub(super) fn new(reader: R, offset: u64, buffer: usize) -> Self {
        Self { reader: BufReader::with_capacity(buffer, reader), offset }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of entries that the pack says it holds.
    pub(super) fn header(&mut self) -> Result<u32, PackError> {
        let [magic, version, count] = [self.take::<4>()?, self.take()?, self.take()?];
        if magic != *b"PACK" || !matches!(u32::from_be_bytes(version), 2 | 3) {
            return Err(PackError::Malformed("its header is not that of version 2 or 3"));
        }
        Ok(u32::from_be_bytes(count))
    }

    pub(super) fn entry(&mut self, format: ObjectFormat) -> Result<Entry, PackError> {
        let start = self.offset;
        let [first] = self.take()?;
        let (mut size, mut shift, mut byte) = (u64::from(first & 0x0f), 4, first);
        while byte & 0x80 != 0 {
            [byte] = self.take()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || bits << shift >> shift != bits {
                return Err(PackError::Malformed("a size has too many digits"));
            }
            size |= bits << shift;
            shift += 7;
        }
        let kind = match (first >> 4) & 7 {
            1 => Kind::Commit,
            2..=4 => Kind::Other,
            6 => Kind::OffsetDelta(self.base_offset(start)?),
            7 => Kind::RefDelta(self.base_name(format)?),
            _ => return Err(PackError::Malformed("an entry of no known type")),
        };
        Ok(Entry { kind, size })
    }

    /// The distance to the base, in the form in which each length has one writing only.
    fn base_offset(&mut self, start: u64) -> Result<u64, PackError> {
        let outside = PackError::Malformed("a delta against what is before the pack");
        let [mut byte] = self.take()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            [byte] = self.take()?;
            if distance > start {
                return Err(outside);
            }
            distance = ((distance + 1) << 7) | u64::from(byte & 0x7f);
        }
        start.checked_sub(distance).filter(|_| distance > 0).ok_or(outside)
    }

    fn base_name(&mut self, format: ObjectFormat) -> Result<Oid, PackError> {
        let mut name = [0; 32];
        let name = &mut name[..format.width()];
        self.fill(name)?;
        Oid::from_bytes(name).ok_or(PackError::Malformed("a delta against no object"))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), PackError> {
        self.reader.read_exact(bytes).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof { CUT } else { error.into() }
        })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

const CUT: PackError = PackError::Malformed("it is cut short");

/// Inflates zlib streams, one after the other.
pub(super) struct Inflater {
    zlib: Decompress,
    out: Box<[u8]>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { zlib: Decompress::new(true), out: vec![0; 32 * 1024].into() }
    }

    /// Inflates an entry and holds it.
    pub(super) fn hold<R: Read>(
        &mut self,
        input: &mut Input<R>,
        size: u64,
        budget: &Budget,
    ) -> Result<Vec<u8>, PackError> {
        if size > HELD {
            return Err(PackError::TooLarge("a commit's size"));
        }
        // The size is the sender's word: memory is taken as it comes.
        let mut held = Vec::new();
        self.inflate(input, size, budget, |part| held.extend_from_slice(part))?;
        Ok(held)
    }

    /// Inflates an entry to find its end.
    pub(super) fn skip<R: Read>(
        &mut self,
        input: &mut Input<R>,
        size: u64,
        budget: &Budget,
    ) -> Result<(), PackError> {
        self.inflate(input, size, budget, |_| {})
    }

    fn inflate<R: Read>(
        &mut self,
        input: &mut Input<R>,
        size: u64,
        budget: &Budget,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), PackError> {
        self.zlib.reset(true);
        loop {
            budget.check()?;
            let (read, made) = (self.zlib.total_in(), self.zlib.total_out());
            let available = input.reader.fill_buf()?;
            let ended = available.is_empty();
            let status = self.zlib.decompress(available, &mut self.out, FlushDecompress::None);
            let status = status.map_err(PackError::Inflate)?;
            let (read, made) = (self.zlib.total_in() - read, self.zlib.total_out() - made);
            input.reader.consume(read as usize);
            input.offset += read;
            if self.zlib.total_out() > size {
                return Err(PackError::Malformed("an object is larger than it says"));
            }
            sink(&self.out[..made as usize]);
            match status {
                Status::StreamEnd if self.zlib.total_out() == size => return Ok(()),
                Status::StreamEnd => return Err(PackError::Malformed("an object is smaller than it says")),
                Status::Ok | Status::BufError if read == 0 && made == 0 => {
                    return Err(if ended { CUT } else { PackError::Malformed("an object has no end") });
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }
}
