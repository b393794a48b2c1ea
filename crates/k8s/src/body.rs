//! What a request brings.

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lockgate_core::{
    body::{self, Body, BodyError},
    json,
    refusal::{Refusal, RefusalKind},
};

use serde_json::Value;

/// A request's body.
pub(crate) enum Brought {
    /// All of it: it is judged, and approved, as a whole.
    Whole(Bytes),
    /// A stream, or what somebody behind a proxy is told.
    Stream(Body),
}

impl Brought {
    /// Reads the whole, of `max` bytes.
    ///
    /// # Errors
    /// A refusal of what is larger, compressed, or breaks off.
    pub(crate) async fn read(headers: &HeaderMap, body: Body, max: usize) -> Result<Self, Refusal> {
        if body.is_end_stream() {
            return Ok(Self::Whole(Bytes::new()));
        }
        if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(Refusal::new(RefusalKind::Invalid, "a compressed request is not taken here"));
        }
        #[expect(clippy::disallowed_methods, reason = "limited")]
        let read = Limited::new(body, max).collect().await;
        read.map(|whole| Self::Whole(whole.to_bytes())).map_err(|error| {
            if error.is::<LengthLimitError>() {
                return Refusal::new(
                    RefusalKind::TooLarge,
                    format!("the request is larger than {max} bytes"),
                );
            }
            let ours = matches!(error.downcast_ref(), Some(BodyError::Ours(_)));
            let refusal = if ours {
                Refusal::new(RefusalKind::RecordingUnavailable, "the request can't be recorded")
            } else {
                Refusal::new(RefusalKind::Invalid, "the request's body broke off")
            };
            refusal.because(&*error)
        })
    }

    /// What is known of it now.
    pub(crate) fn seen(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Stream(_) => &[],
        }
    }

    /// The body as it goes upstream.
    pub(crate) fn into_body(self) -> Body {
        match self {
            Self::Whole(bytes) if bytes.is_empty() => body::empty(),
            Self::Whole(bytes) => body::full(bytes),
            Self::Stream(body) => body,
        }
    }
}

/// An object of the upstream's at most, in bytes: more than it stores.
const OBJECT: usize = 8 << 20;

/// The object that the upstream answers.
///
/// # Errors
/// A refusal where there is none in it.
pub(crate) async fn answered(body: Body) -> Result<Value, Refusal> {
    #[expect(clippy::disallowed_methods, reason = "limited")]
    let read = Limited::new(body, OBJECT).collect().await;
    let read = read.map_err(|error| {
        Refusal::new(RefusalKind::UpstreamInvalid, "the present object can't be read").because(&*error)
    })?;
    json::read(&read.to_bytes()).map_err(|error| {
        Refusal::new(RefusalKind::UpstreamInvalid, "the present object makes no sense").because(&error)
    })
}
