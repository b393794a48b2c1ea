//! Both halves against peers that write frames, whole and under every cut.

mod any;
mod client;
mod seeds;
pub(super) mod server;

use flate2::Compression;

pub(super) use self::server::maskers;
use super::{reader::Seen, *};
use crate::parse::{
    spdy::encode::{self, Encoder},
    websocket::encode::{frame, message},
};

pub(super) const V4: Transport = Transport::WebSocket(Subprotocol::V4);
pub(super) const V5: Transport = Transport::WebSocket(Subprotocol::V5);
pub(super) const TUNNEL: Transport = Transport::WebSocket(Subprotocol::Tunnel);

pub(super) fn command(transport: Transport) -> Upgrade {
    Upgrade { transport, purpose: Purpose::Command }
}

pub(super) fn forward(transport: Transport, ports: &[u16]) -> Upgrade {
    Upgrade { transport, purpose: Purpose::Forward(ports.to_vec()) }
}

/// Cuts bytes at these distances, and again from the first.
pub(super) fn cut<'a>(wire: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), wire);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).clamp(1, rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// SPDY bytes in messages of these sizes, with a ping between.
pub(super) fn tunnelled(sender: Side, spdy: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = frame(sender, 0x82, b"");
    for piece in cut(spdy, sizes) {
        wire.extend(frame(sender, 0x82, piece));
        wire.extend(frame(sender, 0x89, b"still there?"));
    }
    wire
}

/// What the client sends to open the streams of a command, in the order of the channels, on 1, 3, 5, 7 and 9.
pub(super) fn opening(encoder: &mut Encoder) -> Vec<u8> {
    let kinds = ["stdin", "stdout", "stderr", "error", "resize"];
    let frames = kinds.iter().zip([1, 3, 5, 7, 9]);
    frames.flat_map(|(kind, id)| encoder.syn_stream(id, 0, &[("streamtype", kind)])).collect()
}

pub(super) fn encoder() -> Encoder {
    Encoder::new(Compression::default())
}

/// What a direction says, in words. Bytes of a channel that come one after another are joined, whatever their
/// messages.
pub(super) fn told(reader: &mut Reader, wire: &[u8]) -> Result<Vec<String>, Fault> {
    let mut told = Vec::<String>::new();
    reader.read(wire, &mut |seen| {
        let text = match seen {
            Seen::Bytes { id, bytes, .. } => {
                let head = format!("{id}: ");
                match told.last_mut().filter(|last| last.starts_with(&head)) {
                    Some(last) => last.push_str(&bytes.escape_ascii().to_string()),
                    None => told.push(format!("{head}{}", bytes.escape_ascii())),
                }
                return Ok(());
            }
            Seen::Carrier { opcode, payload } => format!("{opcode:?} {}", payload.escape_ascii()),
            Seen::Raw(frame) => format!("frame of type {}", frame[3]),
            Seen::Opened { id, channel } => format!("{id} opened: {channel:?}"),
            Seen::Finished { id, .. } => format!("{id} finished"),
            Seen::Empty | Seen::Begin { .. } | Seen::End { .. } | Seen::Settle(_) => return Ok(()),
        };
        told.push(text);
        Ok(())
    })?;
    reader.finish()?;
    Ok(told)
}
