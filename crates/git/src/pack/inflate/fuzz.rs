//! Any stream beside zlib: what the fuzz target in `fuzz/` runs, and the tests.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Inflate, InflateError};

/// What a stream makes, and how many bytes it takes. `None` if it is cut short.
type Made<E> = Result<Option<(Vec<u8>, usize)>, E>;

/// Inflates anything, in pieces of a size that the first byte says, and by zlib.
///
/// # Panics
/// Where they differ.
#[doc(hidden)]
pub fn fuzz_inflate(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else { return };
    if stream.get(1).is_some_and(|flags| flags & 0x20 != 0) {
        // It needs a dictionary: zlib says so after the name of that.
        return;
    }
    let made = inflate(&mut Inflate::new(), stream, &[usize::from(*piece) + 1]);
    assert_eq!(made.map_err(|_| ()), expected(stream).map_err(|_| ()));
}

/// In pieces of these sizes, over and over; whole without.
pub(super) fn inflate(zlib: &mut Inflate, stream: &[u8], pieces: &[usize]) -> Made<InflateError> {
    zlib.begin();
    let (mut made, mut read, mut end, mut pieces) = (Vec::new(), 0, 0, pieces.iter().cycle());
    loop {
        if read == end {
            end = pieces.next().map_or(stream.len(), |piece| stream.len().min(end + piece));
        }
        let step = zlib.step(&stream[read..end])?;
        made.extend_from_slice(step.made);
        read += step.read;
        if step.ended {
            return Ok(Some((made, read)));
        }
        if step.made.is_empty() && read == stream.len() {
            return Ok(None);
        }
    }
}

/// By zlib.
pub(super) fn expected(stream: &[u8]) -> Made<flate2::DecompressError> {
    let (mut zlib, mut made, mut out) = (Decompress::new(true), Vec::new(), vec![0; 1 << 16]);
    loop {
        let (read, before) = (zlib.total_in() as usize, zlib.total_out());
        let status = zlib.decompress(&stream[read..], &mut out, FlushDecompress::None)?;
        made.extend_from_slice(&out[..(zlib.total_out() - before) as usize]);
        if status == Status::StreamEnd {
            return Ok(Some((made, zlib.total_in() as usize)));
        }
        if zlib.total_in() as usize == read && zlib.total_out() == before {
            return Ok(None);
        }
    }
}
