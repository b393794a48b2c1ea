//! The search for quads. Text is full of windows that some quad contains, and no processor foresees where; so a
//! stretch is searched in rounds, each of which writes down what the next has to look at, without a branch for
//! what it finds.

use super::Filter;

/// What is searched at once: blocks, each of which tells of the quads that begin in its first bytes.
const BLOCKS: usize = 21;
const BLOCK: usize = 16;
const STEP: usize = 12;

/// How many windows a block has, every other byte.
const WINDOWS: usize = STEP / 2;

/// The places in a text where a quad begins, in order.
pub(crate) struct Places<'a> {
    filter: &'a Filter,
    text: &'a [u8],
    /// Up to where the text was searched.
    at: usize,
    /// Where that stretch begins, of which `queue` tells places that may be ones.
    base: usize,
    queue: [u8; 256],
    /// Those of `queue` that were not looked at yet.
    head: usize,
    len: usize,
}

impl<'a> Places<'a> {
    pub(super) fn new(filter: &'a Filter, text: &'a [u8], from: usize) -> Self {
        Self { filter, text, at: from, base: from, queue: [0; 256], head: 0, len: 0 }
    }

    /// Searches on; false if too little is left for a block.
    #[inline(never)]
    fn search(&mut self) -> bool {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let blocks = (rest.len().saturating_sub(BLOCK - STEP) / STEP).min(BLOCKS);
            if blocks == 0 {
                return false;
            }
            let (windows, count) = self.filter.windows(rest, blocks);
            self.base = self.at;
            (self.head, self.len) = (0, self.filter.quads(rest, &windows[..count], &mut self.queue));
            self.at += blocks * STEP;
            if self.len > 0 {
                return true;
            }
        }
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        loop {
            while self.head < self.len {
                let place = self.base + usize::from(self.queue[self.head]);
                self.head += 1;
                if self.filter.begins(self.text, place) {
                    return Some(place);
                }
            }
            if !self.search() {
                break;
            }
        }
        // The last bytes, one by one.
        while self.at + 3 < self.text.len() {
            self.at += 1;
            if self.filter.begins(self.text, self.at - 1) {
                return Some(self.at - 1);
            }
        }
        None
    }
}

impl Filter {
    /// The first round: the places before windows that some quad contains, and how many they are. A window sees the
    /// quads that begin at it and one byte before.
    #[inline(always)]
    fn windows(&self, text: &[u8], blocks: usize) -> ([u8; 128], usize) {
        // A place behind the last for what is written and not counted.
        let (mut places, mut count) = ([0; 128], 0);
        const { assert!(BLOCKS * WINDOWS < 128 && BLOCKS * STEP <= 256) };
        for index in 0..blocks {
            let Some(block) = text[index * STEP..].first_chunk::<BLOCK>() else { break };
            let block = u128::from_le_bytes(*block);
            let (low, high) = ((block >> 8) as u64, (block >> 56) as u64);
            let windows: [u64; WINDOWS] = [low, low >> 16, low >> 32, high, high >> 16, high >> 32];
            for (window, bytes) in windows.into_iter().enumerate() {
                places[count % 128] = (index * STEP + 2 * window) as u8;
                count += self.probe(bytes) as usize;
            }
        }
        (places, count)
    }

    /// The second round: the places of what is in the table of quads, at one of `windows` or one byte after.
    #[inline(always)]
    fn quads(&self, text: &[u8], windows: &[u8], places: &mut [u8; 256]) -> usize {
        let mut count = 0;
        for &window in windows {
            let Some(&[a, b, c, d, e]) = text[usize::from(window)..].first_chunk() else { break };
            places[count % 256] = window;
            count += usize::from(self.sees(u32::from_le_bytes([a, b, c, d])));
            places[count % 256] = window + 1;
            count += usize::from(self.sees(u32::from_le_bytes([b, c, d, e])));
        }
        count
    }
}
