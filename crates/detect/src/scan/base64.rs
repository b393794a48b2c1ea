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
            let run = text.iter().take_while(|&&byte| VALUES[usize::from(byte)] != 0).count();
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

/// How much of the beginning of `text` belongs to runs that are too short. A run is looked for by the last
/// of its characters first, so that most of a text is passed over unread.
fn short_runs(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(run) = text.get(at..).and_then(|rest| rest.first_chunk::<{ MIN_RUN as usize }>()) {
        // Eight at once, without a branch: words end anywhere.
        let last = run.iter().rev().take(8).enumerate();
        let last = last.fold(0u32, |last, (place, &byte)| last | NOT_IN_RUN[usize::from(byte)] << place);
        let inside = match last.trailing_zeros() as usize {
            32 => run.iter().rev().take_while(|&&byte| VALUES[usize::from(byte)] != 0).count(),
            inside => inside,
        };
        if inside == run.len() {
            break;
        }
        at += run.len() - inside;
    }
    at
}

/// One for a byte that ends a run.
const NOT_IN_RUN: [u32; 256] = {
    let mut ends = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        ends[byte] = (VALUES[byte] == 0) as u32;
        byte += 1;
    }
    ends
};

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
