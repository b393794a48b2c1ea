//! Writes the upstream's direction anew, frame by frame.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{Subprotocol, Transport, channels::CLOSE};
use crate::parse::{
    spdy,
    websocket::{self, Opcode},
};

/// What was written and not taken yet.
#[derive(Debug)]
pub(super) struct Out {
    transport: Transport,
    ready: BytesMut,
    /// SPDY bytes that are still to be put into a message.
    tunnelled: BytesMut,
    /// A message of which frames were written, but not its last.
    is_within: bool,
}

impl Out {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, ready: BytesMut::new(), tunnelled: BytesMut::new(), is_within: false }
    }

    /// All that was written.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        self.wrap();
        (!self.ready.is_empty()).then(|| self.ready.split().freeze())
    }

    /// Bytes that pass as they came.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.ready.extend_from_slice(bytes);
    }

    /// A control frame of WebSocket.
    pub(super) fn carrier(&mut self, opcode: Opcode, payload: &[u8]) {
        self.wrap();
        websocket::write_header(&mut self.ready, opcode, true, payload.len());
        self.ready.extend_from_slice(payload);
    }

    /// A control frame of SPDY.
    pub(super) fn raw(&mut self, frame: &[u8]) {
        self.spdy().extend_from_slice(frame);
    }

    /// A message of no bytes.
    pub(super) fn empty(&mut self) {
        websocket::write_header(&mut self.ready, Opcode::Binary, true, 0);
    }

    /// Bytes of a channel or a stream: a message, or DATA.
    pub(super) fn bytes(&mut self, id: u32, bytes: &[u8]) {
        match self.transport {
            Transport::WebSocket(Subprotocol::V4 | Subprotocol::V5) => self.frame(id, bytes, true),
            Transport::WebSocket(Subprotocol::Tunnel) | Transport::Spdy => self.data(id, bytes, false),
        }
    }

    /// A part of a message of a channel, which keeps its beginning and its end.
    pub(super) fn frame(&mut self, id: u32, bytes: &[u8], is_last: bool) {
        // The channel stands at the beginning of the message only.
        let channel = (!self.is_within).then_some(id as u8);
        let opcode = if self.is_within { Opcode::Continuation } else { Opcode::Binary };
        let length = bytes.len() + usize::from(channel.is_some());
        websocket::write_header(&mut self.ready, opcode, is_last, length);
        if let Some(channel) = channel {
            self.ready.put_u8(channel);
        }
        self.ready.extend_from_slice(bytes);
        self.is_within = !is_last;
    }

    /// The end of a channel or a stream, and the last bytes before it.
    pub(super) fn last(&mut self, id: u32, bytes: &[u8]) {
        match self.transport {
            Transport::WebSocket(Subprotocol::V4 | Subprotocol::V5) => {
                if !bytes.is_empty() {
                    self.frame(id, bytes, true);
                }
                self.frame(u32::from(CLOSE), &[id as u8], true);
            }
            Transport::WebSocket(Subprotocol::Tunnel) | Transport::Spdy => self.data(id, bytes, true),
        }
    }

    fn data(&mut self, stream: u32, bytes: &[u8], fin: bool) {
        let mut chunks = bytes.chunks(spdy::MAX_DATA).peekable();
        if chunks.peek().is_none() {
            spdy::write_data_header(self.spdy(), stream, fin, 0);
        }
        while let Some(chunk) = chunks.next() {
            spdy::write_data_header(self.spdy(), stream, fin && chunks.peek().is_none(), chunk.len());
            self.spdy().extend_from_slice(chunk);
        }
    }

    fn spdy(&mut self) -> &mut BytesMut {
        match self.transport {
            Transport::WebSocket(_) => &mut self.tunnelled,
            Transport::Spdy => &mut self.ready,
        }
    }

    fn wrap(&mut self) {
        if !self.tunnelled.is_empty() {
            websocket::write_header(&mut self.ready, Opcode::Binary, true, self.tunnelled.len());
            self.ready.extend_from_slice(&self.tunnelled);
            self.tunnelled.clear();
        }
    }
}
