//! Runs of base64 in a text, of either alphabet, also wrapped into lines.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Nested;
use crate::finding::{Finding, Wrapping};

/// Shorter runs hold no secret worth the decoding.
const MIN_RUN: u64 = 24;

/// A line of wrapped base64 is at least this long.
const MIN_LINE: u64 = 60;

const BLOCK: usize = 4096;

const DECODER: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

#[derive(Debug, Default)]
pub(super) struct Base64Runs {
    /// Characters of the run that are not decoded yet.
    block: Vec<u8>,
    decoded: Vec<u8>,
    length: u64,
    start: u64,
    offset: u64,
}

impl Base64Runs {
    pub(super) fn take(&mut self, mut text: &[u8], nested: &mut Nested, findings: &mut Vec<Finding>) {
        loop {
            if self.length == 0 {
                let short = short_runs(text);
                self.offset += short as u64;
                text = &text[short..];
            }
            let Some(&first) = text.first() else { return };
            let run = run(text.iter());
            if run == 0 {
                if !(matches!(first, b'\n' | b'\r')
                    && self.length >= MIN_LINE
                    && self.length.is_multiple_of(4))
                {
                    self.finish(nested, findings);
                }
                text = &text[1..];
                self.offset += 1;
                continue;
            }
            if self.length == 0 {
                self.start = self.offset;
            }
            let part = run.min(BLOCK - self.block.len());
            self.block.extend(text[..part].iter().map(|&byte| VALUES[usize::from(byte)]));
            self.length += part as u64;
            self.offset += part as u64;
            text = &text[part..];
            if self.block.len() == BLOCK {
                self.decode();
                nested.take(&self.decoded);
            }
        }
    }

    pub(super) fn finish(&mut self, nested: &mut Nested, findings: &mut Vec<Finding>) {
        if self.length >= MIN_RUN {
            let is_whole = self.length == self.block.len() as u64;
            self.decode();
            if is_whole {
                nested.take_whole(&self.decoded);
            } else {
                nested.take(&self.decoded);
            }
            nested.conclude(self.start, Wrapping::Base64, findings);
        }
        self.block.clear();
        self.length = 0;
    }

    fn decode(&mut self) {
        self.decoded.clear();
        // A single character at the end makes no byte.
        let length = self.block.len() - usize::from(self.block.len() % 4 == 1);
        if DECODER.decode_vec(&self.block[..length], &mut self.decoded).is_err() {
            self.decoded.clear();
        }
        self.block.clear();
    }
}

/// How much of the beginning of `text` belongs to runs that are too short.
///
/// A run that is long enough holds two halves of blocks in a row, wherever it begins. In most of a text there are no
/// two such halves: it is passed over without a branch for what it holds.
fn short_runs(text: &[u8]) -> usize {
    const { assert!(MIN_RUN as usize >= 3 * HALF - 1) };
    let mut at = 0;
    // Whether the half before `at` is within a run.
    let mut before = false;
    while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let [low, high] = halves_within(block);
        if !(low & (high | before)) {
            (at, before) = (at + 2 * HALF, high);
            continue;
        }
        let start = start_of_run(text, at);
        let end = start + run(text[start..].iter().take(MIN_RUN as usize));
        if end - start == MIN_RUN as usize || end == text.len() {
            return start;
        }
        (at, before) = (end + 1, false);
    }
    start_of_run(text, at.min(text.len()))
}

/// Where the run begins that holds what is before `at`; `at`, if there is none.
fn start_of_run(text: &[u8], at: usize) -> usize {
    at - run(text[..at].iter().rev())
}

/// How many bytes from the first on are within a run.
fn run<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take_while(|&&byte| VALUES[usize::from(byte)] != 0).count()
}

/// Bytes of half a block.
const HALF: usize = 8;

/// Whether each half of a block is within a run.
#[inline(always)]
fn halves_within(block: &[u8; 2 * HALF]) -> [bool; 2] {
    let ends = u128::from_le_bytes(block.map(|byte| u8::from(!is_inside(byte))));
    [ends as u64 == 0, (ends >> 64) as u64 == 0]
}

/// Whether a byte has a value in [`VALUES`], told by comparisons, of which sixteen are made at once.
#[inline(always)]
fn is_inside(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // These but for `,` and `.`: `+ , - . / 0123456789`.
    let is_digit_or_sign = (byte.wrapping_sub(b'+') <= b'9' - b'+') & (byte & !2 != b',');
    is_letter | is_digit_or_sign | (byte == b'_')
}

/// The character of the standard alphabet that a byte stands for, or zero.
const VALUES: [u8; 256] = {
    let mut values = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        values[byte] = match character {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => character,
            b'-' => b'+',
            b'_' => b'/',
            _ => 0,
        };
        byte += 1;
    }
    values
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_inside_of_a_run_has_a_value() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_inside(byte), VALUES[usize::from(byte)] != 0, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn only_short_runs_are_passed_over(words in proptest::collection::vec("[ab]{0,30}", 0..12)) {
            let text = words.join(".");
            let passed = short_runs(text.as_bytes());
            prop_assert!(passed == 0 || &text[passed - 1..passed] == ".", "within a run: {passed}");
            let is_long = |word: &&str| word.len() >= MIN_RUN as usize;
            prop_assert!(!text[..passed].split('.').any(|word| is_long(&word)));
            // Up to the first that is long, or that may go on behind the text.
            let rest = &text[passed..];
            let first = rest.split('.').next().unwrap_or_default();
            prop_assert!(is_long(&first) || rest.len() < 4 * HALF, "{rest}");
        }
    }
}
