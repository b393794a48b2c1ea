//! What becomes of candidates: a stream is walked over (`walk`), whoever comes to an end is judged here, and what
//! is certain is written (`settle`). Every decision depends on positions in the stream alone, never on how it
//! was cut.

use std::collections::VecDeque;
use std::sync::Arc;

use super::behind::{BEFORE_SEAM, LOOK_BEHIND};
use super::candidate::{Candidate, NONE, Phase, Resting, Step, Swallowed};
use super::settle::{Escape, Found, Region};
use super::view::{Kept, View};
use super::{MaskOptions, Replacement};
use crate::filter::{Filter, KNOWN};
use crate::finding::Finding;
use crate::known::Snapshot;
use crate::rules::{Class, Rolling, RuleSet, entropy};
use crate::sink::{Input, Sink};
use crate::tag::TagKey;

/// Names the place where a known value was only begun.
const PART_OF_KNOWN: &str = "part-of-known-value";

/// What the engine works with and does not change.
pub(super) struct Context<'a> {
    pub rules: &'a RuleSet,
    pub known: Option<&'a Snapshot>,
    pub filter: &'a Filter,
    pub key: &'a TagKey,
    pub options: MaskOptions,
}

#[derive(Default)]
pub(super) struct Engine {
    pub(super) live: Vec<Candidate>,
    /// Those that stay as they are until a word ends; none of them holds anything back.
    pub(super) resting: Vec<Resting>,
    pub(super) pending: Vec<Found>,
    pub(super) region: Option<Region>,
    pub(super) kept: Kept,
    /// The end of what was taken in.
    now: u64,
    /// The end of what was written, or masked.
    pub(super) cursor: u64,
    /// A pause released everything before this.
    released: u64,
    /// Newlines before `counted`.
    pub(super) lines: u64,
    pub(super) counted: u64,
    pub(super) escapes: VecDeque<Escape>,
    /// How many bytes longer the raw stream is than the positions tell.
    pub(super) skew: u64,
    pub(super) findings: Vec<Finding>,
    pub(super) found: u64,
    entropy: Rolling,
}

impl Engine {
    pub(super) fn scan(&mut self, context: &Context<'_>, input: Input<'_>, out: &mut impl Sink) {
        let mut live = std::mem::take(&mut self.live);
        let kept = std::mem::take(&mut self.kept);
        let view = View { kept: kept.as_slice(), base: kept.base(), input: input.as_slice() };
        let mut at = self.walk_seam(context, &view, &mut live);
        loop {
            at = self.walk(context, &view, &mut live, at);
            self.live = live;
            self.now = view.seam() + at as u64;
            self.grow();
            self.settle(context, &view, input, self.limit(context, &view), out);
            if at == view.input.len() {
                break;
            }
            live = std::mem::take(&mut self.live);
        }
        self.kept = kept;
        self.let_go(input.as_slice());
    }

    /// A pause: what is not confirmed is shown.
    pub(super) fn release(&mut self, context: &Context<'_>, out: &mut impl Sink) {
        self.released = self.now;
        self.scan(context, Input::Slice(&[]), out);
    }

    pub(super) fn finish(&mut self, context: &Context<'_>, out: &mut impl Sink) {
        self.cut(context, out);
        (self.skew, self.lines) = (0, 0);
    }

    /// A stretch of the stream is masked without being seen here.
    pub(super) fn skip(&mut self, replacement: &Replacement<'_>, max_findings: usize) {
        let Replacement { rule, tag, entropy, length, lines, .. } = replacement;
        let finding = Finding {
            rule: Arc::clone(rule),
            offset: self.skew,
            length: *length,
            line: self.lines + 1,
            tag: Some(*tag),
            entropy: *entropy,
            within: None,
        };
        self.skew += length;
        self.lines += lines;
        self.found += 1;
        if self.findings.len() < max_findings {
            self.findings.push(finding);
        }
    }

