//! What was recorded of a stream, told again: each channel with its times, as a terminal's recording, as text, as
//! typed commands, as files that were copied, as connections to ports.
//!
//! Recordings may be cut off, and end with what was refused: what can be read is told, and the fault beside it.

mod asciicast;
mod copied;
mod query;
mod summary;
mod tar;
mod typed;

use std::{collections::BTreeSet, time::Duration};

pub use self::{
    asciicast::Asciicast,
    copied::{Copied, Copying},
    query::{Asked, Subresource},
    summary::{Forwarded, Output, Summary},
    tar::{Entry, EntryKind, TarError},
    typed::{Line, Typed},
};
use super::{
    Channel, Fault, Limits, Purpose, Size, Subprotocol, Transport, Upgrade,
    reader::{Reader, Seen},
    readers,
    resize::Sizes,
};
use crate::parse::side::Side;

/// Something that happened on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment<'a> {
    /// When, from the beginning of the recording.
    pub at: Duration,
    /// What.
    pub what: What<'a>,
}

/// What happened. The id is the number of the channel or of the SPDY stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'a> {
    /// The client opened a stream; SPDY only.
    Opened {
        /// Its id.
        id: u32,
        /// What it is for.
        channel: Channel,
    },
    /// Bytes were sent, cut anywhere.
    Bytes {
        /// By whom.
        side: Side,
        /// On which stream.
        id: u32,
        /// What that is for.
        channel: Channel,
        /// They.
        bytes: &'a [u8],
    },
    /// The terminal got another size.
    Resized(Size),
    /// A side had nothing more to say.
    Finished {
        /// Which side.
        side: Side,
        /// On which stream.
        id: u32,
        /// What that is for.
        channel: Channel,
    },
}

/// Reads the recorded bytes of both directions.
#[derive(Debug)]
pub struct Transcript {
    client: Direction,
    server: Direction,
    sizes: Sizes,
    /// The channels whose first message was seen, where that is the port and nothing that somebody sent.
    greeted: Option<BTreeSet<u32>>,
    is_greeting: bool,
}

#[derive(Debug)]
struct Direction {
    reader: Reader,
    fault: Option<Fault>,
}

impl Transcript {
    /// Reads a connection that was upgraded so.
    #[must_use]
    pub fn new(upgrade: &Upgrade) -> Self {
        let (_, readers) = readers(upgrade, Limits::default());
        let [client, server] = readers.map(|reader| Direction { reader, fault: None });
        let greets = match upgrade.transport {
            Transport::WebSocket(Subprotocol::V4 | Subprotocol::V5) => {
                matches!(upgrade.purpose, Purpose::Forward(_))
            }
            Transport::WebSocket(Subprotocol::Tunnel) | Transport::Spdy => false,
        };
        let greeted = greets.then(BTreeSet::new);
        Self { client, server, sizes: Sizes::default(), greeted, is_greeting: false }
    }

    /// Takes the next bytes of one direction, as the client saw them, in the order in which they were recorded.
    pub fn push(&mut self, at: Duration, side: Side, bytes: &[u8], tell: &mut impl FnMut(Moment<'_>)) {
        let (sizes, greeted, is_greeting) = (&mut self.sizes, &mut self.greeted, &mut self.is_greeting);
        let direction = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        if direction.fault.is_some() {
            return;
        }
        let read = direction.reader.read(bytes, &mut |seen| {
            let mut tell = |what| tell(Moment { at, what });
            match seen {
                Seen::Opened { id, channel } => tell(What::Opened { id, channel }),
                Seen::Begin { id, .. } if side == Side::Server => {
                    *is_greeting = greeted.as_mut().is_some_and(|greeted| greeted.insert(id));
                }
                Seen::Bytes { .. } if side == Side::Server && *is_greeting => {}
                Seen::Bytes { id, channel, bytes } => {
                    tell(What::Bytes { side, id, channel, bytes });
                    let resized = if channel == Channel::Resize { sizes.read(bytes) } else { Vec::new() };
                    resized.into_iter().for_each(|size| tell(What::Resized(size)));
                }
                Seen::Finished { id, channel } => tell(What::Finished { side, id, channel }),
                Seen::Carrier { .. }
                | Seen::Raw(_)
                | Seen::Empty
                | Seen::Begin { .. }
                | Seen::End { .. }
                | Seen::Settle(_) => {}
            }
            Ok(())
        });
        direction.fault = read.err();
    }

    /// Why no more is told of a direction, although more was recorded.
    #[must_use]
    pub fn fault(&self, side: Side) -> Option<&Fault> {
        match side {
            Side::Client => self.client.fault.as_ref(),
            Side::Server => self.server.fault.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests;
