//! pkt-lines: the frames of git's protocols (gitprotocol-common), read and written without I/O.
//!
//! A frame is four hexadecimal digits, its whole length, and its data. An empty frame (`0004`) is
//! data as any other: git sends it for an empty push option, and an empty band packet keeps a
//! connection alive. [`Packets`] joins frames that arrive in pieces; [`decode`] reads one of a slice.

use bytes::BufMut;

/// The longest frame, its length included.
pub const MAX_FRAME: usize = 65520;
/// The longest data of a frame.
pub const MAX_DATA: usize = MAX_FRAME - HEADER;
/// The end of a section.
pub const FLUSH: &[u8] = b"0000";
/// The separator of a section's parts, in version 2.
pub const DELIMITER: &[u8] = b"0001";

const HEADER: usize = 4;

/// A frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0000`.
    Flush,
    /// `0001`.
    Delimiter,
    /// `0002`.
    ResponseEnd,
    /// Data, with the line feed that most senders end it with.
    Data(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// The data without one line feed at its end.
    pub fn line(self) -> Option<&'a [u8]> {
        match self {
            Self::Data(data) => Some(data.strip_suffix(b"\n").unwrap_or(data)),
            Self::Flush | Self::Delimiter | Self::ResponseEnd => None,
        }
    }
}

/// What a slice begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole frame.
    Complete {
        /// It.
        packet: Packet<'a>,
        /// Its length in the slice.
        consumed: usize,
    },
    /// A part of a frame.
    Incomplete {
        /// Bytes that it lacks at least.
        needed: usize,
    },
}

/// The sender: this is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pkt-line does not begin with a length of 0004 to fff0 or a marker of 0000 to 0002")]
pub struct PktError;

/// Reads the frame at the beginning of a slice.
///
/// # Errors
/// [`PktError`].
pub fn decode(input: &[u8]) -> Result<Decoded<'_>, PktError> {
    let size = frame_size(input)?;
    if input.len() < size {
        return Ok(Decoded::Incomplete { needed: size - input.len() });
    }
    let packet = match &input[..HEADER] {
        b"0000" => Packet::Flush,
        b"0001" => Packet::Delimiter,
        b"0002" => Packet::ResponseEnd,
        _ => Packet::Data(&input[HEADER..size]),
    };
    Ok(Decoded::Complete { packet, consumed: size })
}

/// The size of the frame at the beginning of a slice; four while its length is not yet there.
fn frame_size(input: &[u8]) -> Result<usize, PktError> {
    let mut size = 0;
    for byte in input.iter().take(HEADER) {
        let digit = char::from(*byte).to_digit(16).ok_or(PktError)?;
        size = (size << 4) | digit as usize;
    }
    if input.len() < HEADER {
        return Ok(HEADER);
    }
    match size {
        0..=2 => Ok(HEADER),
        HEADER..=MAX_FRAME => Ok(size),
        _ => Err(PktError),
    }
}

/// Joins frames of a stream that is cut anywhere; holds one unfinished frame at most.
#[derive(Debug, Default)]
pub struct Packets {
    pending: Vec<u8>,
    spent: bool,
}

impl Packets {
    /// Takes the next frame off the input; `None` when all of it was taken and a frame is unfinished.
    ///
    /// # Errors
    /// [`PktError`]; the stream makes no sense any more.
    pub fn next<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Result<Option<Packet<'a>>, PktError> {
        if std::mem::take(&mut self.spent) {
            self.pending.clear();
        }
        if self.pending.is_empty()
            && let Decoded::Complete { packet, consumed } = decode(input)?
        {
            *input = &input[consumed..];
            return Ok(Some(packet));
        }
        loop {
            let missing = frame_size(&self.pending)?.saturating_sub(self.pending.len());
            if missing == 0 {
                break;
            }
            let (taken, rest) = input.split_at(missing.min(input.len()));
            if taken.is_empty() {
                return Ok(None);
            }
            self.pending.extend_from_slice(taken);
            *input = rest;
        }
        self.spent = true;
        match decode(&self.pending)? {
            Decoded::Complete { packet, .. } => Ok(Some(packet)),
            Decoded::Incomplete { .. } => Ok(None),
        }
    }

    /// The bytes of the unfinished frame.
    pub fn pending(&self) -> &[u8] {
        if self.spent { &[] } else { &self.pending }
    }
}

/// Writes a frame.
///
/// # Panics
/// When the data is longer than [`MAX_DATA`].
pub fn write(out: &mut impl BufMut, data: &[u8]) {
    assert!(data.len() <= MAX_DATA, "a pkt-line holds {MAX_DATA} bytes at most");
    out.put_slice(format!("{:04x}", data.len() + HEADER).as_bytes());
    out.put_slice(data);
}

/// A channel of the side-band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// What the client asked for.
    Data = 1,
    /// Text for the person at the client, printed behind `remote:`.
    Progress = 2,
    /// Text of an error that ends the exchange.
    Error = 3,
}

