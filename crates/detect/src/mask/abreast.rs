//! Candidates of one rule, advanced side by side. Each step of an automaton waits for the one before, and input
//! made to be slow has many candidates; those of one rule do not wait for each other.

use regex_automata::dfa::Automaton;
use regex_automata::util::primitives::StateID;

use super::candidate::{Candidate, NONE, Phase};
use super::engine::Context;
use crate::filter::Target;
use crate::rules::{Dfa, MAX_HOLD};

/// How many go side by side.
const LANES: usize = 4;

/// From how many candidates on it is worth the sorting.
const MANY: usize = 8;

/// How many groups are gathered at once.
const GROUPS: usize = 8;

/// Candidates in the same automaton.
#[derive(Clone, Copy)]
struct Group {
    automaton: (Target, Part),
    members: [usize; LANES],
    states: [StateID; LANES],
    len: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Lead,
    Body,
}

/// Advances those of `live` that can go together over `bytes`, which stand at `at`, as far as nothing happens to
/// them but that they match; the rest, the last byte at least, is theirs to take.
pub(super) fn advance(context: &Context<'_>, live: &mut [Candidate], at: u64, bytes: &[u8]) {
    let Some(bytes) = bytes.get(..bytes.len().saturating_sub(1)) else { return };
    if live.len() < MANY || bytes.is_empty() {
        return;
    }
    let empty =
        Group { automaton: (0, Part::Lead), members: [0; LANES], states: [StateID::ZERO; LANES], len: 0 };
    let mut groups = [empty; GROUPS];
    for index in 0..live.len() {
        let Some((part, state)) = place(&live[index], at + bytes.len() as u64) else { continue };
        let automaton = (live[index].target, part);
        let group = &mut groups[usize::from(automaton.0) % GROUPS];
        if group.automaton != automaton {
            *group = Group { automaton, ..empty };
        }
        (group.members[group.len], group.states[group.len]) = (index, state);
        group.len += 1;
        if group.len == LANES {
            group.len = 0;
            let program = context.rules.rule(automaton.0).program();
            match (part, &program.lead) {
                (Part::Body, _) => run(&program.body, live, group, at, bytes),
                (Part::Lead, Some(lead)) => run(&lead.dfa, live, group, at, bytes),
                (Part::Lead, None) => {}
            }
        }
    }
}

/// Where a candidate is, if it is in an automaton in which no limit stops it before `upto`.
fn place(candidate: &Candidate, upto: u64) -> Option<(Part, StateID)> {
    let is_free = candidate.secret == NONE || upto - candidate.secret < MAX_HOLD as u64;
    let place = match candidate.phase {
        Phase::Lead(state) => (Part::Lead, state),
        Phase::Body(state) => (Part::Body, state),
        Phase::Known(_) => return None,
    };
    (is_free && candidate.swallowed.is_none()).then_some(place)
}

fn run(dfa: &Dfa, live: &mut [Candidate], group: &Group, at: u64, bytes: &[u8]) {
    let (mut states, mut ends, mut taken) = (group.states, [NONE; LANES], 0);
    for &byte in bytes {
        let (mut next, mut is_special) = (states, false);
        for state in &mut next {
            *state = dfa.next_state(*state, byte);
            is_special |= dfa.is_special_state(*state);
        }
        if is_special {
            if next.iter().any(|&state| dfa.is_special_state(state) && !dfa.is_match_state(state)) {
                break;
            }
            for (end, &state) in ends.iter_mut().zip(&next) {
                if dfa.is_match_state(state) {
                    *end = at + taken as u64;
                }
            }
        }
        states = next;
        taken += 1;
    }
    for ((member, state), end) in group.members.into_iter().zip(states).zip(ends) {
        live[member].jump(state, end, taken);
    }
}
