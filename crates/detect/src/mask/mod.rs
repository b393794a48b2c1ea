//! The masker: bytes go in by [`Masker::push`], come out masked into a [`Sink`], and what is found is kept
//! as [`Finding`]s. It does no I/O and knows no clock.
//!
//! The output does not depend on how the input was cut. What could still become a secret is held back
//! (8 KiB at most, from the earliest place where one could begin); everything before it has been written
//! when [`Masker::flush`] returns.

mod behind;
mod candidate;
mod engine;
mod runs;
mod settle;
mod view;
mod walk;

use std::fmt;
use std::sync::Arc;

use self::engine::{Context, Engine};
use crate::filter::Filter;
use crate::finding::Finding;
use crate::known::{KnownValues, Snapshot};
use crate::rules::RuleSet;
use crate::sink::{Input, Piece, Sink};
use crate::tag::{Tag, TagKey};

/// Small writes are gathered up to this size, so that a stream cut into single bytes costs little more
/// than a whole one.
const STAGE: usize = 1024;

/// What stands in the place of a secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placeholder {
    /// `[MASKED:rule:tag]`.
    #[default]
    Plain,
    /// As long as the secret: the plain form filled up with `*`, or only `*` where there is no room for it.
    SameLength,
}

/// How a [`Masker`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskOptions {
    /// What stands in the place of a secret.
    pub placeholder: Placeholder,
    /// How many findings are kept until they are drained; more are counted only. 128 by default.
    pub findings: usize,
    /// Whether a stream that ends within what has the prefix of a token and at least three quarters of its
    /// length is masked from there. True by default.
    pub truncated: bool,
}

impl Default for MaskOptions {
    fn default() -> Self {
        Self { placeholder: Placeholder::Plain, findings: 128, truncated: true }
    }
}

impl MaskOptions {
    /// The default, except that only whole secrets are found: for content that is known to be complete.
    #[must_use]
    pub fn exact() -> Self {
        Self { truncated: false, ..Self::default() }
    }
}

/// Masks one stream.
pub struct Masker {
    rules: RuleSet,
    known: KnownValues,
    version: u64,
    snapshot: Option<Arc<Snapshot>>,
    filter: Arc<Filter>,
    key: TagKey,
    options: MaskOptions,
    staged: Vec<u8>,
    engine: Engine,
}

impl Masker {
    /// A masker for one stream, in one direction.
    #[must_use]
    pub fn new(rules: &RuleSet, known: &KnownValues, key: &TagKey, options: MaskOptions) -> Self {
        let (version, snapshot) = known.snapshot();
        let filter =
            snapshot.as_ref().map_or_else(|| Arc::clone(rules.filter()), |snapshot| snapshot.filter(rules));
        Self {
            rules: rules.clone(),
            known: known.clone(),
            version,
            snapshot,
            filter,
            key: key.clone(),
            options,
            staged: Vec::new(),
            engine: Engine::default(),
        }
    }

