//! The one body type of the pipeline, and whose fault it is when a body breaks off.

use std::{error::Error as StdError, fmt};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};

/// A streaming body: of the client's request or the upstream's response, or made by us.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
#[derive(Debug)]
pub enum BodyError {
    /// The client stopped sending, or sent what cannot be decoded.
    Client(Box<dyn StdError + Send + Sync>),
    /// The upstream stopped sending.
    Upstream(Box<dyn StdError + Send + Sync>),
    /// We could not go on: the recording or the spool failed.
    Ours(Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "the request's body broke off",
            Self::Upstream(_) => "the upstream's body broke off",
            Self::Ours(_) => "the body could not be recorded or stored",
        })
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Client(cause) | Self::Upstream(cause) | Self::Ours(cause) => Some(&**cause),
        }
    }
}

/// No bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
