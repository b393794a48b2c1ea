//! Octets on their way to a file, in memory at the same distance from a page as they will be in the file: so the system
//! can take them from there without a copy of its own.

use std::mem;

/// What disks are divided into, or a multiple of it, and so what writing around the system's pages has to keep to.
pub(crate) const PAGE: usize = 4096;

/// See the module. One that had to grow may have lost its place, until it [begins](Buffer::begin) again.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where the octets begin.
    start: usize,
}

impl Buffer {
    /// Empties it, for octets from this place of the file on. Its memory is kept.
    pub(crate) fn begin(&mut self, place: u64) {
        self.bytes.clear();
        self.bytes.reserve(2 * PAGE);
        self.start = self.bytes.as_ptr().align_offset(PAGE) + (place % PAGE as u64) as usize;
        self.bytes.resize(self.start, 0);
    }

    /// What is in it.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// To append to: what was in it before stays as it is.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes out all but the last `left` octets. Those go on in `empty`, from this place of the file on.
    pub(crate) fn take(&mut self, left: usize, place: u64, mut empty: Self) -> Self {
        empty.begin(place);
        let kept = self.bytes.len() - left;
        empty.bytes.extend_from_slice(&self.bytes[kept..]);
        self.bytes.truncate(kept);
        mem::replace(self, empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_lie_as_in_the_file() {
        let mut buffer = Buffer::default();
        for place in [0, 1, 4095, 4096, 3 * 4096 + 17] {
            buffer.begin(place);
            assert_eq!(buffer.octets(), b"");
            buffer.end().push(7);
            assert_eq!(buffer.octets(), [7]);
            assert_eq!(buffer.octets().as_ptr().addr() % PAGE, place as usize % PAGE);
        }
    }

    #[test]
    fn what_is_left_lies_as_in_the_file() {
        for (place, length, left) in [(0, PAGE, 0), (0, PAGE + 5, 5), (4000, 100, 4), (17, 9, 9), (17, 0, 0)]
        {
            let octets: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut buffer = Buffer::default();
            buffer.begin(place);
            buffer.end().extend_from_slice(&octets);
            let place = place + (length - left) as u64;
            let taken = buffer.take(left, place, Buffer::default());
            assert_eq!((taken.octets(), buffer.octets()), octets.split_at(length - left));
            assert_eq!(buffer.octets().as_ptr().addr() % PAGE, place as usize % PAGE);
        }
    }
}
