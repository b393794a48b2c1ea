//! Shannon entropy, in bits per byte: of a text, and of one stretch of a stream after the other.

use std::sync::LazyLock;

/// How long a secret is whose entropy needs no logarithm.
const GAINS: usize = 256;

const UNIT: f64 = (1u64 << 32) as f64;

/// For each `n`, in units of 2^-32: `n * log2(n)`, and by how much that grows with the next one.
static TABLE: LazyLock<[(u64, u64); GAINS]> = LazyLock::new(|| {
    let log = |n: usize| if n == 0 { 0 } else { (n as f64 * (n as f64).log2() * UNIT).round() as u64 };
    std::array::from_fn(|n| (log(n), log(n + 1) - log(n)))
});

/// Shannon entropy of the bytes of `secret`, in bits per byte.
#[must_use]
pub fn entropy(secret: &[u8]) -> f32 {
    if secret.len() < GAINS {
        let mut histogram = Histogram::default();
        histogram.add(secret);
        return histogram.entropy(secret.len());
    }
    let (mut counts, mut seen) = ([0u32; 256], [0u64; 4]);
    for &byte in secret {
        counts[usize::from(byte)] += 1;
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    let total = secret.len() as f32;
    // Most bytes of a secret occur as often as the one before.
    let mut last = (0, 0.0);
    bits(seen)
        .map(|byte| {
            let count = counts[byte];
            if last.0 != count {
                let share = count as f32 / total;
                last = (count, -share * share.log2());
            }
            last.1
        })
        .sum()
}

/// How often each byte occurs in less than [`GAINS`] of them, and the sum over all that occur, `n` times each, of
/// `n * log2(n)`: in whole numbers, so that what is added and taken away again leaves nothing behind.
struct Histogram {
    counts: [u8; 256],
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; 256], sum: 0 }
    }
}

impl Histogram {
    fn add(&mut self, bytes: &[u8]) {
        let table = &*TABLE;
        for &byte in bytes {
            let count = &mut self.counts[usize::from(byte)];
            self.sum += table[usize::from(*count)].1;
            *count += 1;
        }
    }

    fn take_away(&mut self, bytes: &[u8]) {
        let table = &*TABLE;
        for &byte in bytes {
            let count = &mut self.counts[usize::from(byte)];
            *count -= 1;
            self.sum -= table[usize::from(*count)].1;
        }
    }

    /// With `len` bytes in it.
    fn entropy(&self, len: usize) -> f32 {
        let bits = (TABLE[len].0 - self.sum) as f64 / UNIT;
        if len == 0 { 0.0 } else { (bits / len as f64) as f32 }
    }
}

/// The entropy of stretches of one stream. Where many matches begin a few bytes apart, each differs from the one
/// before by these bytes only.
#[derive(Default)]
pub(crate) struct Rolling {
    histogram: Histogram,
    /// What is in it.
    from: u64,
    to: u64,
}

impl Rolling {
    /// The entropy of `from..to`; `bytes` gives a stretch of the stream, in two parts, and what is before `base` is
    /// gone.
    pub(crate) fn of<'a>(
        &mut self,
        from: u64,
        to: u64,
        base: u64,
        bytes: impl Fn(u64, u64) -> [&'a [u8]; 2],
    ) -> f32 {
        let len = (to - from) as usize;
        if len >= GAINS {
            let [first, second] = bytes(from, to);
            return if second.is_empty() { entropy(first) } else { entropy(&[first, second].concat()) };
        }
        let is_near = base <= self.from
            && self.from <= from
            && self.to <= to
            && (from - self.from) + (to - self.to) < to - from;
        if is_near {
            bytes(self.from, from).iter().for_each(|gone| self.histogram.take_away(gone));
            bytes(self.to, to).iter().for_each(|new| self.histogram.add(new));
        } else {
            self.histogram = Histogram::default();
            bytes(from, to).iter().for_each(|new| self.histogram.add(new));
        }
        (self.from, self.to) = (from, to);
        self.histogram.entropy(len)
    }
}

/// The places of the bits that are set, from the lowest on.
fn bits(set: [u64; 4]) -> impl Iterator<Item = usize> {
    (0..).step_by(64).zip(set).flat_map(|(first, mut word)| {
        std::iter::from_fn(move || {
            let place = (word != 0).then(|| first + word.trailing_zeros() as usize);
            word &= word.wrapping_sub(1);
            place
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rolls_from_one_stretch_to_the_next(
            text in proptest::collection::vec(proptest::sample::select(b"aaab0_".to_vec()), 600),
            stretches in proptest::collection::vec((0usize..4, 0usize..300, 0usize..300), 1..40),
        ) {
            let (mut rolling, mut from) = (Rolling::default(), 0);
            for (on, len, base) in stretches {
                from = (from + on).min(text.len());
                let to = (from + len).min(text.len());
                let (base, seam) = (base.min(from) as u64, from + len / 2);
                let bytes = |from: u64, to: u64| {
                    assert!(base <= from, "what is gone is not asked for");
                    let seam = (seam as u64).clamp(from, to);
                    [&text[from as usize..seam as usize], &text[seam as usize..to as usize]]
                };
                prop_assert_eq!(rolling.of(from as u64, to as u64, base, bytes), entropy(&text[from..to]));
            }
        }
    }
}
