//! WebSocket frames (RFC 6455), read as they arrive and written anew.
//!
//! A payload of any length is handed on in pieces; what is kept of a frame is its header, or the 125 bytes of a
//! control frame. No extension is negotiated, so whatever only an extension could mean is refused.

use bytes::BufMut;

use super::side::Side;

/// The longest payload of a control frame.
pub const MAX_CONTROL: usize = 125;
/// The longest header: two bytes, eight of length, four of the mask.
const MAX_HEADER: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation = 0x0,
    /// A message of text.
    Text = 0x1,
    /// A message of bytes.
    Binary = 0x2,
    /// The sender's last frame.
    Close = 0x8,
    /// A question whether somebody is there.
    Ping = 0x9,
    /// Its answer.
    Pong = 0xa,
}

impl Opcode {
    fn of(byte: u8) -> Option<Self> {
        let all = [Self::Continuation, Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong];
        all.into_iter().find(|opcode| *opcode as u8 == byte & 0x0f)
    }

    fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message begins.
    Begin {
        /// Whether it was sent as text.
        text: bool,
        /// Whether it is one frame. Some servers read each frame of several as a message of its own.
        whole: bool,
    },
    /// The next bytes of the message, without the mask; never empty.
    Payload(&'a [u8]),
    /// The message is at its end.
    End,
    /// A control frame, which may stand within a message.
    Control {
        /// Close, ping or pong.
        opcode: Opcode,
        /// What it carries, without the mask.
        payload: &'a [u8],
    },
}

/// The sender: this is no WebSocket frame, or none that may stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    /// A reserved bit is set.
    #[error("a frame uses an extension, and none is agreed on")]
    Reserved,
    /// An opcode that means nothing.
    #[error("a frame has the unknown opcode {0:#x}")]
    Opcode(u8),
    /// A client must mask, a server must not.
    #[error("a frame is masked that must not be, or the other way round")]
    Mask,
    /// A length that has a shorter form, or more than 63 bits.
    #[error("a frame's length is not written in its shortest form")]
    Length,
    /// A control frame in several frames, or too long.
    #[error("a control frame is fragmented, or longer than {MAX_CONTROL} bytes")]
    Control,
    /// A continuation of nothing, or a new message within another.
    #[error("a frame continues no message, or begins one within another")]
    Continuation,
    /// A close frame with half a code, or a code that is never sent.
    #[error("a close frame has no valid code")]
    Close,
    /// A message begins or goes on behind the close frame.
    #[error("a frame of a message stands behind the close frame")]
    Closed,
    /// The stream ended within a frame or a message.
    #[error("the stream ended within a frame or a message")]
    Cut,
}

/// Reads one direction.
#[derive(Debug)]
pub struct Decoder {
    sender: Side,
    header: Vec<u8>,
    frame: Option<Frame>,
    /// The payload of a control frame as far as it came, or a piece of a message without its mask.
    scratch: Vec<u8>,
    in_message: bool,
    is_closed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: Opcode,
    fin: bool,
    mask: Option<[u8; 4]>,
    /// Bytes of the payload that are still to come.
    left: u64,
}

impl Decoder {
    /// Reads what this side sends.
    #[must_use]
    pub fn new(sender: Side) -> Self {
        let header = Vec::with_capacity(MAX_HEADER);
        Self { sender, header, frame: None, scratch: Vec::new(), in_message: false, is_closed: false }
    }

