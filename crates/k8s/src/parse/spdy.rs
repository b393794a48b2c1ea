//! SPDY/3.1 frames, as kubectl and the API server speak it (the Chromium drafts 3 and 3.1), read as they arrive.
//!
//! DATA of any length is handed on in pieces. A control frame is kept until it is whole, and is handed on together
//! with the bytes that it was: the headers of all frames of a direction are compressed with one zlib stream, so
//! that none of them could be written anew without all that follow.

mod headers;

use bytes::BufMut;

use self::headers::Inflater;
pub use self::headers::{HeaderError, Headers};
use super::side::Side;

const HEADER: usize = 8;
const CONTROL: u8 = 0x80;
/// The longest DATA that one frame can hold.
pub const MAX_DATA: usize = 0xff_ffff;
const VERSION: u16 = 3;

const FIN: u8 = 0x01;
const UNIDIRECTIONAL: u8 = 0x02;
const CLEAR_SETTINGS: u8 = 0x01;

/// What is taken of one control frame.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a control frame as it is sent. Default: 32 KiB.
    pub control: usize,
    /// Bytes of the headers of a frame, decompressed. Default: 64 KiB.
    pub headers: usize,
    /// Headers of a frame. Default: 100.
    pub count: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { control: 32 << 10, headers: 64 << 10, count: 100 }
    }
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A control frame.
    Control {
        /// What it says.
        control: Control,
        /// The frame as it came.
        raw: &'a [u8],
    },
    /// The next bytes of a DATA frame; empty only where the frame is.
    Data {
        /// Whose.
        stream: u32,
        /// They.
        bytes: &'a [u8],
        /// Whether the sender says nothing more on this stream behind these bytes.
        fin: bool,
    },
}

/// A control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Opens a stream.
    SynStream {
        /// Its id: odd from clients, even from servers, growing.
        stream: u32,
        /// Whether its sender will send nothing on it.
        fin: bool,
        /// Whether its receiver must send nothing on it.
        unidirectional: bool,
        /// What it is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// Which.
        stream: u32,
        /// Whether the sender will send nothing on it.
        fin: bool,
        /// Headers of the answer.
        headers: Headers,
    },
    /// Ends a stream in both directions.
    RstStream {
        /// Which.
        stream: u32,
        /// Why.
        status: u32,
    },
    /// Settings of the connection.
    Settings,
    /// A question whether somebody is there, or its answer.
    Ping(u32),
    /// No more streams are accepted.
    GoAway {
        /// The last stream that was.
        last: u32,
        /// Why.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Which.
        stream: u32,
        /// Whether the sender says nothing more on it.
        fin: bool,
        /// They.
        headers: Headers,
    },
    /// More may be sent.
    WindowUpdate {
        /// On which stream; 0 for all.
        stream: u32,
        /// How many bytes.
        delta: u32,
    },
}

/// The sender: this is no SPDY frame, or none that may stand here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// Another version of the protocol.
    #[error("a control frame is of version {0}, not {VERSION}")]
    Version(u16),
    /// A type that means nothing, or was abolished.
    #[error("a control frame is of the unknown type {0}")]
    Type(u16),
    /// A flag that means nothing on this frame.
    #[error("a frame has the unknown flags {0:#04x}")]
    Flags(u8),
    /// The length does not go with the type.
    #[error("a control frame of type {0} can't be {1} bytes long")]
    Length(u16, usize),
    /// More than is taken.
    #[error("a control frame of {0} bytes is longer than is taken")]
    TooLong(usize),
    /// Zero, more than 31 bits, of the other side, or not greater than the one before.
    #[error("a frame has the stream id {0}, which it can't have")]
    Stream(u32),
    /// The headers can't be read.
    #[error("the headers of a frame can't be read")]
    Headers(#[from] HeaderError),
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Cut,
}

/// Reads one direction.
#[derive(Debug)]
pub struct Decoder {
    sender: Side,
    limits: Limits,
    /// A header, or a control frame, as far as it came.
    frame: Vec<u8>,
    data: Option<Data>,
    inflater: Inflater,
    last_opened: u32,
}

#[derive(Debug, Clone, Copy)]
struct Data {
    stream: u32,
    fin: bool,
    /// Bytes that are still to come.
    left: usize,
}

impl Decoder {
    /// Reads what this side sends.
    #[must_use]
    pub fn new(sender: Side, limits: Limits) -> Self {
        let inflater = Inflater::new(limits);
        Self { sender, limits, frame: Vec::new(), data: None, inflater, last_opened: 0 }
    }

    /// Takes the next bytes, all of them, and tells what they are.
    ///
    /// # Errors
    /// [`SpdyError`], or what `tell` returns; the decoder must not be used any more.
    pub fn read<E: From<SpdyError>>(
        &mut self,
        mut input: &[u8],
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !input.is_empty() {
            match self.data.take() {
                Some(data) => self.read_data(data, &mut input, tell)?,
                None => self.read_frame(&mut input, tell)?,
            }
        }
        Ok(())
    }