impl Band {
    /// The channel of a frame's data, and what it carries.
    pub fn of(data: &[u8]) -> Option<(Self, &[u8])> {
        let (band, payload) = data.split_first()?;
        let band =
            [Self::Data, Self::Progress, Self::Error].into_iter().find(|known| *known as u8 == *band)?;
        Some((band, payload))
    }
}

/// Writes data on a channel, in as many frames as it takes; an empty one for no data.
pub fn write_band(out: &mut impl BufMut, band: Band, data: &[u8]) {
    let mut rest = data;
    loop {
        let (part, after) = rest.split_at(rest.len().min(MAX_DATA - 1));
        out.put_slice(format!("{:04x}", part.len() + HEADER + 1).as_bytes());
        out.put_u8(band as u8);
        out.put_slice(part);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// Reads anything as frames, whole and in pieces, which must come to the same; what was read survives being
/// written and read again. The last byte says how long the pieces are. For fuzzing.
#[doc(hidden)]
pub fn fuzz_pkt(data: &[u8]) {
    let (size, wire) = data.split_last().map_or((1, data), |(size, wire)| (usize::from(*size).max(1), wire));
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut packets, mut written) = (Packets::default(), Vec::new());
        for mut piece in pieces {
            loop {
                match packets.next(&mut piece) {
                    Ok(Some(Packet::Flush)) => written.extend_from_slice(FLUSH),
                    Ok(Some(Packet::Delimiter)) => written.extend_from_slice(DELIMITER),
                    Ok(Some(Packet::ResponseEnd)) => written.extend_from_slice(b"0002"),
                    Ok(Some(Packet::Data(data))) => write(&mut written, data),
                    Ok(None) => break,
                    Err(error) => return (written, Err(error)),
                }
            }
        }
        let pending = packets.pending().to_vec();
        (written, Ok(pending))
    };
    let whole = read(&mut std::iter::once(wire));
    assert_eq!(read(&mut wire.chunks(size)), whole, "a split changed the meaning");
    let (written, _) = whole;
    assert_eq!(read(&mut std::iter::once(&*written)), (written, Ok(Vec::new())));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_frames() {
        let complete = |packet, consumed| Ok(Decoded::Complete { packet, consumed });
        let check = |input: &[u8], expected| assert_eq!(decode(input), expected, "{input:?}");
        check(b"0000rest", complete(Packet::Flush, 4));
        check(b"0001", complete(Packet::Delimiter, 4));
        check(b"0002", complete(Packet::ResponseEnd, 4));
        check(b"0004", complete(Packet::Data(b""), 4));
        check(b"0008abcdrest", complete(Packet::Data(b"abcd"), 8));
        check(b"000Aabcde\n", complete(Packet::Data(b"abcde\n"), 10));
        check(b"", Ok(Decoded::Incomplete { needed: 4 }));
        check(b"00", Ok(Decoded::Incomplete { needed: 2 }));
        check(b"0008a", Ok(Decoded::Incomplete { needed: 3 }));
        for bad in [&b"0003"[..], b"fff1", b"ffff", b"x", b"00 8", b"-001", b"+004", b"PACK"] {
            check(bad, Err(PktError));
        }
        assert_eq!(decode(b"fff0"), Ok(Decoded::Incomplete { needed: MAX_DATA }));
    }

    #[test]
    fn splits_long_band_data() {
        let mut out = Vec::new();
        write_band(&mut out, Band::Data, &vec![b'x'; MAX_DATA]);
        assert_eq!(&out[..5], b"fff0\x01");
        assert_eq!(&out[MAX_FRAME..], b"0006\x01x");
        out.clear();
        write_band(&mut out, Band::Data, b"");
        assert_eq!(out, b"0005\x01");
    }

    proptest! {
        #[test]
        fn reads_anything(noise in "[0-9a-f]{0,6}[ -~]{0,20}[0-9a-f]{0,6}", more in any::<Vec<u8>>()) {
            fuzz_pkt(noise.as_bytes());
            fuzz_pkt(&more);
        }

        #[test]
        fn joins_frames_under_every_split(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(1usize..9, 1..40),
        ) {
            let mut wire = Vec::new();
            for line in &lines {
                write(&mut wire, line);
            }
            wire.extend_from_slice(FLUSH);
            wire.extend_from_slice(b"00");

            let (mut packets, mut seen, mut flushed) = (Packets::default(), Vec::new(), false);
            let mut cuts = cuts.into_iter().cycle();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let (mut piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                while let Some(packet) = packets.next(&mut piece).unwrap() {
                    flushed |= packet == Packet::Flush;
                    if let Packet::Data(data) = packet {
                        seen.push(data.to_vec());
                    }
                }
                rest = after;
            }
            prop_assert_eq!(seen, lines);
            prop_assert!(flushed);
            prop_assert_eq!(packets.pending(), b"00");
        }
    }
}
