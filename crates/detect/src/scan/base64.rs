//! Runs of base64 in a text, of either alphabet, also wrapped into lines.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fearless_simd::{Level, Simd, dispatch, prelude::*, u8x64};

use super::Nested;
use crate::finding::{Finding, Wrapping};

/// Shorter runs hold no secret worth the decoding.
const MIN_RUN: u64 = 24;

/// A line of wrapped base64 is at least this long.
const MIN_LINE: u64 = 60;

/// Characters that are decoded at once.
const BLOCK: usize = 4096;

/// Bytes of text that are compared at once.
const BLOCK_OF_TEXT: usize = 64;

/// What the processor can do.
static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

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
                let short = dispatch!(*LEVEL, simd => short_runs(simd, text));
                self.offset += short as u64;
                text = &text[short..];
            }
            let Some(&first) = text.first() else { return };
            let run = run(text);
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

/// How much of the beginning of `text` belongs to runs that are too short: up to the first that is not, or that may go
/// on behind the text.
#[inline(always)]
fn short_runs<S: Simd>(simd: S, text: &[u8]) -> usize {
    // The run that holds what is before `at` begins at `start`; at `at`, if there is none.
    let (mut at, mut start) = (0, 0);
    let (blocks, rest) = text.as_chunks();
    let mut last = [0; BLOCK_OF_TEXT];
    last[..rest.len()].copy_from_slice(rest);
    let whole = blocks.iter().map(|block| (block, BLOCK_OF_TEXT));
    for (block, length) in whole.chain([(&last, rest.len())]) {
        let inside = inside(simd, block);
        let first = inside.trailing_ones() as usize;
        if at + first - start >= MIN_RUN as usize {
            return start;
        }
        let long = starts_of_long(inside);
        if long != 0 {
            return at + long.trailing_zeros() as usize;
        }
        at += length;
        if first < length {
            // What is behind the text is not inside.
            start = at - (inside << (BLOCK_OF_TEXT - length)).leading_ones() as usize;
        }
    }
    start
}

/// Of the bytes that are inside, those from which on enough are.
fn starts_of_long(inside: u64) -> u64 {
    const { assert!(MIN_RUN == 24) };
    let two = inside & inside >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & eight >> 8 & eight >> 16
}

/// How many bytes from the first on are within a run.
fn run(text: &[u8]) -> usize {
    text.iter().take_while(|&&byte| VALUES[usize::from(byte)] != 0).count()
}

/// The bytes that have a value in [`VALUES`], the first lowest.
#[inline(always)]
fn inside<S: Simd>(simd: S, block: &[u8; BLOCK_OF_TEXT]) -> u64 {
    let bytes = u8x64::from_slice(simd, block);
    let is_letter = ((bytes | 0x20) - b'a').simd_lt(26);
    // `+ , - . / 0123456789`, but for `,` and `.`, which one bit tells apart.
    let is_digit_or_sign = (bytes - b'+').simd_le(b'9' - b'+') & !(bytes | 2).simd_eq(b'.');
    (is_letter | is_digit_or_sign | bytes.simd_eq(b'_')).to_bitmask()
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

    /// As on this processor, and with what every one has.
    fn each_level(test: impl Fn(Level)) {
        [Level::new(), Level::baseline()].into_iter().for_each(test);
    }

    #[test]
    fn what_is_inside_of_a_run_has_a_value() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        each_level(|level| {
            for block in bytes.as_chunks().0 {
                let inside = dispatch!(level, simd => inside(simd, block));
                for (place, byte) in block.iter().enumerate() {
                    assert_eq!(inside >> place & 1 == 1, VALUES[usize::from(*byte)] != 0, "{byte}");
                }
            }
        });
    }

    proptest! {
        #[test]
        fn only_short_runs_are_passed_over(words in proptest::collection::vec("[ab]{0,30}|[ab]{50,150}", 0..12)) {
            let text = words.join(".");
            // The first run that is long, or that may go on behind the text.
            let mut first = 0;
            for word in &words {
                if word.len() >= MIN_RUN as usize || first + word.len() == text.len() {
                    break;
                }
                first += word.len() + 1;
            }
            each_level(|level| {
                let passed = dispatch!(level, simd => short_runs(simd, text.as_bytes()));
                assert_eq!(passed, first, "of {text}");
            });
        }
    }
}
