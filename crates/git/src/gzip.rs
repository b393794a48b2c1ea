//! Decodes gzip bodies as they stream.
//!
//! What is decoded here is what is inspected and what goes upstream: a body of several members, or one
//! with something behind its end, can't be read in two ways. Memory stays small whatever it expands to.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::body::{Body, BodyError};

/// How much is decoded at once; deflate expands it by 1032 at most.
const STEP: usize = 256;
/// How much is handed on at once, or a bit more.
const CHUNK: usize = 32 * 1024;

/// The decoded body. It breaks off as the client's fault where it is not gzip, is cut short, or
/// decodes to more than `max` bytes.
pub(crate) fn decode(body: Body, max: u64) -> Body {
    let state =
        Decoder { body, input: Bytes::new(), gzip: MultiGzDecoder::new(Vec::new()), left: max, ended: false };
    let frames = stream::try_unfold(state, async |mut state| {
        let data = state.next().await?;
        Ok::<_, BodyError>(data.map(|data| (Frame::data(data), state)))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Decoder {
    body: Body,
    input: Bytes,
    gzip: MultiGzDecoder<Vec<u8>>,
    left: u64,
    ended: bool,
}

impl Decoder {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        while !self.ended && self.gzip.get_ref().len() < CHUNK {
            self.step().await?;
        }
        let data = std::mem::take(self.gzip.get_mut());
        self.left = self
            .left
            .checked_sub(data.len() as u64)
            .ok_or_else(|| fault(io::Error::other("the gzip body decodes to more than is taken")))?;
        Ok((!data.is_empty()).then(|| data.into()))
    }

    async fn step(&mut self) -> Result<(), BodyError> {
        if !self.input.is_empty() {
            let part = self.input.split_to(self.input.len().min(STEP));
            return self.gzip.write_all(&part).map_err(fault);
        }
        match self.body.frame().await {
            Some(frame) => self.input = frame?.into_data().unwrap_or_default(),
            None => {
                self.gzip.try_finish().map_err(fault)?;
                self.ended = true;
            }
        }
        Ok(())
    }
}

fn fault(error: io::Error) -> BodyError {
    BodyError::Client(error.into())
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::pieces;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes a body that comes in pieces; also says how large the largest frame was.
    fn decoded(body: &[u8], cuts: &[usize], max: u64) -> Result<(Vec<u8>, usize), BodyError> {
        let (mut body, mut all, mut largest) = (decode(pieces(body, cuts), max), Vec::new(), 0);
        crate::testing::block_on(async {
            while let Some(frame) = body.frame().await {
                let data = frame?.into_data().unwrap();
                largest = largest.max(data.len());
                all.extend_from_slice(&data);
            }
            Ok((all, largest))
        })
    }

    fn check(body: &[u8], expected: Option<&[u8]>) {
        for cuts in [&[1][..], &[7, 3], &[100_000]] {
            let decoded = decoded(body, cuts, 1 << 20).ok().map(|(data, _)| data);
            assert_eq!(decoded.as_deref(), expected, "in pieces of {cuts:?}");
        }
    }

    #[test]
    fn decodes_one_member_and_several() {
        check(&gzip(b"hello"), Some(b"hello"));
        check(&gzip(b""), Some(b""));
        check(&[gzip(b"hello "), gzip(b""), gzip(b"world")].concat(), Some(b"hello world"));
    }

    #[test]
    fn refuses_what_is_not_gzip_to_its_end() {
        let whole = gzip(b"hello, hello, hello");
        check(b"", None);
        check(b"hello", None);
        for end in 1..whole.len() {
            check(&whole[..end], None);
        }
        check(&[&whole[..], b"\0"].concat(), None);
        check(&[&whole[..], b"more"].concat(), None);
        check(&[&whole[..], &whole[..5]].concat(), None);
        let mut other = whole.clone();
        let sum = other.len() - 8;
        other[sum] ^= 1;
        check(&other, None);
    }

    #[test]
    fn holds_little_of_a_bomb() {
        let bomb = gzip(&vec![0; 20 << 20]);
        let (data, largest) = decoded(&bomb, &[16 * 1024], 20 << 20).unwrap();
        assert_eq!(data.len(), 20 << 20);
        assert!(largest < 1 << 20, "{largest} bytes at once");
        let error = decoded(&bomb, &[16 * 1024], (20 << 20) - 1).unwrap_err();
        assert!(matches!(error, BodyError::Client(_)), "{error}");
    }

    proptest! {
        #[test]
        fn every_split_decodes_the_same(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
            cuts in prop::collection::vec(1usize..50, 1..20),
        ) {
            let body: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
            prop_assert_eq!(decoded(&body, &cuts, 1 << 20).unwrap().0, parts.concat());
        }
    }
}
