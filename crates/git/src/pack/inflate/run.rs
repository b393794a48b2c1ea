//! Symbols of a block, fast: where there are more bytes of input, and more room, than any of them can need.

use super::{
    AHEAD, InflateError, MADE, OUT, WINDOW,
    codes::{Codes, Entry},
};

/// A run through symbols.
pub(super) struct Run {
    /// Bits that were read, the next lowest. Above those that count there may be more of the same input.
    pub(super) bits: u64,
    pub(super) count: u32,
    /// Where the end of what was made is.
    pub(super) at: usize,
    /// Bytes of the input that were read.
    pub(super) read: usize,
}

impl Run {
    /// Makes what symbols say; whether the block ended.
    pub(super) fn symbols(
        &mut self,
        codes: &Codes,
        input: &[u8],
        out: &mut [u8; OUT],
    ) -> Result<bool, InflateError> {
        let Codes { literals, distances } = codes;
        // A copy of it that nothing points to stays in registers.
        let mut run = Self { ..*self };
        // What comes next is looked up before a copy is made, which then need not be waited for.
        let mut next = literals.first(run.fill(input));
        let ended = loop {
            if input.len() - run.read < AHEAD || run.at >= WINDOW + MADE {
                break false;
            }
            // Three code words have 45 bits at most, and 5 more if the last is a length's.
            for _ in 0..2 {
                if next.is_literal() {
                    run.literal(next, out);
                    next = literals.first(run.bits);
                }
            }
            if next.is_pointer() {
                run.drop(next);
                next = literals.second(next, run.bits);
            }
            if next.is_literal() {
                run.literal(next, out);
                next = literals.first(run.fill(input));
                continue;
            }
            if next.is_special() {
                run.drop(next);
                if next.is_end() {
                    break true;
                }
                return Err(InflateError("a symbol is of no known code"));
            }
            let length = next.number(run.bits);
            run.drop(next);
            let mut far = distances.first(run.fill(input));
            if far.is_pointer() {
                run.drop(far);
                far = distances.second(far, run.bits);
            }
            if far.is_special() {
                return Err(InflateError("a distance is of no known code"));
            }
            let distance = far.number(run.bits);
            run.drop(far);
            next = literals.first(run.fill(input));
            run.at = copy(out, run.at, distance, length)?;
        };
        *self = run;
        Ok(ended)
    }

    /// The next bits: 56 at least, where the input has eight more bytes.
    #[inline(always)]
    fn fill(&mut self, input: &[u8]) -> u64 {
        if let Some(word) = input.get(self.read..).and_then(|rest| rest.first_chunk()) {
            // Some of these bits may be there already, and are the same.
            self.bits |= u64::from_le_bytes(*word) << self.count;
            self.read += (63 - self.count as usize) / 8;
            self.count |= 56;
        }
        self.bits
    }

    #[inline(always)]
    fn drop(&mut self, entry: Entry) {
        self.bits >>= entry.bits();
        self.count -= entry.bits();
    }

    #[inline(always)]
    fn literal(&mut self, entry: Entry, out: &mut [u8; OUT]) {
        self.drop(entry);
        out[self.at] = entry.literal();
        self.at += 1;
    }
}

/// Copies what was made; says where it ends. Writes up to 31 bytes more.
#[inline(always)]
pub(super) fn copy(
    out: &mut [u8; OUT],
    at: usize,
    distance: usize,
    length: usize,
) -> Result<usize, InflateError> {
    let from = at.checked_sub(distance).ok_or(InflateError("a distance is too far"))?;
    if distance >= 16 {
        // Most are no longer.
        word::<16>(out, from, at);
        word::<16>(out, from + 16, at + 16);
        for done in (32..length).step_by(16) {
            word::<16>(out, from + done, at + done);
        }
    } else if distance == 1 {
        let bytes = [out[from]; 16];
        for done in (0..length).step_by(16) {
            store(out, at + done, bytes);
        }
    } else {
        // What a word writes behind its step, the next one writes again.
        for done in (0..length).step_by(distance.min(8)) {
            word::<8>(out, from + done, at + done);
        }
    }
    Ok(at + length)
}

#[inline(always)]
fn word<const N: usize>(out: &mut [u8; OUT], from: usize, at: usize) {
    if let Some(word) = out.get(from..).and_then(|rest| rest.first_chunk::<N>()) {
        store(out, at, *word);
    }
}

#[inline(always)]
fn store<const N: usize>(out: &mut [u8; OUT], at: usize, word: [u8; N]) {
    if let Some(to) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *to = word;
    }
}
