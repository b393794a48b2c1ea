//! Parts of packs at hand: what is read next mostly stands near what was read before.

use std::io::{self, BufRead, BufReader, Read};

use super::{PackError, Source};

/// Bytes of one part.
const SIZE: usize = 32 * 1024;
/// Bytes of it before what it was read for.
const BEFORE: u64 = 8 * 1024;
/// Bytes behind an offset that a part holds at least to be of use, or all that there is.
const LEAST: usize = 1024;
/// Bytes that are read at once behind a part.
const BUFFER: usize = 8 * 1024;
/// How many parts.
const PARTS: usize = 16;

/// The parts that were used last, that of the last use first.
#[derive(Default)]
pub(super) struct Windows(Vec<Window>);

struct Window {
    pack: usize,
    start: u64,
    bytes: Vec<u8>,
}

impl Windows {
    /// A reader from an offset of the pack of that number.
    pub(super) fn reader<'a, S: Source>(
        &'a mut self,
        source: &'a S,
        pack: usize,
        offset: u64,
    ) -> Result<impl BufRead + 'a, PackError> {
        match self.0.iter().position(|window| window.holds(pack, offset)) {
            Some(place) => self.0[..=place].rotate_right(1),
            None => {
                let mut bytes = match self.0.len() {
                    PARTS => self.0.pop().map(|window| window.bytes).unwrap_or_default(),
                    _ => Vec::with_capacity(SIZE),
                };
                let start = offset.saturating_sub(BEFORE);
                bytes.clear();
                #[expect(clippy::disallowed_methods, reason = "limited")]
                source.reader(start).take(SIZE as u64).read_to_end(&mut bytes)?;
                self.0.insert(0, Window { pack, start, bytes });
            }
        }
        let Window { start, bytes, .. } = &self.0[0];
        let at_hand = usize::try_from(offset - start).ok().and_then(|skip| bytes.get(skip..));
        let (at_hand, end) = (at_hand.unwrap_or_default(), start + bytes.len() as u64);
        Ok(Behind { at_hand, open: Some(move || source.reader(end)), beyond: None })
    }
}

/// Reads what is at hand, and only where that does not do what is behind it.
struct Behind<'a, F, R> {
    at_hand: &'a [u8],
    open: Option<F>,
    beyond: Option<BufReader<R>>,
}

impl<F: FnOnce() -> R, R: Read> BufRead for Behind<'_, F, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if !self.at_hand.is_empty() {
            return Ok(self.at_hand);
        }
        if let Some(open) = self.open.take() {
            self.beyond = Some(BufReader::with_capacity(BUFFER, open()));
        }
        self.beyond.as_mut().map_or(Ok(&[]), BufRead::fill_buf)
    }

    fn consume(&mut self, amount: usize) {
        match &mut self.beyond {
            Some(beyond) => beyond.consume(amount),
            None => self.at_hand = &self.at_hand[amount..],
        }
    }
}

impl<F: FnOnce() -> R, R: Read> Read for Behind<'_, F, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl Window {
    fn holds(&self, pack: usize, offset: u64) -> bool {
        let end = self.start + self.bytes.len() as u64;
        let is_last = self.bytes.len() < SIZE;
        let least = if is_last { 1 } else { LEAST as u64 };
        self.pack == pack && self.start <= offset && offset + least <= end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_same_wherever_it_was_before() {
        let first: Vec<u8> = (0..100_000u32).map(|n| (n ^ n >> 7) as u8).collect();
        let second: Vec<u8> = first.iter().rev().copied().collect();
        let packs = [&*first, &*second];
        let (mut windows, mut offset) = (Windows::default(), 7);
        for turn in 0..500usize {
            let (number, length) = (turn % 2, [1, 40, 5000, 40_000][turn % 4]);
            let mut read = Vec::new();
            let reader = windows.reader(&packs[number], number, offset as u64).unwrap();
            #[expect(clippy::disallowed_methods, reason = "limited")]
            reader.take(length).read_to_end(&mut read).unwrap();
            let expected = &packs[number][offset.min(first.len())..];
            assert_eq!(read, expected[..expected.len().min(length as usize)], "{length} at {offset}");
            // Near, far, at the end and behind it.
            offset = [offset + 90, offset * 31 % 100_100, 99_990, offset.saturating_sub(3000)][turn % 3];
        }
        assert_eq!(windows.0.len(), PARTS);
    }
}
