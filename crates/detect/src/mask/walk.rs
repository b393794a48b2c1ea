//! The walk over a stream: the prefilter skips to the next place where something may begin; while any
//! candidate lives, all of them are advanced, each for a few bytes in its turn, and what begins within these
//! follows them to their end.

use std::borrow::Cow;
use std::ops::Range;

use super::behind::look_behind;
use super::candidate::{Candidate, NONE, Resting, Step};
use super::engine::{Context, Engine};
use super::runs::Runs;
use super::view::View;
use crate::filter::{KNOWN, OPENING};
use crate::known::Snapshot;
use crate::rules::{is_of_word, is_word_byte};

/// More candidates than this at once come from input made to be slow; the oldest is then masked as far as
/// it has come.
const MAX_LIVE: usize = 32;

/// Candidates are advanced one by one up to every position that this divides; there equal ones are merged.
const PRUNE_EVERY: u64 = 64;

/// From so many candidates on it is worth counting how many bytes of a class come next.
const MANY: usize = 2;

/// After so many findings they are written, as far as they can be, before the input goes on. Those that wait for
/// an earlier candidate stay: it holds back [`MAX_HOLD`](crate::rules::MAX_HOLD) bytes at most.
const MAX_NEW: usize = 512;

impl Engine {
    /// Goes on from `at` to the end of the input, or until enough has been found; tells where it stopped.
    pub(super) fn walk(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        live: &mut Vec<Candidate>,
        mut at: usize,
    ) -> usize {
        let (input, seam) = (view.input, view.seam());
        if at == input.len() {
            return at;
        }
        let full = self.pending.len() + MAX_NEW;
        // Quads that begin before `at - 3` are behind us.
        let mut places = context.filter.places(input, at - 3);
        let mut next = places.next().unwrap_or(input.len());
        let mut runs = Runs::new();
        while at < input.len() && self.pending.len() < full {
            if live.is_empty() && self.resting.len() <= MAX_LIVE {
                at = at.max(self.next_change(&input[..next], at));
            }
            let stop = input.len().min(at + room(seam + at as u64) as usize);
            runs.go_to(seam + at as u64, &input[at..stop]);
            self.walk_to(context, view, live, at..stop, Some(&mut runs));
            while let Some(come) = input[..stop].get(next..).filter(|come| come.len() >= 4) {
                self.begin(context, view, live, seam + next as u64, come, Some(&mut runs));
                next = places.next().unwrap_or(input.len());
            }
            self.prune(context, view, live, seam + stop as u64);
            at = stop;
        }
        at
    }

    /// From `at` on, while nobody is awake, where that changes: somebody awakes, or a quad begins where `before`
    /// ends.
    fn next_change(&self, before: &[u8], at: usize) -> usize {
        if self.resting.is_empty() {
            return before.len();
        }
        before.get(at..).map_or(at, |word| at + length_of_word(word))
    }

    /// The first three bytes of an input, where a quad may begin in an earlier one.
    pub(super) fn walk_seam(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        live: &mut Vec<Candidate>,
    ) -> usize {
        let upto = view.input.len().min(3);
        for at in 0..upto {
            self.walk_to(context, view, live, at..at + 1, None);
            let end = view.seam() + at as u64 + 1;
            if let Some(quad) = quad_before(view, end) {
                self.begin(context, view, live, end - 4, &quad, None);
            }
            self.prune(context, view, live, end);
        }
        upto
    }

    /// Advances from `at` to `stop` what is live or awakes in between.
    fn walk_to(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        live: &mut Vec<Candidate>,
        Range { start: mut at, end: stop }: Range<usize>,
        mut runs: Option<&mut Runs<'_>>,
    ) {
        while at < stop && !(live.is_empty() && self.resting.is_empty()) {
            let mut upto = stop;
            if !self.resting.is_empty() {
                upto = at + length_of_word(&view.input[at..stop]);
                if upto == at {
                    live.extend(self.resting.drain(..).map(Resting::wake));
                    upto = stop;
                }
            }
            self.advance_all(
                context,
                view,
                live,
                view.seam() + at as u64,
                &view.input[at..upto],
                runs.as_deref_mut(),
            );
            at = upto;
        }
    }

    fn advance_all(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        live: &mut Vec<Candidate>,
        at: u64,
        bytes: &[u8],
        runs: Option<&mut Runs<'_>>,
    ) {
        let mut runs = runs.filter(|_| live.len() >= MANY);
        // Those that stay keep their order: who began first comes to an end first, and names what overlaps.
        let mut kept = 0;
        for index in 0..live.len() {
            let candidate = &mut live[index];
            let mut taken = 0;
            let step = loop {
                let (count, step) =
                    candidate.advance(context, view, at + taken as u64, &bytes[taken..], runs.as_deref_mut());
                taken += count;
                if step != Step::Full || !self.swallow(context, view, candidate) {
                    break step;
                }
            };
            match step {
                Step::On => {
                    live.swap(kept, index);
                    kept += 1;
                }
                Step::Rest => self.lay_down(candidate),
                Step::Over | Step::Full => self.conclude(context, view, candidate),
            }
        }
        live.truncate(kept);
    }

