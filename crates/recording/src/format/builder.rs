//! Puts a bundle together in memory: records into chunks, chunks into the chain, the footer at the end.
//!
//! Does no I/O: what is ready to be written stands in [`Builder::ready`] until the writer says that it is durable. The chunk
//! that is being put together stands behind it already, where it will be written from.

use std::mem;

use prost::Message;

use super::{
    buffer::{Buffer, PAGE},
    chain::Link,
    frame::{self, CHUNK_MAX, FrameKind, HEAD_LEN},
    index::Index,
    pack::Packer,
    preamble, trailer,
};
use crate::{
    generated::v1::{BundleHeader, Record, Sealed, record::Event},
    sha256::Sha256,
};

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
    /// Whole frames, and then the one that is being filled.
    buffer: Buffer,
    /// The length of the latter in `buffer`: none before its first record.
    open: usize,
    /// What makes the link of the open chunk, and how much of it was taken in.
    next: (Sha256, usize),
    /// The length of the bundle so far, whole frames included, the open one not.
    length: u64,
    index: Index,
    packer: Packer,
    hurried: bool,
}

/// What bundles are put together with, one after the other: fresh memory for each costs more than what is done in it.
#[derive(Default)]
pub(crate) struct Tools {
    /// One for frames, and another while those are written.
    buffers: Vec<Buffer>,
    packer: Packer,
}

impl Tools {
    /// Takes a buffer for frames.
    pub(crate) fn take_buffer(&mut self) -> Buffer {
        self.buffers.pop().unwrap_or_default()
    }

    /// Gives back one that was taken.
    pub(crate) fn give_buffer(&mut self, buffer: Buffer) {
        self.buffers.push(buffer);
    }
}

impl Builder {
    /// A bundle that begins with this header.
    pub(crate) fn new(header: &BundleHeader, tools: &mut Tools) -> Self {
        let (mut buffer, mut packer) = (tools.take_buffer(), mem::take(&mut tools.packer));
        let payload = header.encode_to_vec();
        let preamble = preamble();
        let link = Link::of_header(&preamble, &payload);
        buffer.begin(0);
        buffer.end().extend_from_slice(&preamble);
        frame::write(buffer.end(), &mut packer, false, FrameKind::Header, 0, link, &payload);
        let length = buffer.octets().len() as u64;
        let index = Index::default();
        Self { link, buffer, open: 0, next: Default::default(), length, index, packer, hurried: false }
    }

    /// A bundle of which `length` bytes are written already.
    pub(crate) fn resume(link: Link, length: u64, index: Index) -> Self {
        let mut buffer = Buffer::default();
        buffer.begin(length);
        Self {
            link,
            buffer,
            open: 0,
            next: Default::default(),
            length,
            index,
            packer: Packer::default(),
            hurried: false,
        }
    }

