//! The search for quads. Text is full of windows that some quad contains, and no processor foresees where; so a
//! stretch is searched in rounds, each of which tells the next what it has to look at, without a branch for what it
//! finds.

use super::Filter;

/// Bytes that are searched at once: a bit for each window, one at every other byte.
const STRETCH: usize = 128;

/// Bytes behind a stretch that its last window and the quads at it need.
const AHEAD: usize = 4;

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

    /// Searches on; false if too little is left.
    #[inline(never)]
    fn search(&mut self) -> bool {
        const { assert!(STRETCH <= 2 * u64::BITS as usize && STRETCH < 256) };
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            // Of a whole stretch the compiler knows how long it is.
            let (windows, searched) = if let Some(stretch) = rest.first_chunk::<{ STRETCH + AHEAD }>() {
                (self.filter.windows(stretch), STRETCH)
            } else {
                let searched = rest.len().saturating_sub(AHEAD) / 2 * 2;
                if searched == 0 {
                    return false;
                }
                (self.filter.windows(&rest[..searched + AHEAD]), searched)
            };
            self.base = self.at;
            (self.head, self.len) = (0, self.filter.quads(rest, windows, &mut self.queue));
            self.at += searched;
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
    /// The first round: the windows that some quad contains, the first lowest. One sees the quads that begin one byte
    /// before it, where it is counted, and at it.
    #[inline(always)]
    fn windows(&self, text: &[u8]) -> u64 {
        let mut windows = 0;
        for place in (0..text.len() - AHEAD).step_by(2).rev() {
            let window = text[place + 1..].first_chunk().map_or(0, |window| u32::from_le_bytes(*window));
            windows = windows << 1 | self.probe(window);
        }
        windows
    }

    /// The second round: the places of what is in the table of quads, at one of `windows` or one byte after.
    #[inline(always)]
    fn quads(&self, text: &[u8], mut windows: u64, places: &mut [u8; 256]) -> usize {
        let mut count = 0;
        while windows != 0 {
            let place = 2 * windows.trailing_zeros() as u8;
            windows &= windows - 1;
            for place in [place, place + 1] {
                let Some(quad) = text[usize::from(place)..].first_chunk() else { break };
                places[count % 256] = place;
                count += usize::from(self.sees(u32::from_le_bytes(*quad)));
            }
        }
        count
    }
}
