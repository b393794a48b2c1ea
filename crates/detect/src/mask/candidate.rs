//! A candidate: a place where a secret may have begun, and how far its automaton has come. It keeps
//! its state from one input to the next, so nothing is ever read twice.

use regex_automata::Anchored;
use regex_automata::dfa::Automaton;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

use super::behind::{look_behind, stands_before};
use super::engine::Context;
use super::runs::Runs;
use super::view::View;
use crate::filter::{KNOWN, Start, Target};
use crate::known::{self, Needle};
use crate::rules::{Chains, Dfa, MAX_HOLD, Rule};
use crate::tag::Tagger;

/// No more is taken at once than a stretch of [`Runs`] has.
const MAX_LEAP: u64 = 64;

/// No position.
pub(super) const NONE: u64 = u64::MAX;

pub(super) struct Candidate {
    pub target: Target,
    pub phase: Phase,
    /// Where the match begins.
    pub start: u64,
    /// Where the secret begins; in the lead, where it would if the lead went no further.
    pub secret: u64,
    /// Where the longest match so far ends.
    pub end: u64,
    /// The value that matched, for known values.
    pub needle: Option<Needle>,
    /// Set once the secret is certain and too long to be kept.
    pub swallowed: Option<Box<Swallowed>>,
}

/// All that a candidate is while it rests: its lead has not matched yet, and no byte of a word (`is_of_word`)
/// changes its state.
#[derive(Clone, Copy)]
pub(super) struct Resting {
    pub target: Target,
    pub start: u64,
    state: StateID,
}

impl Resting {
    pub(super) fn wake(self) -> Candidate {
        let Self { target, start, state } = self;
        Candidate {
            target,
            phase: Phase::Lead(state),
            start,
            secret: NONE,
            end: NONE,
            needle: None,
            swallowed: None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the secret.
    Lead(StateID),
    /// Within it.
    Body(StateID),
    /// Within a known value.
    Known(known::StateID),
}

/// The part of a long secret that is not kept any more.
pub(super) struct Swallowed {
    pub tagger: Tagger,
    /// The end of what the tagger has seen.
    pub upto: u64,
    pub entropy: f32,
}

/// Whether a candidate goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It needs more bytes.
    On,
    /// It has taken all bytes, and more of the same word will not change it.
    Rest,
    /// It has come to its end: a secret if it has matched.
    Over,
    /// It has reached the limit of what is kept.
    Full,
}

impl Candidate {
    /// A candidate of a rule whose match would begin at `start` with one of its openings and has `behind()` before it
    /// (`look_behind`), and how many bytes it has taken. What must stand before is still to be asked for.
    pub(super) fn of_rule(
        rule: &Rule,
        opening: &Start,
        start: u64,
        behind: impl FnOnce() -> Option<u8>,
    ) -> Option<(Self, usize)> {
        let program = rule.program();
        let dfa = program.lead.as_ref().map_or(&program.body, |lead| &lead.dfa);
        let (state, taken) = match program.entries[opening.opening as usize] {
            Some(state) => (state, 4),
            None => (begin(dfa, behind())?, 0),
        };
        let (phase, secret) = match program.lead {
            Some(_) => (Phase::Lead(state), NONE),
            None => (Phase::Body(state), start),
        };
        let target = opening.target;
        Some((Self { target, phase, start, secret, end: NONE, needle: None, swallowed: None }, taken))
    }

    /// Whether what must stand before it does.
    pub(super) fn may_begin(&self, context: &Context<'_>, view: &View<'_>) -> bool {
        self.target == KNOWN
            || match &context.rules.rule(self.target).program().before {
                Some(before) => stands_before(before, view, self.start),
                None => true,
            }
    }

    /// A candidate for the known values.
    pub(super) fn of_known(state: known::StateID, start: u64) -> Self {
        Self {
            target: KNOWN,
            phase: Phase::Known(state),
            start,
            secret: start,
            end: NONE,
            needle: None,
            swallowed: None,
        }
    }

    /// What is left of it while it rests.
    pub(super) fn resting(&self) -> Option<Resting> {
        match self.phase {
            Phase::Lead(state) => Some(Resting { target: self.target, start: self.start, state }),
            Phase::Body(_) | Phase::Known(_) => None,
        }
    }