    /// Ends what is open; the stream goes on afresh, with its offsets and lines.
    pub(super) fn cut(&mut self, context: &Context<'_>, out: &mut impl Sink) {
        let live = std::mem::take(&mut self.live);
        let kept = std::mem::take(&mut self.kept);
        let view = View { kept: kept.as_slice(), base: kept.base(), input: &[] };
        for mut candidate in live {
            candidate.end_of_input(context, &view, self.now);
            if candidate.end == NONE && self.is_truncated(context, &candidate) {
                self.mask_so_far(context, &view, &mut candidate);
            } else {
                self.conclude(context, &view, &mut candidate);
            }
        }
        self.settle(context, &view, Input::Slice(&[]), self.now, out);
        self.count_lines(&view, self.now);
        let (findings, escapes) = (std::mem::take(&mut self.findings), std::mem::take(&mut self.escapes));
        *self = Self {
            findings,
            escapes,
            found: self.found,
            lines: self.lines,
            skew: self.skew + self.now,
            ..Self::default()
        };
    }

    pub(super) fn is_holding(&self) -> bool {
        self.cursor < self.now
    }

    pub(super) fn memory(&self) -> usize {
        self.kept.capacity()
            + self.live.capacity() * size_of::<Candidate>()
            + self.resting.capacity() * size_of::<Resting>()
            + self.live.iter().filter(|candidate| candidate.swallowed.is_some()).count()
                * size_of::<Swallowed>()
            + self.pending.capacity() * size_of::<Found>()
            + self.escapes.capacity() * size_of::<Escape>()
            + self.findings.capacity() * size_of::<Finding>()
    }

    /// The byte `ahead` places from here will stand for `raw`.
    pub(super) fn expect_escape(&mut self, ahead: usize, raw: &[u8]) {
        self.escapes.push_back(Escape::new(self.now + ahead as u64, raw));
    }

    /// The set of known values has changed: candidates for the old one begin again in the new one.
    pub(super) fn restart_known(&mut self, context: &Context<'_>) {
        let mut live = std::mem::take(&mut self.live);
        let view = View { kept: self.kept.as_slice(), base: self.kept.base(), input: &[] };
        live.retain_mut(|candidate| match candidate.phase {
            Phase::Lead(_) | Phase::Body(_) => true,
            Phase::Known(_) => {
                let Some(state) = context.known.and_then(Snapshot::start) else { return false };
                let start = candidate.start;
                *candidate = Candidate::of_known(state, start);
                candidate.advance(context, &view, start, &view.slice(start, self.now), None).1 == Step::On
            }
        });
        self.live = live;
    }

    /// A candidate is over: if it has matched and passes its rule's checks, it is a secret.
    pub(super) fn conclude(&mut self, context: &Context<'_>, view: &View<'_>, candidate: &mut Candidate) {
        if candidate.end == NONE {
            return;
        }
        if candidate.target != KNOWN && candidate.swallowed.is_none() {
            let rule = context.rules.rule(candidate.target);
            let matched = view.slice(candidate.secret, candidate.end);
            let secret: &[u8] = match &rule.program().end {
                None => &matched,
                Some(end) => match end.of(&matched) {
                    Some(length) => &matched[..length],
                    None => return,
                },
            };
            candidate.end = candidate.secret + secret.len() as u64;
            if !rule.accepts(secret, || self.entropy_of(view, candidate.secret, candidate.end)) {
                return;
            }
        }
        self.record(context, view, candidate);
    }

    pub(super) fn record(&mut self, context: &Context<'_>, view: &View<'_>, candidate: &mut Candidate) {
        let (start, end) = (candidate.secret, candidate.end);
        let found = match (candidate.needle.take(), candidate.swallowed.take()) {
            (Some(needle), _) => Found {
                start,
                end,
                rank: 0,
                tag: Some(context.key.tag(&needle.name, &needle.value)),
                entropy: entropy(&needle.value),
                rule: needle.name,
            },
            (None, Some(mut swallowed)) => {
                swallowed.take(view, end);
                let rule = context.rules.rule(candidate.target);
                Found {
                    start,
                    end,
                    rank: rank(rule.class),
                    tag: Some(swallowed.tagger.finish()),
                    entropy: swallowed.entropy,
                    rule: Arc::clone(&rule.id),
                }
            }
            (None, None) if candidate.target == KNOWN => {
                let part = view.slice(start, end);
                let rule = Arc::from(PART_OF_KNOWN);
                Found {
                    start,
                    end,
                    rank: 0,
                    tag: Some(context.key.tag(&rule, &part)),
                    entropy: entropy(&part),
                    rule,
                }
            }
            (None, None) => {
                let rule = context.rules.rule(candidate.target);
                let secret = view.slice(start, end);
                let mut found = Found {
                    start,
                    end,
                    rank: rank(rule.class),
                    tag: None,
                    entropy: 0.0,
                    rule: Arc::clone(&rule.id),
                };
                if !self.is_outranked(&found) {
                    found.tag = (rule.class != Class::Personal).then(|| context.key.tag(&rule.id, &secret));
                    found.entropy = self.entropy_of(view, start, end);
                }
                found
            }
        };
        self.add(found);
    }

