//! Deltas: an object as copies from another, and insertions.

use super::PackError;

const CUT: PackError = PackError::Malformed("a delta is cut short");

/// Applies a delta to its base; what it makes must not be larger than `max`.
pub(super) fn apply(base: &[u8], delta: &[u8], max: u64) -> Result<Vec<u8>, PackError> {
    let mut result = Vec::new();
    apply_into(base, delta, max, &mut result)?;
    Ok(result)
}

/// The same, in the place of what was in `result`.
pub(super) fn apply_into(base: &[u8], delta: &[u8], max: u64, result: &mut Vec<u8>) -> Result<(), PackError> {
    let mut delta = delta;
    result.clear();
    if size(&mut delta)? != base.len() as u64 {
        return Err(PackError::Malformed("a delta is against another base"));
    }
    let size = size(&mut delta)?;
    if size > max {
        return Err(PackError::TooLarge("the size of an object that comes as a delta"));
    }
    // The size is the sender's word: memory is taken as it comes, but for what is small.
    result.reserve(size.min(64 * 1024) as usize);
    while let Some((instruction, rest)) = delta.split_first() {
        delta = rest;
        let part = match instruction {
            0 => return Err(PackError::Malformed("a delta has an instruction of no known kind")),
            copy if copy & 0x80 != 0 => {
                let start = number(&mut delta, copy & 0x0f)?;
                let length = match number(&mut delta, (copy >> 4) & 7)? {
                    0 => 0x10000,
                    length => length,
                };
                base.get(start..start + length)
            }
            length => delta.split_off(..usize::from(*length)),
        };
        result.extend_from_slice(part.ok_or(CUT)?);
        if result.len() as u64 > size {
            break;
        }
    }
    if result.len() as u64 != size {
        return Err(PackError::Malformed("a delta makes another size than it says"));
    }
    Ok(())
}

fn size(delta: &mut &[u8]) -> Result<u64, PackError> {
    let (mut size, mut shift) = (0u64, 0);
    loop {
        let byte = delta.split_off_first().ok_or(CUT)?;
        if shift > 56 {
            return Err(PackError::Malformed("a delta's size has too many digits"));
        }
        size |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
}

/// A little-endian number of which only the bytes whose bit is set are written.
fn number(delta: &mut &[u8], bits: u8) -> Result<usize, PackError> {
    let mut number = 0;
    for place in 0..4 {
        if bits & (1 << place) != 0 {
            number |= usize::from(*delta.split_off_first().ok_or(CUT)?) << (8 * place);
        }
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applies_copies_and_insertions() {
        let base = b"the quick brown fox";
        let check = |delta: &[u8], expected: Option<&[u8]>| {
            let mut made = b"what was made before".to_vec();
            let applied = apply_into(base, delta, 100, &mut made).ok().map(|()| &*made);
            assert_eq!(applied, expected, "{delta:?}");
        };
        check(b"\x13\x09\x90\x04\x05slow ", Some(b"the slow "));
        check(b"\x13\x05\x91\x04\x05", Some(b"quick"));
        check(b"\x13\x00", Some(b""));
        // Other base, cut short, past the base's end, unknown instruction, another size.
        check(b"\x12\x05\x91\x04\x05", None);
        check(b"", None);
        check(b"\x13", None);
        check(b"\x13\x05\x91\x04", None);
        check(b"\x13\x05\x05abc", None);
        check(b"\x13\x05\x91\x10\x05", None);
        check(b"\x13\x05\x80", None);
        check(b"\x13\x01\x00", None);
        check(b"\x13\x04\x91\x04\x05", None);
        check(b"\x13\x06\x91\x04\x05", None);
        check(b"\x13\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", None);
    }
}