    /// Whether the stream may end here.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.frame.is_empty() && self.data.is_none()
    }

    fn read_data<E: From<SpdyError>>(
        &mut self,
        data: Data,
        input: &mut &[u8],
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (bytes, rest) = input.split_at(data.left.min(input.len()));
        *input = rest;
        let left = data.left - bytes.len();
        if left > 0 {
            self.data = Some(Data { left, ..data });
        }
        tell(Event::Data { stream: data.stream, bytes, fin: data.fin && left == 0 })
    }

    fn read_frame<E: From<SpdyError>>(
        &mut self,
        input: &mut &[u8],
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.fill(HEADER, input);
        let Some(header) = self.frame.first_chunk::<HEADER>() else { return Ok(()) };
        let [first, .., flags, _, _, _] = *header;
        let length = word(&header[4..]) as usize & MAX_DATA;
        if first & CONTROL == 0 {
            let data = Data { stream: word(header), fin: flags & FIN != 0, left: length };
            self.frame.clear();
            return self.begin_data(data, flags, tell);
        }
        if length > self.limits.control {
            return Err(SpdyError::TooLong(length).into());
        }
        self.fill(HEADER + length, input);
        if self.frame.len() < HEADER + length {
            return Ok(());
        }
        let control = control(self.sender, &mut self.last_opened, &mut self.inflater, &self.frame)?;
        tell(Event::Control { control, raw: &self.frame })?;
        self.frame.clear();
        Ok(())
    }

    fn begin_data<E: From<SpdyError>>(
        &mut self,
        data: Data,
        flags: u8,
        tell: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if flags & !FIN != 0 {
            return Err(SpdyError::Flags(flags).into());
        }
        if data.stream == 0 {
            return Err(SpdyError::Stream(0).into());
        }
        if data.left == 0 {
            // Nothing may follow for long.
            return tell(Event::Data { stream: data.stream, bytes: &[], fin: data.fin });
        }
        self.data = Some(data);
        Ok(())
    }

    fn fill(&mut self, length: usize, input: &mut &[u8]) {
        let missing = length.saturating_sub(self.frame.len());
        let (part, rest) = input.split_at(missing.min(input.len()));
        self.frame.extend_from_slice(part);
        *input = rest;
    }
}

fn control(
    sender: Side,
    last_opened: &mut u32,
    inflater: &mut Inflater,
    frame: &[u8],
) -> Result<Control, SpdyError> {
    let (head, body) = frame.split_at(HEADER);
    let version = u16::from_be_bytes([head[0] & !CONTROL, head[1]]);
    if version != VERSION {
        return Err(SpdyError::Version(version));
    }
    let (kind, flags) = (u16::from_be_bytes([head[2], head[3]]), head[4]);
    let (allowed, fits) = match kind {
        1 => (FIN | UNIDIRECTIONAL, body.len() >= 10),
        2 | 8 => (FIN, body.len() >= 4),
        3 | 7 | 9 => (0, body.len() == 8),
        4 => (CLEAR_SETTINGS, body.len() >= 4 && (body.len() - 4) as u64 == u64::from(word(body)) * 8),
        6 => (0, body.len() == 4),
        _ => return Err(SpdyError::Type(kind)),
    };
    if flags & !allowed != 0 {
        return Err(SpdyError::Flags(flags));
    }
    if !fits {
        return Err(SpdyError::Length(kind, body.len()));
    }
    let (first, fin) = (word(body), flags & FIN != 0);
    let second = || word(&body[4..]);
    Ok(match kind {
        1 => {
            let stream = stream(first)?;
            if stream <= *last_opened || (stream % 2 == 1) != (sender == Side::Client) {
                return Err(SpdyError::Stream(stream));
            }
            *last_opened = stream;
            let unidirectional = flags & UNIDIRECTIONAL != 0;
            Control::SynStream { stream, fin, unidirectional, headers: inflater.headers(&body[10..])? }
        }
        2 => Control::SynReply { stream: stream(first)?, fin, headers: inflater.headers(&body[4..])? },
        3 => Control::RstStream { stream: stream(first)?, status: second() },
        4 => Control::Settings,
        6 => Control::Ping(first),
        7 => Control::GoAway { last: first, status: second() },
        8 => Control::Headers { stream: stream(first)?, fin, headers: inflater.headers(&body[4..])? },
        _ => Control::WindowUpdate { stream: first, delta: second() },
    })
}

/// An id of 31 bits: readers differ in what they make of the bit above.
fn stream(id: u32) -> Result<u32, SpdyError> {
    if id == 0 || id >> 31 != 0 { Err(SpdyError::Stream(id)) } else { Ok(id) }
}

/// The first four bytes, of at least so many.
fn word(bytes: &[u8]) -> u32 {
    bytes[..4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// Writes the header of a DATA frame.
///
/// # Panics
/// When the length is more than [`MAX_DATA`].
pub fn write_data_header(out: &mut impl BufMut, stream: u32, fin: bool, length: usize) {
    assert!(length <= MAX_DATA, "a DATA frame holds {MAX_DATA} bytes at most");
    out.put_u32(stream);
    out.put_u32(u32::from(if fin { FIN } else { 0 }) << 24 | length as u32);
}

/// Reads anything as either direction, whole and in pieces, which must come to the same. The first byte says how
/// long the pieces are. For fuzzing.
#[doc(hidden)]
pub fn fuzz_spdy(data: &[u8]) {
    let (size, wire) = data.split_first().map_or((1, data), |(size, wire)| (usize::from(*size).max(1), wire));
    for sender in [Side::Client, Side::Server] {
        assert_eq!(told(sender, wire, usize::MAX), told(sender, wire, size), "in pieces of {size}");
    }
}

fn told(sender: Side, wire: &[u8], size: usize) -> (Vec<String>, Vec<u8>, Result<bool, SpdyError>) {
    let (mut decoder, mut controls, mut bytes) =
        (Decoder::new(sender, Limits::default()), Vec::new(), Vec::new());
    let read = wire.chunks(size).try_for_each(|piece| {
        decoder.read::<SpdyError>(piece, &mut |event| {
            match event {
                Event::Control { control, raw } => controls.push(format!("{control:?} {raw:?}")),
                Event::Data { bytes: data, .. } => bytes.extend_from_slice(data),
            }
            Ok(())
        })
    });
    (controls, bytes, read.map(|()| decoder.is_at_boundary()))
}

#[cfg(test)]
pub(crate) mod encode;
#[cfg(test)]
mod tests;