    /// Takes the next bytes, all of them, and tells what they are.
    ///
    /// # Errors
    /// [`WebSocketError`], or what `tell` returns; the decoder must not be used any more.
    pub fn read<E: From<WebSocketError>>(
        &mut self,
        mut input: &[u8],
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            if self.frame.is_none() {
                self.read_header(&mut input, tell)?;
            }
            if let Some(frame) = self.frame {
                self.read_payload(frame, &mut input, tell)?;
            }
        }
        Ok(())
    }

    /// Whether the stream may end here: neither within a frame nor within a message.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.header.is_empty() && self.frame.is_none() && !self.in_message
    }

    fn read_header<E: From<WebSocketError>>(
        &mut self,
        input: &mut &[u8],
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // What is wrong in a header is told as soon as it is there.
        while let Some((byte, rest)) = input.split_first() {
            self.header.push(*byte);
            *input = rest;
            if let Some(frame) = self.header()? {
                self.header.clear();
                self.frame = Some(frame);
                return self.begin(frame, tell);
            }
        }
        Ok(())
    }

    /// The header, when it is whole.
    fn header(&self) -> Result<Option<Frame>, WebSocketError> {
        let first = self.header[0];
        if first & RESERVED != 0 {
            return Err(WebSocketError::Reserved);
        }
        let opcode = Opcode::of(first).ok_or(WebSocketError::Opcode(first & 0x0f))?;
        let fin = first & FIN != 0;
        let Some(second) = self.header.get(1) else { return Ok(None) };
        if (second & MASKED != 0) != (self.sender == Side::Client) {
            return Err(WebSocketError::Mask);
        }
        let short = second & !MASKED;
        if opcode.is_control() && (!fin || usize::from(short) > MAX_CONTROL) {
            return Err(WebSocketError::Control);
        }
        let (width, least) = match short {
            126 => (2, 126),
            127 => (8, 1 << 16),
            _ => (0, 0),
        };
        let Some(long) = self.header.get(2..2 + width) else { return Ok(None) };
        let long = long.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        if long < least || long >> 63 != 0 {
            return Err(WebSocketError::Length);
        }
        let left = if width == 0 { u64::from(short) } else { long };
        let mask = self.header.get(2 + width..2 + width + 4).map(|mask| [mask[0], mask[1], mask[2], mask[3]]);
        if self.sender == Side::Client && mask.is_none() {
            return Ok(None);
        }
        Ok(Some(Frame { opcode, fin, mask, left }))
    }

    fn begin<E: From<WebSocketError>>(
        &mut self,
        frame: Frame,
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match frame.opcode {
            // Who pings by a clock may do so once more.
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
            Opcode::Continuation | Opcode::Text | Opcode::Binary if self.is_closed => {
                return Err(WebSocketError::Closed.into());
            }
            Opcode::Continuation if self.in_message => {}
            Opcode::Text | Opcode::Binary if !self.in_message => {
                self.in_message = true;
                tell(Event::Begin { text: frame.opcode == Opcode::Text, whole: frame.fin })?;
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                return Err(WebSocketError::Continuation.into());
            }
        }
        // An empty payload is whole already, and nothing may follow for long.
        if frame.left == 0 { self.end(frame, tell) } else { Ok(()) }
    }

    fn read_payload<E: From<WebSocketError>>(
        &mut self,
        mut frame: Frame,
        input: &mut &[u8],
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(input.len());
        let (piece, rest) = input.split_at(length);
        if piece.is_empty() {
            return Ok(());
        }
        *input = rest;
        frame.left -= length as u64;
        let from = self.scratch.len();
        if let Some(mask) = &mut frame.mask {
            self.scratch.extend(piece.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
            mask.rotate_left(length % 4);
        } else if frame.opcode.is_control() {
            self.scratch.extend_from_slice(piece);
        }
        self.frame = Some(frame);
        if !frame.opcode.is_control() {
            tell(Event::Payload(if frame.mask.is_some() { &self.scratch[from..] } else { piece }))?;
            self.scratch.clear();
        }
        if frame.left == 0 { self.end(frame, tell) } else { Ok(()) }
    }

    fn end<E: From<WebSocketError>>(
        &mut self,
        frame: Frame,
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.frame = None;
        if frame.opcode.is_control() {
            if frame.opcode == Opcode::Close {
                check_close(&self.scratch)?;
                self.is_closed = true;
            }
            tell(Event::Control { opcode: frame.opcode, payload: &self.scratch })?;
            self.scratch.clear();
        } else if frame.fin {
            self.in_message = false;
            tell(Event::End)?;
        }
        Ok(())
    }
}

/// Section 7.4: 1000 to 1015 without those that are never sent, and 3000 to 4999.
fn check_close(payload: &[u8]) -> Result<(), WebSocketError> {
    match payload {
        [] => Ok(()),
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(()),
            _ => Err(WebSocketError::Close),
        },
        [_] => Err(WebSocketError::Close),
    }
}

/// Writes the header of a frame without a mask, as servers send it.
pub fn write_header(out: &mut impl BufMut, opcode: Opcode, fin: bool, length: usize) {
    out.put_u8(opcode as u8 | if fin { FIN } else { 0 });
    match length {
        0..126 => out.put_u8(length as u8),
        126..0x1_0000 => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}

/// Reads anything as either direction, whole and in pieces, which must come to the same. The first byte says how
/// long the pieces are. For fuzzing.
#[doc(hidden)]
pub fn fuzz_websocket(data: &[u8]) {
    let (size, wire) = data.split_first().map_or((1, data), |(size, wire)| (usize::from(*size).max(1), wire));
    for sender in [Side::Client, Side::Server] {
        assert_eq!(told(sender, wire, usize::MAX), told(sender, wire, size), "in pieces of {size}");
    }
}

fn told(sender: Side, wire: &[u8], size: usize) -> (Vec<Vec<u8>>, Result<bool, WebSocketError>) {
    let (mut decoder, mut told, mut payload) = (Decoder::new(sender), Vec::new(), Vec::new());
    let read = wire.chunks(size).try_for_each(|piece| {
        decoder.read::<WebSocketError>(piece, &mut |event| {
            match event {
                Event::Begin { text, whole } => told.push(vec![u8::from(text), u8::from(whole)]),
                Event::Payload(bytes) => payload.extend_from_slice(bytes),
                Event::End => told.push(std::mem::take(&mut payload)),
                Event::Control { opcode, payload } => told.push([&[opcode as u8], payload].concat()),
            }
            Ok(())
        })
    });
    told.push(payload);
    (told, read.map(|()| decoder.is_at_boundary()))
}

#[cfg(test)]
pub(crate) mod encode;
#[cfg(test)]
mod tests;