    /// Of two that rest for one rule, the earlier covers the later.
    fn lay_down(&mut self, candidate: &Candidate) {
        let Some(new) = candidate.resting() else { return };
        match self.resting.iter_mut().find(|old| old.target == new.target) {
            Some(old) => old.start = old.start.min(new.start),
            None => self.resting.push(new),
        }
    }

    /// Tries everything that begins with the first four bytes of `come`, which stands at `start`, to its end, where all
    /// others are.
    #[inline(never)]
    fn begin(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        live: &mut Vec<Candidate>,
        start: u64,
        come: &[u8],
        runs: Option<&mut Runs<'_>>,
    ) {
        let Some(quad) = come.first_chunk().map(|quad| u32::from_le_bytes(*quad)) else { return };
        let mut runs = runs.filter(|_| live.len() + self.resting.len() >= MANY);
        let after = &view.input[(start + 4 - view.seam()) as usize..];
        let mut behind = None;
        for opening in context.filter.starts(quad) {
            if !opening.follow.allows(after) {
                continue;
            }
            let target = opening.target;
            if opening.at_word {
                let behind = *behind.get_or_insert_with(|| look_behind(view, start));
                if behind.is_some_and(is_word_byte) {
                    continue;
                }
            }
            let candidate = if target == KNOWN {
                context.known.and_then(Snapshot::start).map(|state| (Candidate::of_known(state, start), 0))
            } else {
                let behind = || *behind.get_or_insert_with(|| look_behind(view, start));
                Candidate::of_rule(context.rules.rule(target), opening, start, behind)
            };
            let Some((mut candidate, taken)) = candidate else { continue };
            let from = start + taken as u64;
            let (_, step) = candidate.advance(context, view, from, &come[taken..], runs.as_deref_mut());
            // Asked late, since most have come to nothing before.
            if step == Step::Over && candidate.end == NONE || !candidate.may_begin(context, view) {
                continue;
            }
            match step {
                Step::On => live.push(candidate),
                Step::Rest => self.lay_down(&candidate),
                Step::Over | Step::Full => self.conclude(context, view, &mut candidate),
            }
        }
    }

    /// Merges equal candidates, and takes out the oldest while there are too many; where all are at `now`, if that
    /// is a place to do so.
    fn prune(&mut self, context: &Context<'_>, view: &View<'_>, live: &mut Vec<Candidate>, now: u64) {
        if !now.is_multiple_of(PRUNE_EVERY) || live.len() + self.resting.len() < 2 {
            return;
        }
        merge(live);
        // A younger one may be here only because the input ended before its opening could be seen whole.
        let is_settled = |start: u64| start + OPENING as u64 <= now;
        let starts = live.iter().map(|candidate| candidate.start);
        let settled =
            starts.chain(self.resting.iter().map(|resting| resting.start)).filter(|&start| is_settled(start));
        for _ in MAX_LIVE..settled.count() {
            self.take_oldest(context, view, live, now);
        }
    }

    fn take_oldest(&mut self, context: &Context<'_>, view: &View<'_>, live: &mut Vec<Candidate>, now: u64) {
        let awake = live.iter().enumerate().map(|(index, one)| (one.start, one.target, index)).min();
        let resting =
            self.resting.iter().enumerate().map(|(index, one)| (one.start, one.target, index)).min();
        match (awake, resting) {
            (Some(oldest), resting) if resting.is_none_or(|other| oldest < other) => {
                let mut candidate = live.remove(oldest.2);
                if candidate.secret != NONE {
                    candidate.end = now;
                    self.record(context, view, &mut candidate);
                }
            }
            (_, Some((.., index))) => {
                self.resting.swap_remove(index);
            }
            (_, None) => {}
        }
    }
}

/// How many bytes it is from `position` to the next place to prune.
fn room(position: u64) -> u64 {
    PRUNE_EVERY - position % PRUNE_EVERY
}

fn length_of_word(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is_of_word(byte)).unwrap_or(bytes.len())
}

fn quad_before(view: &View<'_>, end: u64) -> Option<[u8; 4]> {
    let slice: Cow<'_, [u8]> = view.slice(end.checked_sub(4)?, end);
    slice.first_chunk().copied()
}

fn merge(live: &mut Vec<Candidate>) {
    // What those before `index` are in, by a few bits of it: most are alone there.
    let (mut kept, mut seen) = (0, 0u128);
    for index in 0..live.len() {
        let (before, rest) = live.split_at_mut(index);
        let (before, this) = (&mut before[..kept], &mut rest[0]);
        let place = 1 << (this.place() % 128);
        let is_absorbed = seen & place != 0
            && before.iter_mut().any(|other| {
                if this.absorbs(other) {
                    std::mem::swap(this, other);
                    return true;
                }
                other.absorbs(this)
            });
        if !is_absorbed {
            seen |= place;
            live.swap(kept, index);
            kept += 1;
        }
    }
    live.truncate(kept);
}
