//! Length-prefixed frames: gRPC messages, Kubernetes watch events in protobuf, terminal recordings. Each frame
//! is given whole to a callback, which may change it; its length is written anew.

use crate::sink::{Input, Piece, Sink};

/// How a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes before the length, kept as they are (one flag byte in gRPC).
    pub before: usize,
    /// Bytes of the length, big-endian, 1 to 8; it counts what follows it.
    pub width: usize,
    /// The largest frame in bytes, and so what is held in memory.
    pub max: usize,
}

/// Frames cannot be masked; nothing more may be shown of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError<E> {
    /// A frame is larger than [`FrameHeader::max`]; the sender is at fault.
    #[error("a frame of {0} bytes is larger than allowed")]
    TooLarge(u64),
    /// What the callback made of a frame does not fit its length field.
    #[error("a masked frame of {0} bytes does not fit its length field")]
    Outgrown(usize),
    /// The stream ended within a frame; the sender is at fault.
    #[error("the stream ended within a frame")]
    Incomplete,
    /// The callback refused a frame.
    #[error("a frame was refused")]
    Refused(#[source] E),
}

/// Rewrites a stream of frames by a callback from a frame's header bytes and content to its new content.
#[derive(Debug)]
pub struct FrameMasker<F> {
    header: FrameHeader,
    rewrite: F,
    frame: Vec<u8>,
}

impl<F> FrameMasker<F> {
    /// A masker for frames of this kind. A width outside of 1 to 8 counts as the nearest within.
    pub fn new(header: FrameHeader, rewrite: F) -> Self {
        let header = FrameHeader { width: header.width.clamp(1, 8), ..header };
        Self { header, rewrite, frame: Vec::new() }
    }

    /// Takes the next bytes and writes whole frames.
    ///
    /// # Errors
    /// [`FrameError`]; the stream must not be continued.
    pub fn push<'a, E>(
        &mut self,
        input: impl Into<Input<'a>>,
        out: &mut impl Sink,
    ) -> Result<(), FrameError<E>>
    where
        F: FnMut(&[u8], &[u8]) -> Result<Vec<u8>, E>,
    {
        let input: Input<'a> = input.into();
        let mut rest = input.as_slice();
        while !rest.is_empty() {
            let missing = self.length()? - self.frame.len();
            let (part, after) = rest.split_at(missing.min(rest.len()));
            self.frame.extend_from_slice(part);
            rest = after;
            if self.frame.len() >= self.start() && self.frame.len() == self.length()? {
                self.write(out)?;
            }
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`FrameError::Incomplete`] if it ended within a frame.
    pub fn finish<E>(&mut self) -> Result<(), FrameError<E>> {
        if self.frame.is_empty() { Ok(()) } else { Err(FrameError::Incomplete) }
    }

    fn start(&self) -> usize {
        self.header.before + self.header.width
    }

    /// How long the frame is, with its header; only the header as long as that is not whole.
    fn length<E>(&self) -> Result<usize, FrameError<E>> {
        let Some(header) = self.frame.get(..self.start()) else { return Ok(self.start()) };
        let length =
            header[self.header.before..].iter().fold(0, |length, &byte| length << 8 | u64::from(byte));
        if length > self.header.max as u64 {
            return Err(FrameError::TooLarge(length));
        }
        Ok(self.start() + length as usize)
    }

    fn write<E>(&mut self, out: &mut impl Sink) -> Result<(), FrameError<E>>
    where
        F: FnMut(&[u8], &[u8]) -> Result<Vec<u8>, E>,
    {
        let (header, content) = self.frame.split_at(self.header.before + self.header.width);
        let masked = (self.rewrite)(header, content).map_err(FrameError::Refused)?;
        let length = (masked.len() as u64).to_be_bytes();
        let (high, low) = length.split_at(8 - self.header.width);
        if high.iter().any(|&byte| byte != 0) {
            return Err(FrameError::Outgrown(masked.len()));
        }
        let mut frame = header[..self.header.before].to_vec();
        frame.extend_from_slice(low);
        frame.extend_from_slice(&masked);
        out.put(Piece::Slice(&frame));
        self.frame.clear();
        self.frame.shrink_to(64 << 10);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const GRPC: FrameHeader = FrameHeader { before: 1, width: 4, max: 1000 };

    #[test]
    fn frames_are_rewritten_under_every_cut() {
        let stream = [&b"\x01\0\0\0\x03abc"[..], b"\0\0\0\0\0", b"\0\0\0\0\x01z"].concat();
        for size in 1..stream.len() + 1 {
            let mut out = Vec::<u8>::new();
            let mut masker =
                FrameMasker::new(GRPC, |_: &[u8], content: &[u8]| Ok::<_, Infallible>(content.repeat(2)));
            for piece in stream.chunks(size) {
                masker.push(piece, &mut out).unwrap();
            }
            masker.finish::<Infallible>().unwrap();
            assert_eq!(
                out,
                [&b"\x01\0\0\0\x06abcabc"[..], b"\0\0\0\0\0", b"\0\0\0\0\x02zz"].concat(),
                "by {size}"
            );
        }
    }

    #[test]
    fn what_is_too_large_or_cut_off_is_refused() {
        let mut out = Vec::<u8>::new();
        let mut masker =
            FrameMasker::new(GRPC, |_: &[u8], content: &[u8]| Ok::<_, Infallible>(content.to_vec()));
        assert_eq!(masker.push(b"\0\0\0\x04\0x", &mut out), Err(FrameError::TooLarge(1024)));
        let narrow = FrameHeader { before: 0, width: 1, max: 255 };
        let mut masker = FrameMasker::new(narrow, |_: &[u8], _: &[u8]| Ok::<_, Infallible>(vec![0; 256]));
        assert_eq!(masker.push(b"\x01x", &mut out), Err(FrameError::Outgrown(256)));
        let mut masker = FrameMasker::new(narrow, |_: &[u8], _: &[u8]| Err(()));
        assert_eq!(masker.push(b"\x01", &mut out), Ok(()));
        assert_eq!(masker.finish::<()>(), Err(FrameError::Incomplete));
        assert_eq!(masker.push(b"x", &mut out), Err(FrameError::Refused(())));
        assert!(out.is_empty());
    }
}
