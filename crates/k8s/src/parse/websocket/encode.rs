//! Writes WebSocket frames of both sides: for tests, in which it is the peer.

use super::{MASKED, Opcode, write_header};
use crate::parse::side::Side;

/// A frame as a client or a server sends it, with a mask that does not matter.
pub(crate) fn frame(sender: Side, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_header(&mut frame, Opcode::Binary, true, payload.len());
    frame[0] = first;
    match sender {
        Side::Server => frame.extend_from_slice(payload),
        Side::Client => {
            frame[1] |= MASKED;
            let mask = [0x5a, 0, 0xff, 7];
            frame.extend_from_slice(&mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    frame
}

/// A message of a channel, in one frame.
pub(crate) fn message(sender: Side, channel: u8, payload: &[u8]) -> Vec<u8> {
    frame(sender, 0x82, &[&[channel], payload].concat())
}