    /// Whether to compress for speed rather than for size.
    pub(crate) fn hurry(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    /// How many octets of a body of `wanted` octets the next record may take. Finishes the chunk when it is full.
    pub(crate) fn piece(&mut self, wanted: usize) -> usize {
        let room = CHUNK_MAX.saturating_sub(self.raw().len() + RECORD_OVERHEAD);
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
        if self.raw().len() + framed > CHUNK_MAX {
            self.finish_chunk();
        }
        self.index.record(record);
        let buffer = self.buffer.end();
        if self.open == 0 {
            frame::begin(buffer);
            self.open = HEAD_LEN;
            self.next = (self.link.next(self.index.chunks()), 0);
        }
        record.encode_length_delimited(buffer).expect("a Vec takes everything");
        self.open += framed;
    }

    /// Has a digest take in these octets, and beside it the link of the open chunk as many of what was pushed.
    pub(crate) fn digest_beside(&mut self, sha256: &mut Sha256, octets: &[u8]) {
        let Self { buffer, open, next: (next, taken), .. } = self;
        let pushed = &raw(buffer, *open)[*taken..];
        let pushed = &pushed[..pushed.len().min(octets.len())];
        sha256.update_beside(octets, next, pushed);
        *taken += pushed.len();
    }

    /// Makes a chunk of what was pushed since the last one.
    pub(crate) fn finish_chunk(&mut self) {
        if self.open == 0 {
            return;
        }
        let (mut next, taken) = mem::take(&mut self.next);
        let (sequence, raw) = (self.index.chunks(), self.raw());
        next.update(&raw[taken..]);
        let (link, length) = (Link(next.finish()), raw.len());
        self.link = link;
        self.index.chunk(self.length, length);
        let Self { buffer, packer, hurried, open, .. } = self;
        let buffer = buffer.end();
        let start = buffer.len() - mem::take(open);
        let length = frame::finish(buffer, start, packer, *hurried, FrameKind::Chunk, sequence, link);
        self.length += length as u64;
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
        debug_assert!(self.open == 0, "the seal ended the last chunk");
        let footer = self.index.footer(recovered).encode_to_vec();
        let Self { link, buffer, packer, hurried, .. } = self;
        let (offset, chunks) = (self.length, self.index.chunks());
        let length = frame::write(buffer.end(), packer, *hurried, FrameKind::Footer, chunks, *link, &footer);
        let footer_len = u32::try_from(length).expect("a footer is bounded far below 4 GiB");
        buffer.end().extend_from_slice(&trailer(offset, footer_len));
        self.length += (length + super::TRAILER_LEN) as u64;
        self.link
    }

    /// Bytes of whole frames that are to be written.
    pub(crate) fn ready(&self) -> &[u8] {
        let octets = self.buffer.octets();
        &octets[..octets.len() - self.open]
    }

    /// Forgets the bytes that are written now, with which the last chunk was finished.
    pub(crate) fn written(&mut self) {
        debug_assert!(self.open == 0, "a record would be lost");
        self.buffer.begin(self.length);
    }

    /// Takes the bytes that are to be written, for another buffer.
    pub(crate) fn take_ready(&mut self, empty: Buffer) -> Buffer {
        self.take(0, empty)
    }

    /// The same up to the last page of the file that they fill.
    pub(crate) fn take_pages(&mut self, empty: Buffer) -> Buffer {
        let begun = (self.length % PAGE as u64) as usize;
        self.take(begun.min(self.ready().len()), empty)
    }

    /// Gives back what the next bundle is put together with.
    pub(crate) fn return_to(self, tools: &mut Tools) {
        tools.give_buffer(self.buffer);
        tools.packer = self.packer;
    }

    /// About the length of the bundle if its chunk were finished, without what a chunk begins with.
    pub(crate) fn length(&self) -> u64 {
        self.length + self.raw().len() as u64
    }

    /// What the bundle holds so far.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// What was pushed since the last chunk.
    fn raw(&self) -> &[u8] {
        raw(&self.buffer, self.open)
    }

    /// Takes whole frames, but these last octets of them.
    fn take(&mut self, left: usize, empty: Buffer) -> Buffer {
        self.buffer.take(left + self.open, self.length - left as u64, empty)
    }
}

/// What stands behind the head of the frame that is being filled, if there is one.
fn raw(buffer: &Buffer, open: usize) -> &[u8] {
    let octets = buffer.octets();
    octets.get(octets.len() - open + HEAD_LEN..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::generated::v1::Data;

    /// What is done with a bundle in the making.
    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Digest(usize),
        Finish,
        TakePages,
        TakeReady,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..300_000usize).prop_map(Step::Push),
            (0..300_000usize).prop_map(Step::Digest),
            Just(Step::Finish),
            Just(Step::TakePages),
            Just(Step::TakeReady),
        ]
    }

    /// The bundle that comes of it, and the digest.
    fn bundle(steps: &[Step], is_beside: bool) -> (Vec<u8>, [u8; 32]) {
        let header = BundleHeader { number: 1, ..BundleHeader::default() };
        let mut builder = Builder::new(&header, &mut Tools::default());
        let (mut written, mut sha256) = (Vec::new(), Sha256::default());
        for (count, step) in (0..).zip(steps) {
            let octets = |length: usize| (0..length).map(|at| (at % 251) as u8 ^ count).collect::<Vec<_>>();
            match step {
                Step::Push(length) => builder.push(&Record {
                    event: Some(Event::RequestData(Data { data: Bytes::from(octets(*length)) })),
                    ..Record::default()
                }),
                Step::Digest(length) if is_beside => builder.digest_beside(&mut sha256, &octets(*length)),
                Step::Digest(length) => sha256.update(&octets(*length)),
                Step::Finish => builder.finish_chunk(),
                Step::TakePages => written.extend(builder.take_pages(Buffer::default()).octets()),
                Step::TakeReady => written.extend(builder.take_ready(Buffer::default()).octets()),
            }
        }
        builder.seal(Sealed::default());
        written.extend(builder.ready());
        (written, sha256.finish())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_digested_beside_changes_nothing(steps in vec(step(), 0..24)) {
            prop_assert!(bundle(&steps, true) == bundle(&steps, false));
        }
    }
}
