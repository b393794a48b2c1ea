//! The scanner: finds secrets in content that must not be changed, such as packs and layers, and looks one
//! level deep into what is encoded in it: base64, percent-encoding, and gzip when the content begins with it.

mod base64;
mod percent;

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use self::base64::Base64Runs;
use self::percent::PercentTokens;
use crate::finding::{Finding, Wrapping};
use crate::known::KnownValues;
use crate::mask::{MaskOptions, Masker};
use crate::rules::RuleSet;
use crate::sink::{Discard, Input};
use crate::tag::TagKey;

/// What a [`Scanner`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanOptions {
    /// How many findings are kept until they are drained; more are counted only. 10,000 by default.
    pub findings: usize,
    /// How many decoded bytes are looked at; none with zero. 256 MiB by default.
    pub max_decoded: u64,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { findings: 10_000, max_decoded: 256 << 20 }
    }
}

/// Scans one content. Push it in pieces of any size, then finish; the findings do not depend on the cuts.
#[derive(Debug)]
pub struct Scanner {
    plain: Masker,
    gzip: Option<MultiGzDecoder<Nested>>,
    base64: Base64Runs,
    percent: PercentTokens,
    decoder: Nested,
    /// The first bytes, until it is clear whether they are gzip's.
    head: Vec<u8>,
    is_begun: bool,
    findings: Vec<Finding>,
    max_findings: usize,
}

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

impl Scanner {
    /// A scanner for one content.
    #[must_use]
    pub fn new(rules: &RuleSet, known: &KnownValues, key: &TagKey, options: ScanOptions) -> Self {
        let mask = MaskOptions { findings: options.findings, ..MaskOptions::exact() };
        let nested = || Nested {
            masker: Masker::new(rules, known, key, mask),
            is_begun: false,
            left: options.max_decoded,
            is_limited: false,
        };
        Self {
            plain: Masker::new(rules, known, key, mask),
            gzip: None,
            base64: Base64Runs::default(),
            percent: PercentTokens::default(),
            decoder: nested(),
            head: Vec::new(),
            is_begun: false,
            findings: Vec::new(),
            max_findings: options.findings,
        }
    }

    /// Takes the next bytes.
    pub fn push<'a>(&mut self, input: impl Into<Input<'a>>) {
        let input = input.into();
        let slice = input.as_slice();
        if self.is_begun {
            self.take(input);
        } else if self.head.is_empty() && slice.len() >= GZIP.len() {
            self.begin(slice);
            self.take(input);
        } else {
            let (first, rest) = slice.split_at(slice.len().min(GZIP.len() - self.head.len()));
            self.head.extend_from_slice(first);
            if self.head.len() == GZIP.len() {
                self.begin_with_head();
                self.take(Input::Slice(rest));
            }
        }
    }

    /// Ends the content.
    pub fn finish(&mut self) {
        if !self.is_begun {
            self.begin_with_head();
        }
        self.plain.finish(&mut Discard);
        self.base64.finish(&mut self.decoder, &mut self.findings);
        self.percent.finish(&mut self.decoder, &mut self.findings);
        if let Some(mut gzip) = self.gzip.take() {
            // A damaged end was looked at as far as it goes.
            let _ = gzip.try_finish();
            gzip.get_mut().conclude(0, Wrapping::Gzip, &mut self.findings);
            self.decoder.is_limited |= gzip.get_mut().is_limited;
        }
        self.findings.append(&mut self.plain.drain_findings());
        self.findings.sort_by_key(|finding| (finding.offset, finding.within.is_some()));
        self.findings.truncate(self.max_findings);
    }

    /// The findings, in the order of their offsets; complete after [`Scanner::finish`].
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Takes the findings.
    pub fn drain_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Whether encoded content was left out, because it decodes to more than
    /// [`ScanOptions::max_decoded`] bytes.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.decoder.is_limited
    }

    fn begin_with_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.begin(&head);
        self.take(Input::Slice(&head));
    }

    fn begin(&mut self, beginning: &[u8]) {
        self.is_begun = true;
        if beginning.starts_with(&GZIP) {
            self.gzip = Some(MultiGzDecoder::new(self.decoder.another()));
        }
    }

    fn take(&mut self, input: Input<'_>) {
        self.plain.push(input, &mut Discard);
        if let Some(gzip) = &mut self.gzip {
            if gzip.write_all(input.as_slice()).is_err() {
                let nested = gzip.get_mut();
                nested.conclude(0, Wrapping::Gzip, &mut self.findings);
                self.decoder.is_limited |= nested.is_limited;
                self.gzip = None;
            }
            return;
        }
        if !self.decoder.is_limited {
            self.base64.take(input.as_slice(), &mut self.decoder, &mut self.findings);
            self.percent.take(input.as_slice(), &mut self.decoder, &mut self.findings);
        }
    }
}

/// Looks at decoded bytes, within the limit.
#[derive(Debug)]
struct Nested {
    masker: Masker,
    /// Whether the masker was given anything since the last conclusion.
    is_begun: bool,
    left: u64,
    is_limited: bool,
}

impl Nested {
    fn another(&self) -> Self {
        Self { masker: self.masker.another(), is_begun: false, left: self.left, is_limited: false }
    }

    fn take(&mut self, decoded: &[u8]) {
        let decoded = self.within_limit(decoded);
        self.is_begun = true;
        self.masker.push(decoded, &mut Discard);
    }

    /// Takes all that there is, of which mostly nothing is to be found.
    fn take_whole(&mut self, decoded: &[u8]) {
        let decoded = self.within_limit(decoded);
        if self.masker.may_find(decoded) {
            self.is_begun = true;
            self.masker.push(decoded, &mut Discard);
        }
    }

    fn within_limit<'a>(&mut self, decoded: &'a [u8]) -> &'a [u8] {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(decoded.len());
        self.is_limited |= room < decoded.len();
        self.left -= room as u64;
        &decoded[..room]
    }

    /// Ends what began at `offset` of the content, and tells what was found in it.
    fn conclude(&mut self, offset: u64, wrapping: Wrapping, findings: &mut Vec<Finding>) {
        if !std::mem::take(&mut self.is_begun) {
            return;
        }
        self.masker.finish(&mut Discard);
        for finding in self.masker.drain_findings() {
            findings.push(Finding { offset, line: 0, within: Some(wrapping), ..finding });
        }
    }
}

impl Write for Nested {
    fn write(&mut self, decoded: &[u8]) -> io::Result<usize> {
        self.take(decoded);
        if self.is_limited { Err(io::Error::other("enough was decoded")) } else { Ok(decoded.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
