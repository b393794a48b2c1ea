//! A candidate: a place where a secret may have begun, and how far its automaton has come. It is stepped
//! byte by byte and keeps its state from one input to the next, so nothing is ever read twice.

use regex_automata::Anchored;
use regex_automata::dfa::Automaton;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

use super::engine::Context;
use super::view::View;
use crate::filter::Target;
use crate::known::{self, Needle};
use crate::rules::{Dfa, MAX_HOLD, Rule};
use crate::tag::Tagger;

/// No position.
pub(super) const NONE: u64 = u64::MAX;

/// How far back a rule may look at what stands before its match.
pub(super) const LOOK_BEHIND: u64 = 64;

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
    /// It has come to its end: a secret if it has matched.
    Over,
    /// It has reached the limit of what is kept.
    Full,
}

impl Candidate {
    /// A candidate of a rule whose match would begin at `start`; none if what stands before forbids it.
    pub(super) fn of_rule(rule: &Rule, target: Target, start: u64, view: &View<'_>) -> Option<Self> {
        let program = rule.program();
        if program.before.as_ref().is_some_and(|before| !stands_before(before, view, start)) {
            return None;
        }
        let behind = look_behind(view, start);
        let (phase, secret) = match &program.lead {
            Some(lead) => (Phase::Lead(begin(lead, behind)?), NONE),
            None => (Phase::Body(begin(&program.body, behind)?), start),
        };
        Some(Self { target, phase, start, secret, end: NONE, needle: None, swallowed: None })
    }

    /// A candidate for the known values.
    pub(super) fn of_known(state: known::StateID, start: u64) -> Self {
        Self {
            target: crate::filter::KNOWN,
            phase: Phase::Known(state),
            start,
            secret: start,
            end: NONE,
            needle: None,
            swallowed: None,
        }
    }

    /// Takes the byte at `at`.
    #[inline]
    pub(super) fn step(&mut self, context: &Context<'_>, view: &View<'_>, at: u64, byte: u8) -> Step {
        match self.phase {
            Phase::Body(state) => {
                let body = &context.rules.rule(self.target).program().body;
                let next = body.next_state(state, byte);
                if body.is_special_state(next) {
                    if !body.is_match_state(next) {
                        return Step::Over;
                    }
                    self.end = at;
                }
                self.phase = Phase::Body(next);
                self.within_limit(at + 1)
            }
            Phase::Lead(state) => self.step_lead(context, view, state, at, byte),
            Phase::Known(state) => self.step_known(context, state, at, byte),
        }
    }

    fn step_lead(
        &mut self,
        context: &Context<'_>,
        view: &View<'_>,
        state: StateID,
        at: u64,
        byte: u8,
    ) -> Step {
        let Some(lead) = &context.rules.rule(self.target).program().lead else { return Step::Over };
        let next = lead.next_state(state, byte);
        let mut over = false;
        if lead.is_special_state(next) {
            if lead.is_match_state(next) {
                self.secret = at;
            } else {
                over = true;
            }
        }
        self.phase = Phase::Lead(next);
        if self.secret == NONE {
            return if over { Step::Over } else { Step::On };
        }
        if over || at + 1 - self.secret >= MAX_HOLD as u64 {
            self.enter_body(context, view, at + 1)
        } else {
            Step::On
        }
    }

    /// Takes bytes of the input from `at` on for as long as nothing comes of them, `upto` at most, and tells
    /// where it stopped. For a candidate that is alone: it goes the way of [`Candidate::step`], only faster.
    pub(super) fn run(&mut self, context: &Context<'_>, view: &View<'_>, at: usize, upto: usize) -> usize {
        let program = context.rules.rule(self.target).program();
        let position = view.seam() + at as u64;
        let (dfa, mut state, room) = match (self.phase, &program.lead) {
            (Phase::Lead(state), Some(lead)) if self.secret == NONE => (lead, state, upto),
            (Phase::Body(state), _) => {
                let since = if self.swallowed.is_some() { self.end } else { self.secret };
                (&program.body, state, (MAX_HOLD as u64).saturating_sub(position - since + 1) as usize)
            }
            (Phase::Lead(_) | Phase::Known(_), _) => return at,
        };
        let mut stop = at;
        for &byte in &view.input[at..upto.min(at.saturating_add(room))] {
            let next = dfa.next_state(state, byte);
            if dfa.is_special_state(next) {
                break;
            }
            state = next;
            stop += 1;
        }
        self.phase =
            if matches!(self.phase, Phase::Lead(_)) { Phase::Lead(state) } else { Phase::Body(state) };
        stop
    }

