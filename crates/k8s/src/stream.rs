//! Upgraded streams: exec, attach and port-forward, over WebSocket and SPDY.
//!
//! An upgraded connection is two streams of bytes. [`ClientHalf`] reads the client's, passes it on byte by byte as
//! it is, and tells what is typed, resized and opened; [`ServerHalf`] reads the upstream's and can mask each channel
//! on its own. Neither does I/O: [`watched`] and [`masked`] put them around bodies. Later, [`transcript`] reads what
//! was recorded of both.
//!
//! What must never be true: bytes pass that were not understood; or a byte of a masked channel passes by its masker.

mod adapt;
mod channels;
mod client;
mod fuzz;
mod out;
mod reader;
mod resize;
mod server;
mod streams;
pub mod transcript;

use lockgate_core::body::BodyError;
use lockgate_detect::Masker;

#[doc(hidden)]
pub use self::fuzz::fuzz_stream;
pub use self::{
    adapt::{masked, watched},
    client::ClientHalf,
    resize::Size,
    server::ServerHalf,
};
use self::{reader::Reader, streams::Shared};
use crate::parse::{
    side::Side,
    spdy::{self, SpdyError},
    websocket::WebSocketError,
};

/// How the bytes of an upgraded connection are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `Upgrade: websocket`.
    WebSocket(Subprotocol),
    /// `Upgrade: SPDY/3.1`.
    Spdy,
}

/// What WebSocket messages carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subprotocol {
    /// `v4.channel.k8s.io`: the first byte of a message is its channel.
    V4,
    /// `v5.channel.k8s.io`: as before, and `[255, channel]` closes one.
    V5,
    /// `SPDY/3.1+portforward.k8s.io`: the bytes of a SPDY connection, cut anywhere.
    Tunnel,
}

impl Subprotocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V4, Self::V5, Self::Tunnel];

    /// The subprotocol of this name. Others, in which Kubernetes would encode the same as base64 or leave something
    /// to guess, are not spoken.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
            Self::Tunnel => "SPDY/3.1+portforward.k8s.io",
        }
    }
}

/// What a stream is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// exec and attach: the channels of a terminal.
    Command,
    /// Port-forward. Over SPDY the client names the port of each stream; over the channels of WebSocket these are
    /// the ports of the request, two channels each, in their order.
    Forward(Vec<u16>),
}

/// An upgraded connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// How it is framed.
    pub transport: Transport,
    /// What it is for.
    pub purpose: Purpose,
}

/// What travels together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// What is typed.
    Stdin,
    /// What the command prints.
    Stdout,
    /// What it prints as errors.
    Stderr,
    /// What became of the command: a `Status`.
    Error,
    /// New sizes of the terminal.
    Resize,
    /// A connection to a port.
    Data {
        /// It.
        port: u16,
    },
    /// What became of a connection to a port: text.
    DataError {
        /// It.
        port: u16,
    },
}

impl Channel {
    /// Whether this side sends bytes on it.
    #[must_use]
    pub fn is_sent_by(self, side: Side) -> bool {
        match self {
            Self::Stdin | Self::Resize => side == Side::Client,
            Self::Stdout | Self::Stderr | Self::Error | Self::DataError { .. } => side == Side::Server,
            Self::Data { .. } => true,
        }
    }

    /// The port, of a port-forward.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Data { port } | Self::DataError { port } => Some(port),
            Self::Stdin | Self::Stdout | Self::Stderr | Self::Error | Self::Resize => None,
        }
    }

    /// Whether it says what became of others.
    fn is_error(self) -> bool {
        match self {
            Self::Error | Self::DataError { .. } => true,
            Self::Stdin | Self::Stdout | Self::Stderr | Self::Resize | Self::Data { .. } => false,
        }
    }
}

/// What the client does. The id is the number of the channel or of the SPDY stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// It opens a stream; SPDY only.
    Opened {
        /// Its id.
        id: u32,
        /// What it is for.
        channel: Channel,
    },
    /// It sends bytes, cut anywhere.
    Bytes {
        /// On which stream.
        id: u32,
        /// What that is for.
        channel: Channel,
        /// They.
        bytes: &'a [u8],
    },
    /// Its terminal has another size.
    Resized(Size),
    /// It says nothing more on a stream.
    Finished {
        /// Which.
        id: u32,
        /// What that is for.
        channel: Channel,
    },
}

/// Is told what the client does, before it reaches the upstream. What it refuses ends the stream, and the text says
/// why.
pub type Watcher = Box<dyn FnMut(Event<'_>) -> Result<(), String> + Send>;

/// Says by which masker a channel or stream of the upstream is masked: one of its own for each.
pub type Maskers = Box<dyn FnMut(Channel) -> Option<Masker> + Send>;

/// What is taken of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams that are open at once, of SPDY. Default: 1000.
    pub streams: usize,
    /// Of a SPDY control frame.
    pub control: spdy::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 1000, control: spdy::Limits::default() }
    }
}

/// The two directions of a connection.
///
/// Without maskers the upstream's bytes pass as they are.
#[must_use]
pub fn halves(
    upgrade: &Upgrade,
    limits: Limits,
    watcher: Watcher,
    maskers: Option<Maskers>,
) -> (ClientHalf, ServerHalf) {
    let (shared, [client, server]) = readers(upgrade, limits);
    (ClientHalf::new(client, watcher), ServerHalf::new(server, upgrade, maskers, shared))
}

/// Readers of the client and of the upstream, and what they share: what the client declares.
fn readers(upgrade: &Upgrade, limits: Limits) -> (Shared, [Reader; 2]) {
    let shared = Shared::new(&upgrade.purpose, limits.streams);
    let readers =
        [Side::Client, Side::Server].map(|side| Reader::new(side, upgrade, limits.control, shared.clone()));
    (shared, readers)
}

/// Why a stream can't go on.
#[derive(Debug, thiserror::Error)]
#[error("what the {at_fault} sends can't be passed on")]
pub struct StreamError {
    /// Who is at fault.
    pub at_fault: Side,
    /// What it did.
    #[source]
    pub fault: Fault,
}

impl From<StreamError> for BodyError {
    fn from(error: StreamError) -> Self {
        match error.at_fault {
            Side::Client => Self::Client(error.into()),
            Side::Server => Self::Upstream(error.into()),
        }
    }
}

/// What its sender did.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no WebSocket.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
    /// It is no SPDY.
    #[error(transparent)]
    Spdy(#[from] SpdyError),
    /// The upstream, or a tunnel, sends text.
    #[error("a message is sent as text where bytes are due")]
    Text,
    /// The API server reads each frame as a message of its own, with a channel of its own.
    #[error("a message is sent in several frames, and some servers read that as several messages")]
    Fragmented,
    /// A channel that there is not, or that is not the sender's.
    #[error("a message is of channel {0}, on which its sender has nothing to say")]
    Channel(u8),
    /// A half-close that does not name one channel.
    #[error("a message that closes a channel does not name one")]
    HalfClose,
    /// A stream that is not open, that the sender has finished, or that is not the sender's.
    #[error("bytes are sent on stream {0}, on which their sender has nothing to say")]
    Stream(u32),
    /// A stream of no known type, of one that is there already, or without its port.
    #[error("stream {0} is opened for nothing that is known, or that is not there yet")]
    Opening(u32),
    /// More streams than are taken.
    #[error("more streams are open than are taken")]
    TooMany,
    /// What the watcher does not want to pass.
    #[error("{0}")]
    Refused(String),
}

#[cfg(test)]
mod tests;
