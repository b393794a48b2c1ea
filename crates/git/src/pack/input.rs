//! Entries of a pack, read from any place of it, and their zlib streams.

use std::io::{BufRead, BufReader, Read};

use super::{
    Budget, PackError,
    entry::{self, Entry, HEAD},
    inflate::{Inflate, Progress},
};
use crate::oid::ObjectFormat;

/// Bytes of the longest head of an entry, with some to spare.
const ENTRY: usize = 64;

pub(super) const CUT: PackError = PackError::Malformed("it is cut short");

/// Reads a pack from somewhere on.
pub(super) struct Input<R> {
    reader: R,
    offset: u64,
}

impl<R: Read> Input<BufReader<R>> {
    /// `offset` is where the reader stands in the pack.
    pub(super) fn new(reader: R, offset: u64, buffer: usize) -> Self {
        Self::over(BufReader::with_capacity(buffer, reader), offset)
    }
}

impl<R: BufRead> Input<R> {
    /// `offset` is where the reader stands in the pack.
    pub(super) fn over(reader: R, offset: u64) -> Self {
        Self { reader, offset }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of entries that the pack says it holds.
    pub(super) fn header(&mut self) -> Result<u32, PackError> {
        entry::count(self.take::<HEAD>()?)
    }

    pub(super) fn entry(&mut self, format: ObjectFormat) -> Result<Entry, PackError> {
        let (start, mut head, mut read) = (self.offset, [0; ENTRY], 0);
        while read < head.len() {
            [head[read]] = self.take()?;
            read += 1;
            if let Some((entry, _)) = Entry::parse(&head[..read], start, format)? {
                return Ok(entry);
            }
        }
        Err(PackError::Malformed("the head of an entry has no end"))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof { CUT } else { error.into() }
        })?;
        self.offset += N as u64;
        Ok(bytes)
    }
}

/// Inflates entries, one after the other.
pub(super) struct Inflater(Inflate);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Inflate::new())
    }

    /// Begins another stream.
    pub(super) fn begin(&mut self) {
        self.0.begin();
    }

    /// Goes on with a stream of `size` inflated bytes.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        size: u64,
        budget: &Budget,
    ) -> Result<Progress<'_>, PackError> {
        let before = self.0.total();
        let step = self.0.step(input)?;
        let total = before + step.made.len() as u64;
        budget.spend(step.made.len() as u64)?;
        if total > size {
            return Err(PackError::Malformed("an object is larger than it says"));
        }
        if step.ended && total != size {
            return Err(PackError::Malformed("an object is smaller than it says"));
        }
        Ok(step)
    }

    /// Inflates an entry and holds it, if it is not larger than `max`.
    pub(super) fn hold<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
        size: u64,
        max: u64,
        budget: &Budget,
    ) -> Result<Vec<u8>, PackError> {
        if size > max {
            return Err(PackError::TooLarge("the size of an object that must be held"));
        }
        // The size is the sender's word: memory is taken as it comes.
        let mut held = Vec::new();
        self.inflate(input, size, budget, |part| held.extend_from_slice(part))?;
        Ok(held)
    }

    /// Inflates an entry to find its end.
    pub(super) fn skip<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
        size: u64,
        budget: &Budget,
    ) -> Result<(), PackError> {
        self.inflate(input, size, budget, |_| {})
    }

    fn inflate<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
        size: u64,
        budget: &Budget,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(), PackError> {
        self.begin();
        loop {
            let available = input.reader.fill_buf()?;
            let at_end = available.is_empty();
            let step = self.step(available, size, budget)?;
            sink(step.made);
            let (read, ended, stuck) = (step.read, step.ended, step.made.is_empty());
            input.reader.consume(read);
            input.offset += read as u64;
            match (ended, at_end && stuck) {
                (true, _) => return Ok(()),
                (false, true) => return Err(CUT),
                // However little it makes.
                (false, false) => budget.check()?,
            }
        }
    }
}