    /// The lead is at its longest: the secret begins where it ended, some bytes ago.
    fn enter_body(&mut self, context: &Context<'_>, view: &View<'_>, upto: u64) -> Step {
        let body = &context.rules.rule(self.target).program().body;
        let Some(state) = begin(body, look_behind(view, self.secret)) else { return Step::Over };
        self.phase = Phase::Body(state);
        for at in self.secret..upto {
            let Some(byte) = view.byte(at) else { return Step::Over };
            let step = self.step(context, view, at, byte);
            if step != Step::On {
                return step;
            }
        }
        Step::On
    }

    fn step_known(&mut self, context: &Context<'_>, state: known::StateID, at: u64, byte: u8) -> Step {
        let Some(known) = context.known else { return Step::Over };
        let Some(next) = known.next(state, byte) else { return Step::Over };
        if let Some(needle) = known.matched(next, at + 1 - self.start) {
            self.end = at + 1;
            self.needle = Some(needle.clone());
        }
        self.phase = Phase::Known(next);
        Step::On
    }

    #[inline]
    fn within_limit(&self, upto: u64) -> Step {
        let since = if self.swallowed.is_some() { self.end } else { self.secret };
        if upto - since < MAX_HOLD as u64 { Step::On } else { Step::Full }
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

    /// Two candidates of one rule in one state have one future: the earlier covers the later.
    pub(super) fn absorbs(&mut self, other: &Self) -> bool {
        let same = self.target == other.target && self.phase == other.phase && other.swallowed.is_none();
        if !same || self.secret > other.secret {
            return false;
        }
        if self.end == NONE || (other.end != NONE && other.end > self.end) {
            self.end = other.end;
        }
        true
    }
}

fn begin(dfa: &Dfa, behind: Option<u8>) -> Option<StateID> {
    dfa.start_state(&start::Config::new().anchored(Anchored::Yes).look_behind(behind)).ok()
}

/// Whether what `before` matches backwards ends at `at`.
fn stands_before(before: &Dfa, view: &View<'_>, at: u64) -> bool {
    let Some(mut state) = begin(before, view.byte(at)) else { return false };
    for back in 1..=LOOK_BEHIND {
        let Some(byte) = at.checked_sub(back).and_then(|at| view.byte(at)) else {
            return at < back && before.is_match_state(before.next_eoi_state(state));
        };
        state = before.next_state(state, byte);
        if before.is_special_state(state) {
            return before.is_match_state(state);
        }
    }
    false
}

/// The byte before `at` as `\b` should see it: where an escape sequence ends there (`\n`, `%3D`, `\u003d`,
/// a terminal's colour), its last letter is no letter of the text.
fn look_behind(view: &View<'_>, at: u64) -> Option<u8> {
    let last = view.byte(at.checked_sub(1)?)?;
    if !last.is_ascii_alphanumeric() {
        return Some(last);
    }
    let before = view.slice(at.saturating_sub(16), at);
    Some(if ends_escape(&before) { b'\n' } else { last })
}

fn ends_escape(text: &[u8]) -> bool {
    let hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match text {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'0'] => true,
        _ if text.len() >= 3 && text[text.len() - 3] == b'%' => hex(&text[text.len() - 2..]),
        _ if text.len() >= 4 && text[text.len() - 4..].starts_with(b"\\x") => hex(&text[text.len() - 2..]),
        _ if text.len() >= 6 && text[text.len() - 6..].starts_with(b"\\u") => hex(&text[text.len() - 4..]),
        [.., b'm'] => ends_colour(&text[..text.len() - 1]),
        _ => false,
    }
}

/// `ESC [ 1 ; 31` before its `m`.
fn ends_colour(text: &[u8]) -> bool {
    let end = text.iter().rposition(|byte| !matches!(byte, b'0'..=b'9' | b';'));
    end.is_some_and(|end| {
        text[end] == b'['
            && (text[..end].ends_with(b"\x1b")
                || text[..end].ends_with(b"\\u001b")
                || text[..end].ends_with(b"\\x1b")
                || text[..end].ends_with(b"\\033"))
    })
}