    /// Takes `bytes`, which stand at `at`, and in `runs` if that is given. Tells how many it took: all of them,
    /// unless it came to an end or a limit before.
    pub(super) fn advance(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        at: u64,
        bytes: &[u8],
        mut runs: Option<&mut Runs<'_>>,
    ) -> (usize, Step) {
        let mut taken = 0;
        while taken < bytes.len() {
            let (from, rest) = (at + taken as u64, &bytes[taken..]);
            let (count, step) = match self.phase {
                Phase::Body(state) => self.run_body(context, state, from, rest, runs.as_deref_mut()),
                Phase::Lead(state) => self.run_lead(context, view, state, from, rest, runs.as_deref_mut()),
                Phase::Known(state) => self.run_known(context, state, from, rest),
            };
            taken += count;
            if step != Step::On {
                return (taken, step);
            }
        }
        (taken, Step::On)
    }

    fn run_body(
        &mut self,
        context: &Context<'_>,
        mut state: StateID,
        at: u64,
        bytes: &[u8],
        mut runs: Option<&mut Runs<'_>>,
    ) -> (usize, Step) {
        let program = context.rules.rule(self.target).program();
        let body = &program.body;
        let mut taken = 0;
        while taken < bytes.len() {
            let since = if self.swallowed.is_some() { self.end } else { self.secret };
            let from = at + taken as u64;
            let room = MAX_HOLD.saturating_sub((from - since) as usize);
            if room == 0 {
                self.phase = Phase::Body(state);
                return (taken, Step::Full);
            }
            let upto = bytes.len().min(taken + room);
            while taken < upto {
                if let Some(runs) = &mut runs {
                    let (count, matched) =
                        leap(&program.chains, body, &mut state, runs, at + taken as u64, upto - taken);
                    self.end = matched.map_or(self.end, |matched| at + (taken + matched) as u64 - 1);
                    taken += count;
                    if taken == upto {
                        break;
                    }
                }
                state = body.next_state(state, bytes[taken]);
                if body.is_special_state(state) {
                    if !body.is_match_state(state) {
                        return (taken + 1, Step::Over);
                    }
                    self.end = at + taken as u64;
                    if program.chains.is_last(state) {
                        return (taken + 1, Step::Over);
                    }
                }
                taken += 1;
            }
        }
        self.phase = Phase::Body(program.chains.name(state));
        (taken, Step::On)
    }

    fn run_lead(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        mut state: StateID,
        at: u64,
        bytes: &[u8],
        mut runs: Option<&mut Runs<'_>>,
    ) -> (usize, Step) {
        let Some(lead) = &context.rules.rule(self.target).program().lead else { return (0, Step::Over) };
        // Where it ends at the latest, and the body begins if the lead has matched.
        let last = |secret: u64| if secret == NONE { NONE } else { secret + MAX_HOLD as u64 };
        let (mut taken, mut limit) = (0, last(self.secret));
        while taken < bytes.len() {
            let position = at + taken as u64;
            // Near the limit it goes byte by byte.
            if let Some(runs) = runs.as_deref_mut().filter(|_| position + MAX_LEAP < limit) {
                let left = bytes.len() - taken;
                let (count, matched) = leap(&lead.chains, &lead.dfa, &mut state, runs, position, left);
                if let Some(matched) = matched {
                    self.secret = position + matched as u64 - 1;
                    limit = last(self.secret);
                }
                taken += count;
                if taken == bytes.len() {
                    break;
                }
            }
            state = lead.dfa.next_state(state, bytes[taken]);
            let position = at + taken as u64;
            taken += 1;
            let mut is_over = position + 1 >= limit;
            if lead.dfa.is_special_state(state) {
                if lead.dfa.is_match_state(state) {
                    self.secret = position;
                    limit = last(position);
                } else {
                    is_over = true;
                }
            }
            if is_over && self.secret == NONE {
                return (taken, Step::Over);
            }
            if is_over {
                return (taken, self.enter_body(context, view, position + 1));
            }
        }
        let state = lead.chains.name(state);
        self.phase = Phase::Lead(state);
        let rests = self.secret == NONE && lead.rest == Some(state);
        (bytes.len(), if rests { Step::Rest } else { Step::On })
    }

