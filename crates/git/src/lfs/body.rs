//! Bodies that are read whole, and those that are verified while they stream.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::{
    body::{self, Body, BodyError},
    refusal::{Refusal, RefusalKind},
};

use super::{oid::LfsOid, parse::Object};

/// The whole of a body.
///
/// # Errors
/// [`RefusalKind::TooLarge`] for more than `max` bytes; otherwise by who broke off.
pub(super) async fn whole(body: Body, max: usize) -> Result<Bytes, Refusal> {
    let too_large =
        || Refusal::new(RefusalKind::TooLarge, format!("the LFS JSON is larger than {max} bytes"));
    body::read(body, max).await.map_err(|error| broken(&error))?.ok_or_else(too_large)
}

/// A body that broke off.
pub(super) fn broken(error: &BodyError) -> Refusal {
    let refusal = match error {
        BodyError::Client(_) => Refusal::new(RefusalKind::Invalid, "the request's body broke off"),
        BodyError::Upstream(_) => Refusal::new(RefusalKind::UpstreamUnavailable, "the upstream broke off"),
        BodyError::Ours(_) => {
            Refusal::new(RefusalKind::RecordingUnavailable, "the request can't be recorded")
        }
    };
    refusal.because(error)
}

/// Content is not the object that it was said to be: whoever sends it is at fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum WrongContent {
    /// Fewer bytes or more.
    #[error("the LFS object {oid} has not its size of {expected} bytes")]
    Size {
        /// The object.
        oid: LfsOid,
        /// Its size.
        expected: u64,
    },
    /// Other bytes.
    #[error("the content is not that of the LFS object {0}")]
    Digest(LfsOid),
}

/// Compares content with its name while it passes.
pub(super) struct Verifier {
    object: Object,
    digest: Context,
    left: u64,
}

impl Verifier {
    pub(super) fn new(object: Object) -> Self {
        Self { left: object.size, object, digest: Context::new(&SHA256) }
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), WrongContent> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| self.wrong_size())?;
        self.digest.update(bytes);
        Ok(())
    }

    /// Ends the content.
    pub(super) fn finish(self) -> Result<(), WrongContent> {
        if self.left > 0 {
            return Err(self.wrong_size());
        }
        let oid = self.object.oid;
        if oid.is(self.digest.finish().as_ref()) { Ok(()) } else { Err(WrongContent::Digest(oid)) }
    }

    fn wrong_size(&self) -> WrongContent {
        WrongContent::Size { oid: self.object.oid, expected: self.object.size }
    }
}

/// An object on its way to the client, whose last bytes are withheld until the whole was verified: a
/// client gets the object, or a body that breaks off.
pub(super) fn verified(body: Body, object: Object) -> Body {
    let state = Some((body, Verifier::new(object), None::<Bytes>));
    let frames = stream::try_unfold(state, async |state| {
        let Some((mut body, mut verifier, mut held)) = state else { return Ok(None) };
        loop {
            let wrong = |error: WrongContent| BodyError::Upstream(error.into());
            let Some(frame) = body.frame().await else {
                verifier.finish().map_err(wrong)?;
                return Ok(held.map(|held| (Frame::data(held), None)));
            };
            // Trailers say nothing of an object.
            let Ok(data) = frame?.into_data() else { continue };
            verifier.take(&data).map_err(wrong)?;
            if let Some(before) = held.replace(data) {
                return Ok(Some((Frame::data(before), Some((body, verifier, held)))));
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{block_on, pieces};

    fn object(content: &[u8]) -> Object {
        let digest = aws_lc_rs::digest::digest(&SHA256, content);
        let oid = LfsOid::from_hex(&hex::encode(digest)).unwrap();
        Object { oid, size: content.len() as u64 }
    }

    /// What a client gets before the body ends or breaks off, and how.
    fn passed(content: &[u8], cuts: &[usize], object: Object) -> (Vec<u8>, Result<(), String>) {
        block_on(async {
            let mut body = verified(pieces(content, cuts), object);
            let mut got = Vec::new();
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
                    Err(error) => return (got, Err(std::error::Error::source(&error).unwrap().to_string())),
                }
            }
            (got, Ok(()))
        })
    }

    proptest! {
        #[test]
        fn passes_an_object_whole_or_not_its_end(
            content in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(1usize..50, 1..5),
            place in any::<prop::sample::Index>(),
        ) {
            prop_assert_eq!(passed(&content, &cuts, object(&content)), (content.clone(), Ok(())));
            if !content.is_empty() {
                let mut altered = content.clone();
                altered[place.index(content.len())] ^= 1;
                let (got, end) = passed(&altered, &cuts, object(&content));
                prop_assert!(end.unwrap_err().starts_with("the content is not that of"));
                prop_assert!(got.len() < content.len());
                let (got, end) = passed(&content[..content.len() - 1], &cuts, object(&content));
                prop_assert!(end.unwrap_err().contains("has not its size") && got.len() < content.len());
            }
            let (got, end) = passed(&[&*content, b"x"].concat(), &cuts, object(&content));
            prop_assert!(end.unwrap_err().contains("has not its size") && got.len() <= content.len());
        }
    }

    #[test]
    fn reads_whole_bodies_within_their_limit() {
        let read = |max| block_on(whole(pieces(b"12345", &[2]), max)).map_err(|refusal| refusal.kind);
        assert_eq!(read(5), Ok(Bytes::from_static(b"12345")));
        assert_eq!(read(4), Err(RefusalKind::TooLarge));
    }
}