    /// Takes the next bytes and writes what is certain. Small inputs may be gathered: what is safe to show
    /// is complete after [`Masker::flush`].
    #[inline]
    pub fn push<'a>(&mut self, input: impl Into<Input<'a>>, out: &mut impl Sink) {
        let input = input.into();
        let slice = input.as_slice();
        if let &[byte] = slice
            && self.staged.len() < self.staged.capacity()
        {
            self.staged.push(byte);
        } else if slice.len() <= STAGE / 4 && self.staged.len() + slice.len() <= STAGE {
            self.staged.extend_from_slice(slice);
        } else {
            self.push_unstaged(input, out);
        }
    }

    /// Takes one byte that the source writes in a longer form, such as `\u0041` for `A`: the rules see the
    /// byte, the output shows `raw` (10 bytes at most), or a placeholder for both.
    pub fn push_escaped(&mut self, byte: u8, raw: &[u8], out: &mut impl Sink) {
        if self.staged.len() == STAGE {
            self.flush(out);
        }
        self.engine.expect_escape(self.staged.len(), raw);
        self.staged.push(byte);
    }

    /// Writes everything that is not held back. To be called when the source has nothing more for now.
    pub fn flush(&mut self, out: &mut impl Sink) {
        if !self.staged.is_empty() {
            let mut staged = std::mem::take(&mut self.staged);
            self.scan(Input::Slice(&staged), out);
            staged.clear();
            self.staged = staged;
        }
    }

    /// Releases what is held back without being sure to begin a secret: the bytes after `password: `, say,
    /// or a first `AK`. A confirmed prefix such as `AKIA` stays. To be called after a pause on an
    /// interactive stream. What follows is masked nevertheless, should it turn out to belong to a secret.
    pub fn idle(&mut self, out: &mut impl Sink) {
        self.flush(out);
        let (context, engine) = self.parts();
        engine.release(&context, out);
    }

    /// Ends the stream and writes the rest. The masker can be used for another stream afterwards.
    pub fn finish(&mut self, out: &mut impl Sink) {
        self.flush(out);
        let (context, engine) = self.parts();
        engine.finish(&context, out);
    }

    /// Masks a stream that is all there.
    pub fn whole<'a>(&mut self, text: impl Into<Input<'a>>) -> Vec<u8> {
        let mut masked = Vec::new();
        self.push(text, &mut masked);
        self.finish(&mut masked);
        masked
    }

    /// Whether bytes are held back or gathered.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        !self.staged.is_empty() || self.engine.is_holding()
    }

    /// The findings not drained yet, in the order of their offsets.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.engine.findings
    }

    /// Takes the findings.
    pub fn drain_findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.engine.findings)
    }

    /// How many secrets were found, including those beyond [`MaskOptions::findings`].
    #[must_use]
    pub fn found(&self) -> u64 {
        self.engine.found
    }

    /// What this masker takes on the heap, in bytes, besides the shared rules and values.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.staged.capacity() + self.engine.memory()
    }

    fn push_unstaged(&mut self, input: Input<'_>, out: &mut impl Sink) {
        self.flush(out);
        if input.as_slice().len() <= STAGE / 4 {
            self.staged.reserve_exact(STAGE);
            self.staged.extend_from_slice(input.as_slice());
        } else {
            self.scan(input, out);
        }
    }

    fn scan(&mut self, input: Input<'_>, out: &mut impl Sink) {
        if self.known.version() != self.version {
            self.renew();
        }
        let (context, engine) = self.parts();
        engine.scan(&context, input, out);
    }

    fn renew(&mut self) {
        let old = self.snapshot.take();
        (self.version, self.snapshot) = self.known.snapshot();
        self.filter = self
            .snapshot
            .as_ref()
            .map_or_else(|| Arc::clone(self.rules.filter()), |snapshot| snapshot.filter(&self.rules));
        if old.is_some() {
            let (context, engine) = self.parts();
            engine.restart_known(&context);
        }
    }

    fn parts(&mut self) -> (Context<'_>, &mut Engine) {
        let context = Context {
            rules: &self.rules,
            known: self.snapshot.as_deref(),
            filter: &self.filter,
            key: &self.key,
            options: self.options,
        };
        (context, &mut self.engine)
    }
}

/// A stretch of the stream that was masked elsewhere, by place.
pub(crate) struct Replacement<'a> {
    pub rule: Arc<str>,
    pub tag: Tag,
    pub entropy: f32,
    /// Its length in the stream, and how many newlines it had.
    pub length: u64,
    pub lines: u64,
    /// What stands there instead.
    pub text: &'a [u8],
}

impl Masker {
    /// A fresh masker on the same rules, values, key and options.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.rules, &self.known, &self.key, self.options)
    }

    /// Whether there can be anything to find in `text` as a whole stream; rarely so where there is nothing.
    pub(crate) fn may_find(&mut self, text: &[u8]) -> bool {
        if self.known.version() != self.version {
            self.renew();
        }
        self.filter.places(text, 0).next().is_some()
    }

    pub(crate) fn key(&self) -> &TagKey {
        &self.key
    }

    /// Ends what is open, as if the stream ended here, and writes `replacement` as it is.
    pub(crate) fn replace(&mut self, replacement: &Replacement<'_>, out: &mut impl Sink) {
        self.flush(out);
        let options = self.options;
        let (mut context, engine) = self.parts();
        context.options.truncated = false;
        engine.cut(&context, out);
        engine.skip(replacement, options.findings);
        out.put(Piece::Slice(replacement.text));
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker")
            .field("rules", &self.rules)
            .field("known", &self.known)
            .field("found", &self.engine.found)
            .finish_non_exhaustive()
    }
}