    /// The lead is at its longest: the secret begins where it ended, some bytes ago.
    fn enter_body(&mut self, context: &Context<'_>, view: &View<'_>, upto: u64) -> Step {
        let body = &context.rules.rule(self.target).program().body;
        let Some(mut state) = begin(body, look_behind(view, self.secret)) else { return Step::Over };
        let (kept, input) = view.parts(self.secret, upto);
        let mut at = self.secret;
        for part in [kept, input] {
            let (_, step) = self.run_body(context, state, at, part, None);
            let Phase::Body(after) = self.phase else { return step };
            (state, at) = (after, at + part.len() as u64);
            if step != Step::On {
                return step;
            }
        }
        Step::On
    }

    fn run_known(
        &mut self,
        context: &Context<'_>,
        mut state: known::StateID,
        at: u64,
        bytes: &[u8],
    ) -> (usize, Step) {
        let Some(known) = context.known else { return (0, Step::Over) };
        for (index, &byte) in bytes.iter().enumerate() {
            let Some(next) = known.next(state, byte) else { return (index + 1, Step::Over) };
            let end = at + index as u64 + 1;
            if let Some(needle) = known.matched(next, end - self.start) {
                self.end = end;
                self.needle = Some(needle.clone());
            }
            state = next;
        }
        self.phase = Phase::Known(state);
        (bytes.len(), Step::On)
    }

    /// The stream ends at `now`.
    pub(super) fn end_of_input(&mut self, context: &Context<'_>, view: &View<'_>, now: u64) {
        if matches!(self.phase, Phase::Lead(_))
            && (self.secret == NONE || self.enter_body(context, view, now) != Step::On)
        {
            return;
        }
        if let Phase::Body(state) = self.phase {
            let body = &context.rules.rule(self.target).program().body;
            if body.is_match_state(body.next_eoi_state(state)) {
                self.end = now;
            }
        }
    }

    /// From where on bytes must not be shown, because this candidate may turn out to be a secret.
    pub(super) fn hold(&self) -> u64 {
        self.secret
    }

    /// From where on bytes are still needed.
    pub(super) fn needs(&self) -> u64 {
        self.swallowed.as_ref().map_or(self.secret, |swallowed| swallowed.upto)
    }

    /// Whether a pause must not release what is held.
    pub(super) fn is_confirmed(&self, context: &Context<'_>, now: u64) -> bool {
        match self.phase {
            Phase::Lead(_) => false,
            Phase::Body(_) => self.end != NONE || context.rules.rule(self.target).is_distinctive(),
            Phase::Known(_) => self.end != NONE || now - self.start >= known::MIN_VALUE as u64,
        }
    }

    /// A number that is the same for all candidates of one rule in one state.
    pub(super) fn place(&self) -> u32 {
        let state = match self.phase {
            Phase::Lead(state) | Phase::Body(state) => state.as_u32(),
            Phase::Known(state) => state.as_u32(),
        };
        (state ^ u32::from(self.target) << 16).wrapping_mul(0x9E37_79B1) >> 16
    }

    /// Two candidates of one rule in one state have one future: the earlier covers the later.
    pub(super) fn absorbs(&mut self, other: &Self) -> bool {
        let same = self.target == other.target && self.phase == other.phase && other.swallowed.is_none();
        if !same || self.secret > other.secret {
            return false;
        }
        if self.end == NONE || (other.end != NONE && other.end > self.end) {
            self.end = other.end;
        }
        self.start = self.start.min(other.start);
        true
    }
}

/// Takes what comes next in `runs`, at `at`, of the class that leads on from `state`, `most` bytes at most. Tells how
/// many bytes these were, and after how many of them it last matched.
#[inline(always)]
fn leap(
    chains: &Chains,
    dfa: &Dfa,
    state: &mut StateID,
    runs: &mut Runs<'_>,
    at: u64,
    most: usize,
) -> (usize, Option<usize>) {
    let Some(class) = chains.class(*state) else { return (0, None) };
    let count = runs.length(class, at).min(most);
    if count == 0 {
        return (0, None);
    }
    let leap = chains.leap(dfa, *state, count);
    *state = leap.state;
    (leap.taken, leap.matched)
}

pub(super) fn begin(dfa: &Dfa, behind: Option<u8>) -> Option<StateID> {
    dfa.start_state(&start::Config::new().anchored(Anchored::Yes).look_behind(behind)).ok()
}
