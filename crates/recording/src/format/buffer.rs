//! Octets on their way to a file, in memory at the same distance from a page as they will be in the file: so the system
//! can take them from there without a copy of its own.

use std::mem;

/// What a disk and the system's memory are divided into, at most where we know of.
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

    /// To append to, and for nothing else.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes out what there is up to the last page that ends here, where the whole ends at `place`. What is left goes on
    /// in `empty`.
    pub(crate) fn take_pages(&mut self, place: u64, mut empty: Self) -> Self {
        let left = ((place % PAGE as u64) as usize).min(self.octets().len());
        empty.begin(place - left as u64);
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
    fn what_fills_no_page_is_left() {
        let octets: Vec<u8> = (0..3 * PAGE).map(|at| (at % 251) as u8).collect();
        for (place, length, taken) in [
            (0, 2 * PAGE + 5, 2 * PAGE),
            (0, PAGE, PAGE),
            (4000, 100, 96),
            (4000, 95, 0),
            (0, 9, 0),
            (1, 0, 0),
        ] {
            let mut buffer = Buffer::default();
            buffer.begin(place);
            buffer.end().extend_from_slice(&octets[..length]);
            let pages = buffer.take_pages(place + length as u64, Buffer::default());
            assert_eq!(
                (pages.octets(), buffer.octets()),
                octets[..length].split_at(taken),
                "{place}, {length}"
            );
            if length > taken {
                let begin = (place as usize + taken) % PAGE;
                assert_eq!(buffer.octets().as_ptr().addr() % PAGE, begin, "{place}, {length}");
            }
        }
    }
}
