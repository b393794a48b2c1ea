//! Takes a bundle apart as its bytes come, in memory bounded by one frame, and stops at the first that is wrong.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    PREAMBLE_LEN, TRAILER_LEN, VERSION,
    chain::Link,
    fault::{Fault, FaultKind},
    frame::{FrameHead, FrameKind, HEAD_LEN},
    preamble, trailer,
};

/// What comes out of a [`Scanner`].
#[derive(Debug)]
pub(crate) enum Scanned {
    /// More bytes are needed.
    More,
    /// The header: comes first.
    Header(Bytes),
    /// A chunk, its place in the chain checked.
    Chunk { offset: u64, payload: Bytes },
    /// The footer.
    Footer { offset: u64, payload: Bytes },
    /// The trailer; nothing may follow.
    End,
}

/// A parser for the frames of a bundle. Feed it bytes, take out frames until it wants more.
pub(crate) struct Scanner {
    buffer: BytesMut,
    /// The offset in the bundle of the first byte in `buffer`.
    offset: u64,
    chunks: u64,
    state: State,
    link: Link,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Header,
    Chunks,
    Trailer { footer_offset: u64, footer_len: u32 },
    End,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self { buffer: BytesMut::new(), offset: 0, chunks: 0, state: State::Start, link: Link([0; 32]) }
    }

    /// Adds bytes. Feed pieces of about a chunk at most, and take out what is whole in between.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, checked.
    pub(crate) fn next(&mut self) -> Result<Scanned, Fault> {
        loop {
            match self.state {
                State::Start => {
                    let Some(start) = self.buffer.get(..PREAMBLE_LEN) else { return self.short_start() };
                    check_preamble(start).map_err(|kind| self.fault(kind))?;
                    self.skip(PREAMBLE_LEN);
                    self.state = State::Header;
                }
                State::Header | State::Chunks => return self.frame(),
                State::Trailer { footer_offset, footer_len } => {
                    let Some(end) = self.buffer.get(..TRAILER_LEN) else { return Ok(Scanned::More) };
                    if end != trailer(footer_offset, footer_len) {
                        return Err(self.fault(FaultKind::Trailer));
                    }
                    self.skip(TRAILER_LEN);
                    self.state = State::End;
                    return Ok(Scanned::End);
                }
                State::End if self.buffer.is_empty() => return Ok(Scanned::More),
                State::End => return Err(self.fault(FaultKind::TrailingBytes)),
            }
        }
    }

    /// To be asked when there are no more bytes: whether the bundle was whole.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.state == State::End && self.buffer.is_empty() {
            return Ok(());
        }
        Err(self.fault(FaultKind::Truncated))
    }

    /// Where the frame ends that came out last.
    pub(crate) fn position(&self) -> u64 {
        self.offset
    }

    /// The link of the last chunk, or of the header.
    pub(crate) fn link(&self) -> Link {
        self.link
    }

    fn frame(&mut self) -> Result<Scanned, Fault> {
        let Some(head) = self.buffer.first_chunk::<HEAD_LEN>() else { return Ok(Scanned::More) };
        let head = FrameHead::parse(head).map_err(|kind| self.fault(kind))?;
        let expected_header = self.state == State::Header;
        if (head.kind == FrameKind::Header) != expected_header {
            return Err(self.fault(FaultKind::NoFrame));
        }
        let chunk = (head.kind == FrameKind::Chunk).then_some(self.chunks);
        if self.buffer.len() < head.frame_len() {
            self.buffer.reserve(head.frame_len() - self.buffer.len());
            return Ok(Scanned::More);
        }
        let frame = self.buffer.split_to(head.frame_len()).freeze();
        let checked = head.payload(&frame).and_then(|payload| {
            self.check_link(&head, &payload)?;
            Ok(payload)
        });
        let payload = checked.map_err(|kind| Fault { offset: self.offset, chunk, kind })?;
        Ok(self.accept(&head, payload))
    }

    fn check_link(&self, head: &FrameHead, payload: &Bytes) -> Result<(), FaultKind> {
        if head.sequence != self.chunks {
            return Err(FaultKind::Sequence { expected: self.chunks, found: head.sequence });
        }
        let link = match head.kind {
            FrameKind::Header => Link::of_header(&preamble(), payload),
            FrameKind::Chunk => self.link.of_chunk(head.sequence, payload),
            FrameKind::Footer => self.link,
        };
        if link == head.link { Ok(()) } else { Err(FaultKind::Chain) }
    }

    fn accept(&mut self, head: &FrameHead, payload: Bytes) -> Scanned {
        let offset = self.offset;
        self.offset += head.frame_len() as u64;
        self.link = head.link;
        match head.kind {
            FrameKind::Header => {
                self.state = State::Chunks;
                Scanned::Header(payload)
            }
            FrameKind::Chunk => {
                self.chunks += 1;
                Scanned::Chunk { offset, payload }
            }
            FrameKind::Footer => {
                let footer_len = u32::try_from(head.frame_len()).unwrap_or(u32::MAX);
                self.state = State::Trailer { footer_offset: offset, footer_len };
                Scanned::Footer { offset, payload }
            }
        }
    }

    /// Fewer bytes than a preamble: says early when they cannot become one.
    fn short_start(&self) -> Result<Scanned, Fault> {
        if preamble().starts_with(&self.buffer) {
            Ok(Scanned::More)
        } else {
            Err(self.fault(FaultKind::NotABundle))
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.offset += bytes as u64;
    }

    fn fault(&self, kind: FaultKind) -> Fault {
        let chunk = (self.state == State::Chunks).then_some(self.chunks);
        Fault { offset: self.offset, chunk, kind }
    }
}

fn check_preamble(bytes: &[u8]) -> Result<(), FaultKind> {
    let (magic, version) = bytes.split_at(super::MAGIC.len());
    if magic != super::MAGIC {
        return Err(FaultKind::NotABundle);
    }
    let version = u32::from_le_bytes(version.try_into().map_err(|_| FaultKind::NotABundle)?);
    if version == VERSION { Ok(()) } else { Err(FaultKind::UnknownVersion(version)) }
}
