//! The vocabulary of a recording: what opens an exchange, what happens in it, and how it ends.
//!
//! Plain values. [`crate::recorder`] writes them, [`crate::archive`] gives them back; `convert` is the only
//! place that knows their protobuf form.

use std::{fmt, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

/// How an exchange begins: everything known about it before its first byte is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeOpened {
    /// The id of the exchange, a UUIDv7.
    pub exchange: Uuid,
    /// The session that it belongs to.
    pub session: String,
    /// Who calls.
    pub principal: Principal,
    /// The name of the upstream.
    pub upstream: String,
    /// The protocol spoken: `git`, `oci`, `k8s`.
    pub protocol: String,
    /// The address of the client, as `ip:port`.
    pub peer: String,
    /// When the exchange began, in microseconds of Unix time.
    pub started_micros: i64,
    /// What the exchange is about, in a few words, where that is known at its beginning.
    pub action: Option<String>,
}

/// Who calls, from a verified token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The issuer of the token.
    pub issuer: String,
    /// The subject of the token.
    pub subject: String,
    /// The groups that the claims map to.
    pub groups: Vec<String>,
    /// A name for people.
    pub name: String,
}

/// Something that happens in an exchange after it was opened and before it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The head of the request, as the client sent it.
    RequestHead(RequestHead),
    /// The head of the response, as the client gets it.
    ResponseHead(ResponseHead),
    /// Octets of the request body.
    RequestData(Bytes),
    /// Octets of the response body.
    ResponseData(Bytes),
    /// The trailers of the request.
    RequestTrailers(Vec<Field>),
    /// The trailers of the response.
    ResponseTrailers(Vec<Field>),
    /// The request body is whole.
    RequestEnd,
    /// The response body is whole: its client may have all of it from here on.
    ResponseEnd {
        /// How the exchange ends, unless its end says otherwise: after a crash that is not there.
        outcome: Option<Outcome>,
    },
    /// JSON: what the protocol understood of the request.
    Access(String),
    /// JSON: the decision, the rules that led to it, the hash of the policy.
    Verdict(String),
    /// JSON: an approval that was asked for, or its answer.
    Approval(String),
    /// The request starts on its way to the upstream.
    Forwarded,
    /// Octets of one channel of an upgraded stream.
    ChannelData {
        /// The number of the channel, in the numbering of its protocol.
        channel: u32,
        /// Which way the octets go.
        direction: Direction,
        /// The octets.
        data: Bytes,
    },
    /// A remark, for people or for tools that know its kind.
    Note {
        /// What sort of remark.
        kind: String,
        /// The remark.
        text: String,
    },
    /// Something is known to be missing here.
    Gap {
        /// Why it is missing.
        reason: String,
    },
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method: `GET`.
    pub method: String,
    /// The target as sent, without credentials.
    pub target: String,
    /// The version: `HTTP/1.1`.
    pub version: String,
    /// The fields, in order.
    pub fields: Vec<Field>,
}

/// The head of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The version: `HTTP/1.1`.
    pub version: String,
    /// The fields, in order.
    pub fields: Vec<Field>,
}

/// One field of a head or of trailers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, in lower case as `http` gives it.
    pub name: Bytes,
    /// The value, or what stands in its place.
    pub value: FieldValue,
}

/// The value of a [`Field`].
#[derive(Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// The octets of the value.
    Exact(Bytes),
    /// The value is a credential and is not in the recording.
    Redacted {
        /// HMAC-SHA-256 of the value under the recorder's own key: equal values have equal tags.
        tag: [u8; 32],
        /// The length of the value in bytes.
        length: u64,
    },
}

impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(f, "{value:?}"),
            Self::Redacted { tag, length } => write!(f, "<redacted {} {length}>", hex::encode(&tag[..4])),
        }
    }
}

/// Which way octets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
        })
    }
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response reached the client whole.
    Complete,
    /// Refused by policy or by the gateway; the upstream did not see the request.
    Refused,
    /// The client went away first.
    ClientGone,
    /// The upstream could not be reached, or broke off.
    UpstreamFailed,
    /// The gateway failed, for this reason.
    Failed(String),
    /// The exchange was dropped without saying how it ended.
    Abandoned,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Refused => f.write_str("refused"),
            Self::ClientGone => f.write_str("client gone"),
            Self::UpstreamFailed => f.write_str("upstream failed"),
            Self::Failed(reason) => write!(f, "failed: {reason}"),
            Self::Abandoned => f.write_str("abandoned"),
        }
    }
}

/// The end of an exchange as it stands in the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// How it ended.
    pub outcome: Outcome,
    /// Everything recorded in the direction of the upstream.
    pub request: BodyDigest,
    /// Everything recorded in the direction of the client.
    pub response: BodyDigest,
}

/// Length and digest of the octets of one direction, in the order of recording.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BodyDigest {
    /// How many octets.
    pub length: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, sha256:{}", self.length, hex::encode(self.sha256))
    }
}

/// One thing read back from a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When it happened, counted from the beginning of the exchange.
    pub at: Duration,
    /// What happened.
    pub what: What,
}

/// What a [`Recorded`] holds. An exchange reads as one `Opened`, any number of `Event`s, one `Closed`; without
/// the last it is incomplete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The exchange begins.
    Opened(ExchangeOpened),
    /// Something happens.
    Event(Event),
    /// The exchange ends.
    Closed(Closed),
}
