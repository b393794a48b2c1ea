//! From findings to output: findings that overlap become one region with one placeholder, named by the most
//! telling rule; what lies between regions is passed on as it is.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Placeholder;
use super::engine::{Context, Engine};
use super::view::View;
use crate::finding::Finding;
use crate::sink::{Input, Piece, Sink};
use crate::tag::Tag;

/// A secret that was found and not written yet.
pub(super) struct Found {
    pub start: u64,
    pub end: u64,
    /// The lower, the more telling.
    pub rank: u8,
    pub rule: Arc<str>,
    pub tag: Option<Tag>,
    pub entropy: f32,
}

impl Found {
    /// Which of two findings names a place; the order in which they came must not matter.
    fn precedence(&self) -> (u8, u64, Reverse<u64>, &str) {
        (self.rank, self.start, Reverse(self.end), &self.rule)
    }
}

/// A stretch of the stream that will be one placeholder.
pub(super) struct Region {
    pub start: u64,
    pub end: u64,
    line: u64,
    best: Option<Found>,
}

/// A byte that the stream writes in a longer form.
#[derive(Clone, Copy)]
pub(super) struct Escape {
    at: u64,
    raw: [u8; 10],
    len: u8,
}

impl Escape {
    pub(super) fn new(at: u64, raw: &[u8]) -> Self {
        let mut bytes = [0; 10];
        let len = raw.len().min(10);
        bytes[..len].copy_from_slice(&raw[..len]);
        Self { at, raw: bytes, len: len as u8 }
    }
}

impl Engine {
    /// Adds a finding in the order of beginnings.
    pub(super) fn add(&mut self, found: Found) {
        // What a pause has shown is gone; the rest is masked.
        let found = Found { start: found.start.max(self.cursor), ..found };
        if found.start < found.end {
            let place = self.begun_by(found.start);
            self.pending.insert(place, found);
        }
    }

    /// How many of the pending findings begin at `start` or before.
    fn begun_by(&self, start: u64) -> usize {
        match self.pending.last() {
            Some(last) if last.start > start => self.pending.partition_point(|other| other.start <= start),
            Some(_) | None => self.pending.len(),
        }
    }

    /// Whether another finding will name the place of `found`, so that nobody will see its tag. Tells it of
    /// what begins last before it only, since input made to be slow has one finding overlap the next.
    pub(super) fn is_outranked(&self, found: &Found) -> bool {
        let start = found.start.max(self.cursor);
        let precedence = (found.rank, start, Reverse(found.end), &*found.rule);
        let region = self.region.as_ref().filter(|region| start < region.end);
        let last = self.pending[..self.begun_by(start)].iter().rev().take(4);
        region
            .and_then(|region| region.best.as_ref())
            .into_iter()
            .chain(last.filter(|other| start < other.end))
            .any(|other| other.precedence() < precedence)
    }

    /// Opens a region for a secret whose end is not known yet.
    pub(super) fn open(&mut self, start: u64, end: u64) {
        let unnamed = Found { start, end, rank: u8::MAX, rule: Arc::from(""), tag: None, entropy: 0.0 };
        self.add(unnamed);
    }

    /// Writes everything before `limit`, except for a region that may still grow.
    pub(super) fn settle(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        input: Input<'_>,
        limit: u64,
        out: &mut impl Sink,
    ) {
        let mut pending = std::mem::take(&mut self.pending).into_iter().peekable();
        loop {
            if let Some(region) = &mut self.region {
                while let Some(found) = pending.next_if(|found| found.start < region.end) {
                    region.merge(found);
                }
                if region.end > limit {
                    break;
                }
                self.close(context, out);
            } else if let Some(found) = pending.next_if(|found| found.start <= limit) {
                self.pass(view, input, found.start, out);
                self.count_lines(view, found.start);
                let (start, end) = (found.start, found.end);
                self.region = Some(Region { start, end, line: self.lines + 1, best: Some(found) });
            } else {
                self.pass(view, input, limit, out);
                break;
            }
        }
        self.pending = pending.collect();
    }

    /// Stretches the open region over what the secrets without a known end have come to.
    pub(super) fn grow(&mut self) {
        let Some(region) = &mut self.region else { return };
        for candidate in self.live.iter().filter(|candidate| candidate.swallowed.is_some()) {
            if candidate.secret < region.end {
                region.end = region.end.max(candidate.end);
            }
        }
    }

    fn close(&mut self, context: &Context<'_>, out: &mut impl Sink) {
        let Some(region) = self.region.take() else { return };
        let Some(best) = region.best else { return };
        let mut text = Vec::with_capacity(64);
        text.extend_from_slice(b"[MASKED:");
        text.extend_from_slice(best.rule.as_bytes());
        if let Some(tag) = best.tag {
            text.push(b':');
            text.extend_from_slice(&tag.digits());
        }
        text.push(b']');
        let raw_start = region.start + self.skew;
        while self.escapes.front().is_some_and(|escape| escape.at < region.end) {
            self.skip_escape();
        }
        let length = region.end + self.skew - raw_start;
        match context.options.placeholder {
            Placeholder::Plain => {}
            Placeholder::SameLength => fit(&mut text, length),
        }
        out.put(Piece::Slice(&text));
        self.cursor = region.end;
        self.found += 1;
        if self.findings.len() < context.options.findings {
            let Found { rule, tag, entropy, .. } = best;
            self.findings.push(Finding {
                rule,
                offset: raw_start,
                length,
                line: region.line,
                tag,
                entropy,
                within: None,
            });
        }
    }

    /// Writes the bytes from the cursor to `to` as they came in.
    fn pass(&mut self, view: &View<'_>, input: Input<'_>, to: u64, out: &mut impl Sink) {
        while let Some(escape) = self.escapes.front().copied().filter(|escape| escape.at < to) {
            self.pass_plain(view, input, escape.at, out);
            out.put(Piece::Slice(&escape.raw[..usize::from(escape.len)]));
            self.cursor = escape.at + 1;
            self.skip_escape();
        }
        self.pass_plain(view, input, to, out);
    }

    fn pass_plain(&mut self, view: &View<'_>, input: Input<'_>, to: u64, out: &mut impl Sink) {
        if to <= self.cursor {
            return;
        }
        let (kept, _) = view.parts(self.cursor, to);
        if !kept.is_empty() {
            out.put(Piece::Slice(kept));
        }
        let seam = view.seam();
        let from = self.cursor.max(seam);
        if from < to {
            out.put(input.part((from - seam) as usize..(to - seam) as usize));
        }
        self.cursor = to;
    }

    fn skip_escape(&mut self) {
        if let Some(escape) = self.escapes.pop_front() {
            self.skew += u64::from(escape.len) - 1;
        }
    }

    /// Counts the lines up to `to`, each byte once.
    pub(super) fn count_lines(&mut self, view: &View<'_>, to: u64) {
        if to > self.counted {
            let (kept, input) = view.parts(self.counted, to);
            let newlines = |bytes| memchr::memchr_iter(b'\n', bytes).count() as u64;
            self.lines += newlines(kept) + newlines(input);
            self.counted = to;
        }
    }
}

impl Region {
    fn merge(&mut self, found: Found) {
        self.end = self.end.max(found.end);
        if self.best.as_ref().is_none_or(|best| found.precedence() < best.precedence()) {
            self.best = Some(found);
        }
    }
}

fn fit(text: &mut Vec<u8>, length: u64) {
    let length = usize::try_from(length).unwrap_or(text.len());
    if text.len() > length {
        text.clear();
    }
    text.resize(length, b'*');
}
