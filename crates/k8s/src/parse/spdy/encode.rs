//! Writes SPDY frames: for tests, in which it is the peer.

use flate2::{Compress, Compression, FlushCompress};

use super::{headers::DICTIONARY, write_data_header};

/// Writes one direction.
pub(crate) struct Encoder {
    zlib: Compress,
}

impl Encoder {
    pub(crate) fn new(level: Compression) -> Self {
        let mut zlib = Compress::new(level, true);
        assert_eq!(zlib.set_dictionary(&DICTIONARY).unwrap(), 0xe3c6_a7c2);
        Self { zlib }
    }

    pub(crate) fn syn_stream(&mut self, stream: u32, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
        let body = [&stream.to_be_bytes()[..], &[0; 6], &self.compressed(&block(headers))].concat();
        control(1, flags, &body)
    }

    pub(crate) fn syn_reply(&mut self, stream: u32, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
        control(2, flags, &[&stream.to_be_bytes()[..], &self.compressed(&block(headers))].concat())
    }

    pub(crate) fn headers(&mut self, stream: u32, flags: u8, headers: &[(&str, &str)]) -> Vec<u8> {
        control(8, flags, &[&stream.to_be_bytes()[..], &self.compressed(&block(headers))].concat())
    }

    /// What is compressed up to a flush, whatever it is.
    pub(crate) fn compressed(&mut self, block: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(block.len() + 1024);
        self.zlib.compress_vec(block, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.len() < out.capacity());
        out
    }
}

pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = (headers.len() as u32).to_be_bytes().to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        block.extend_from_slice(&(text.len() as u32).to_be_bytes());
        block.extend_from_slice(text.as_bytes());
    }
    block
}

pub(crate) fn control(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let length = (u32::from(flags) << 24 | body.len() as u32).to_be_bytes();
    [&[0x80, 3, 0, kind][..], &length, body].concat()
}

/// A control frame whose body is numbers.
pub(crate) fn numbers(kind: u8, body: &[u32]) -> Vec<u8> {
    control(kind, 0, &body.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>())
}

pub(crate) fn data(stream: u32, fin: bool, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_data_header(&mut frame, stream, fin, bytes.len());
    frame.extend_from_slice(bytes);
    frame
}
