//! Puts a bundle together in memory: records into chunks, chunks into the chain, the footer at the end.
//!
//! Does no I/O: what is ready to be written stands in [`Builder::ready`] until the writer says that it is durable.

use std::mem;

use prost::Message;

use super::{
    buffer::Buffer,
    chain::Link,
    frame::{self, CHUNK_MAX, FrameKind},
    index::Index,
    pack::Packer,
    preamble, trailer,
};
use crate::generated::v1::{BundleHeader, Record, Sealed, record::Event};

/// A chunk with less room than this is finished rather than filled up with a piece of a body.
const LEAST_PIECE: usize = 16 << 10;
/// What a record needs besides its octets: ids, sequence, time, tags and lengths.
const RECORD_OVERHEAD: usize = 512;
/// The most octets that go into one record.
pub(crate) const PIECE_MAX: usize = CHUNK_MAX - RECORD_OVERHEAD;
/// The most that a whole record may take, its length prefix included.
pub(crate) const RECORD_MAX: usize = CHUNK_MAX;

/// A bundle in the making.
pub(crate) struct Builder {
    link: Link,
    raw: Vec<u8>,
    ready: Buffer,
    /// The length of the bundle so far, `ready` included, `raw` not.
    length: u64,
    index: Index,
    packer: Packer,
    hurried: bool,
}

/// What bundles are put together with, one after the other: fresh memory for each costs more than what is done in it.
#[derive(Default)]
pub(crate) struct Tools {
    raw: Vec<u8>,
    ready: Buffer,
    packer: Packer,
}

impl Tools {
    /// Takes the buffer for frames.
    pub(crate) fn take_ready(&mut self) -> Buffer {
        mem::take(&mut self.ready)
    }

    /// Gives back the one that was taken.
    pub(crate) fn give_ready(&mut self, ready: Buffer) {
        self.ready = ready;
    }
}

impl Builder {
    /// A bundle that begins with this header.
    pub(crate) fn new(header: &BundleHeader, Tools { mut raw, mut ready, mut packer }: Tools) -> Self {
        let payload = header.encode_to_vec();
        let preamble = preamble();
        let link = Link::of_header(&preamble, &payload);
        raw.clear();
        ready.begin(0);
        ready.end().extend_from_slice(&preamble);
        frame::write(ready.end(), &mut packer, false, FrameKind::Header, 0, link, &payload);
        let length = ready.octets().len() as u64;
        Self { link, raw, ready, length, index: Index::default(), packer, hurried: false }
    }

    /// A bundle of which `length` bytes are written already.
    pub(crate) fn resume(link: Link, length: u64, index: Index) -> Self {
        let Tools { raw, mut ready, packer } = Tools::default();
        ready.begin(length);
        Self { link, raw, ready, length, index, packer, hurried: false }
    }

    /// Whether to compress for speed rather than for size.
    pub(crate) fn hurry(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    /// How many octets of a body of `wanted` octets the next record may take. Finishes the chunk when it is full.
    pub(crate) fn piece(&mut self, wanted: usize) -> usize {
        let room = CHUNK_MAX.saturating_sub(self.raw.len() + RECORD_OVERHEAD);
        if room >= wanted || room >= LEAST_PIECE {
            return wanted.min(room);
        }
        self.finish_chunk();
        wanted.min(PIECE_MAX)
    }

    /// Adds a record, to a new chunk when it does not fit in this one. It must not be longer than [`RECORD_MAX`].
    pub(crate) fn push(&mut self, record: &Record) {
        let length = record.encoded_len();
        let framed = length + prost::length_delimiter_len(length);
        debug_assert!(framed <= RECORD_MAX, "records are bounded before they come here");
        if self.raw.len() + framed > CHUNK_MAX {
            self.finish_chunk();
        }
        self.index.record(record);
        record.encode_length_delimited(&mut self.raw).expect("a Vec takes everything");
    }

    /// Makes a chunk of what was pushed since the last one.
    pub(crate) fn finish_chunk(&mut self) {
        if self.raw.is_empty() {
            return;
        }
        let sequence = self.index.chunks();
        self.link = self.link.of_chunk(sequence, &self.raw);
        self.index.chunk(self.length, self.raw.len());
        self.frame(FrameKind::Chunk, sequence);
        self.raw.clear();
    }

    /// Ends the bundle: seal, footer, trailer. Gives its root.
    pub(crate) fn seal(&mut self, sealed: Sealed) -> Link {
        let recovered = sealed.recovered;
        self.push(&Record { event: Some(Event::Sealed(sealed)), ..Record::default() });
        self.finish_chunk();
        self.finish(recovered)
    }

    /// Writes footer and trailer behind a seal that is there already. Gives the root.
    pub(crate) fn finish(&mut self, recovered: bool) -> Link {
        let offset = self.length;
        let raw = mem::replace(&mut self.raw, self.index.footer(recovered).encode_to_vec());
        let length = self.frame(FrameKind::Footer, self.index.chunks());
        self.raw = raw;
        let length = u32::try_from(length).expect("a footer is bounded far below 4 GiB");
        self.ready.end().extend_from_slice(&trailer(offset, length));
        self.length += super::TRAILER_LEN as u64;
        self.link
    }

    /// Bytes of whole frames that are to be written.
    pub(crate) fn ready(&self) -> &[u8] {
        self.ready.octets()
    }

    /// Forgets the bytes that are written now.
    pub(crate) fn written(&mut self) {
        self.ready.begin(self.length);
    }

    /// Takes the bytes that are to be written, for another buffer.
    pub(crate) fn take_ready(&mut self, mut empty: Buffer) -> Buffer {
        empty.begin(self.length);
        mem::replace(&mut self.ready, empty)
    }

    /// The same up to the last page of the file that they fill.
    pub(crate) fn take_pages(&mut self, empty: Buffer) -> Buffer {
        self.ready.take_pages(self.length, empty)
    }

    /// What the next bundle is put together with.
    pub(crate) fn into_tools(self) -> Tools {
        Tools { raw: self.raw, ready: self.ready, packer: self.packer }
    }

    /// The length of the bundle if its chunk were finished, at most.
    pub(crate) fn length(&self) -> u64 {
        self.length + self.raw.len() as u64
    }

    /// What the bundle holds so far.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    fn frame(&mut self, kind: FrameKind, sequence: u64) -> usize {
        let Self { ready, packer, hurried, link, raw, .. } = self;
        let length = frame::write(ready.end(), packer, *hurried, kind, sequence, *link, raw);
        self.length += length as u64;
        length
    }
}