    /// A long secret is certain: from here on it is read and not kept. False if it is none after all.
    pub(super) fn swallow(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        candidate: &mut Candidate,
    ) -> bool {
        let rule = context.rules.rule(candidate.target);
        if candidate.end == NONE || candidate.swallowed.is_some() || rule.program().end.is_some() {
            return false;
        }
        let secret = view.slice(candidate.secret, candidate.end);
        let entropy = self.entropy_of(view, candidate.secret, candidate.end);
        if !rule.accepts(&secret, || entropy) {
            candidate.end = NONE;
            return false;
        }
        let mut tagger = context.key.tagger(&rule.id);
        tagger.update(&secret);
        candidate.swallowed = Some(Box::new(Swallowed { tagger, upto: candidate.end, entropy }));
        self.open(candidate.secret, candidate.end);
        true
    }

    fn entropy_of(&mut self, view: &View<'_>, from: u64, to: u64) -> f32 {
        self.entropy.of(from, to, view.base, |from, to| view.parts(from, to).into())
    }

    fn mask_so_far(&mut self, context: &Context<'_>, view: &View<'_>, candidate: &mut Candidate) {
        candidate.end = self.now;
        self.record(context, view, candidate);
    }

    /// The stream ends within what has the look of a token.
    fn is_truncated(&self, context: &Context<'_>, candidate: &Candidate) -> bool {
        if !context.options.truncated {
            return false;
        }
        match candidate.phase {
            Phase::Lead(_) => false,
            Phase::Known(_) => self.now - candidate.start >= 2 * crate::known::MIN_VALUE as u64,
            Phase::Body(_) => {
                let rule = context.rules.rule(candidate.target);
                rule.is_distinctive() && (self.now - candidate.secret) * 4 >= rule.min_len as u64 * 3
            }
        }
    }

    /// Everything before this is decided.
    fn limit(&self, context: &Context<'_>, view: &View<'_>) -> u64 {
        let last = view.slice(self.now.saturating_sub(3), self.now);
        let tail = self.now - context.filter.tail(&last) as u64;
        let holds = self.live.iter().map(|candidate| {
            let hold = candidate.hold();
            if candidate.is_confirmed(context, self.now) { hold } else { hold.max(self.released) }
        });
        holds.fold(tail.max(self.released), u64::min).max(self.cursor)
    }

    /// Drops what nobody needs any more.
    fn let_go(&mut self, input: &[u8]) {
        let mut kept = std::mem::take(&mut self.kept);
        let view = View { kept: kept.as_slice(), base: kept.base(), input };
        let written = self.region.as_ref().map_or(self.cursor, |region| region.end);
        let mut from = self.now.saturating_sub(LOOK_BEHIND + BEFORE_SEAM).min(written);
        for candidate in &mut self.live {
            if let Some(swallowed) = &mut candidate.swallowed {
                swallowed.take(&view, candidate.end);
            }
            from = from.min(candidate.needs());
        }
        let from = from.max(view.base);
        self.count_lines(&view, from.max(self.counted));
        kept.keep(from, input);
        self.kept = kept;
    }
}

impl Swallowed {
    fn take(&mut self, view: &View<'_>, end: u64) {
        let (kept, input) = view.parts(self.upto, end);
        self.tagger.update(kept);
        self.tagger.update(input);
        self.upto = self.upto.max(end);
    }
}

/// Which rule names a place that several found: the lowest.
fn rank(class: Class) -> u8 {
    match class {
        Class::Token | Class::Key => 1,
        Class::Credential => 2,
        Class::Personal => 3,
        Class::Generic => 4,
    }
}
