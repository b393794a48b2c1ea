//! What one direction of a connection says, whatever it is framed in.

use super::{
    Channel, Fault, Subprotocol, Transport, Upgrade,
    channels::Channels,
    streams::{Shared, Streams},
};
use crate::parse::{
    side::Side,
    spdy::{self, SpdyError},
    websocket::{self, Opcode, WebSocketError},
};

/// What is read. The id is the number of the channel or of the SPDY stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen<'a> {
    /// A control frame of WebSocket.
    Carrier { opcode: Opcode, payload: &'a [u8] },
    /// A control frame of SPDY, as it came.
    Raw(&'a [u8]),
    /// A message of no bytes at all, not even of a channel.
    Empty,
    /// A stream is opened.
    Opened { id: u32, channel: Channel },
    /// A message of a channel begins; in SPDY there are none.
    Begin { id: u32, channel: Channel },
    /// Bytes of it, or of a stream; never empty.
    Bytes { id: u32, channel: Channel, bytes: &'a [u8] },
    /// It ends.
    End { id: u32, channel: Channel },
    /// The sender says nothing more on it.
    Finished { id: u32, channel: Channel },
    /// What follows ends a stream, or all of them: what is held of it must go before.
    Settle(Option<u32>),
}

/// Reads one direction.
#[derive(Debug)]
pub(super) struct Reader {
    sender: Side,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    Channels(websocket::Decoder, Channels),
    Tunnel(websocket::Decoder, Streams),
    Spdy(Streams),
}

impl Reader {
    pub(super) fn new(sender: Side, upgrade: &Upgrade, limits: spdy::Limits, shared: Shared) -> Self {
        let socket = websocket::Decoder::new(sender);
        let framing = match upgrade.transport {
            Transport::WebSocket(Subprotocol::V4) => {
                Framing::Channels(socket, Channels::new(sender, &upgrade.purpose, false))
            }
            Transport::WebSocket(Subprotocol::V5) => {
                Framing::Channels(socket, Channels::new(sender, &upgrade.purpose, true))
            }
            Transport::WebSocket(Subprotocol::Tunnel) => {
                Framing::Tunnel(socket, Streams::new(sender, limits, shared))
            }
            Transport::Spdy => Framing::Spdy(Streams::new(sender, limits, shared)),
        };
        Self { sender, framing }
    }

    pub(super) fn sender(&self) -> Side {
        self.sender
    }

    /// Takes the next bytes, all of them, and tells what they say.
    pub(super) fn read(
        &mut self,
        input: &[u8],
        tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match &mut self.framing {
            Framing::Channels(socket, channels) => {
                socket.read(input, &mut |event| channels.read(event, tell))
            }
            Framing::Tunnel(socket, streams) => socket.read(input, &mut |event| match event {
                websocket::Event::Begin { text: true, .. } => Err(Fault::Text),
                websocket::Event::Begin { text: false, .. } | websocket::Event::End => Ok(()),
                websocket::Event::Payload(bytes) => streams.read(bytes, tell),
                websocket::Event::Control { opcode, payload } => carrier(opcode, payload, tell),
            }),
            Framing::Spdy(streams) => streams.read(input, tell),
        }
    }

    /// The stream ends.
    pub(super) fn finish(&self) -> Result<(), Fault> {
        let (socket, streams) = match &self.framing {
            Framing::Channels(socket, _) => (Some(socket), None),
            Framing::Tunnel(socket, streams) => (Some(socket), Some(streams)),
            Framing::Spdy(streams) => (None, Some(streams)),
        };
        if socket.is_some_and(|socket| !socket.is_at_boundary()) {
            return Err(WebSocketError::Cut.into());
        }
        if streams.is_some_and(|streams| !streams.is_at_boundary()) {
            return Err(SpdyError::Cut.into());
        }
        Ok(())
    }
}

/// A control frame of WebSocket; behind a close no message comes.
pub(super) fn carrier(
    opcode: Opcode,
    payload: &[u8],
    tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if opcode == Opcode::Close {
        tell(Seen::Settle(None))?;
    }
    tell(Seen::Carrier { opcode, payload })
}
