//! How the matches of a pattern begin: their first four bytes, for the prefilter to look for, and what can
//! come after these, by which most of what begins alike is told apart without starting an automaton.

use std::collections::BTreeMap;

use regex_automata::nfa::thompson::{NFA, State, Transition};
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{ExtractKind, Extractor};

use crate::filter::{Follow, OPENING, Quad};

/// How many different four bytes a match may begin with.
const MAX_QUADS: usize = 20_000;

/// The quads that a match of `hir` begins with, and what can follow each; `nfa` is of the same pattern.
pub(super) fn openings(hir: &Hir, nfa: &NFA) -> Result<Vec<(Quad, Follow)>, String> {
    let quads = (1..=4).find_map(|turns| quads(hir, turns)).ok_or_else(|| {
        format!("a match must begin with four bytes, of which there are at most {MAX_QUADS} variants")
    })?;
    Ok(either_case(quads).into_iter().map(|quad| (quad, follow(nfa, quad))).collect())
}

/// The first four bytes of every match. Each repetition is looked into as little as will do, since every
/// turn multiplies the variants.
fn quads(hir: &Hir, turns: usize) -> Option<Vec<Quad>> {
    let mut extractor = Extractor::new();
    extractor
        .kind(ExtractKind::Prefix)
        .limit_class(256)
        .limit_repeat(turns)
        .limit_literal_len(4)
        .limit_total(MAX_QUADS);
    let prefixes = extractor.extract(hir);
    let quads: Vec<_> = prefixes
        .literals()?
        .iter()
        .map(|prefix| prefix.as_bytes().first_chunk().copied().map(Quad::exactly))
        .collect::<Option<_>>()?;
    (!quads.is_empty()).then_some(quads)
}

/// Puts together what differs in the case of letters only.
fn either_case(mut quads: Vec<Quad>) -> Vec<Quad> {
    for place in 0..4 {
        let mut cases = BTreeMap::<Quad, Vec<Quad>>::new();
        for quad in quads {
            cases.entry(quad.in_either_case(place)).or_default().push(quad);
        }
        quads = Vec::new();
        for (both, mut each) in cases {
            each.sort_unstable();
            each.dedup();
            if each.len() > 1 { quads.push(both) } else { quads.append(&mut each) }
        }
    }
    quads
}

/// What can come after `quad` in the paths of the automaton, of which no assertion is asked.
fn follow(nfa: &NFA, quad: Quad) -> Follow {
    let mut follow = Follow::NONE;
    let mut states = closure(nfa, vec![nfa.start_anchored()]);
    for place in 0..OPENING {
        if states.iter().any(|&id| matches!(nfa.state(id), State::Match { .. })) {
            follow.allow_all_from(place.saturating_sub(4));
            return follow;
        }
        let mut next = Vec::new();
        for Transition { start, end, next: to } in states.iter().flat_map(|&id| transitions(nfa.state(id))) {
            match place.checked_sub(4) {
                None if !quad.at(place).iter().any(|byte| (start..=end).contains(byte)) => continue,
                None => {}
                Some(after) => (start..=end).for_each(|byte| follow.allow(after, byte)),
            }
            next.push(to);
        }
        states = closure(nfa, next);
    }
    follow
}

/// The states from which bytes are taken, or which match, that are reached without taking a byte.
fn closure(nfa: &NFA, mut open: Vec<StateID>) -> Vec<StateID> {
    let (mut seen, mut closed) = (vec![false; nfa.states().len()], Vec::new());
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut seen[id], true) {
            continue;
        }
        match nfa.state(id) {
            State::Look { next, .. } | State::Capture { next, .. } => open.push(*next),
            State::Union { alternates } => open.extend_from_slice(alternates),
            State::BinaryUnion { alt1, alt2 } => open.extend([*alt1, *alt2]),
            State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => {
                closed.push(id)
            }
            State::Fail => {}
        }
    }
    closed
}

fn transitions(state: &State) -> Vec<Transition> {
    match state {
        State::ByteRange { trans } => vec![*trans],
        State::Sparse(sparse) => sparse.transitions.to_vec(),
        State::Dense(dense) => (0..=u8::MAX)
            .zip(dense.transitions.iter())
            .map(|(byte, &next)| Transition { start: byte, end: byte, next })
            .collect(),
        State::Look { .. }
        | State::Capture { .. }
        | State::Union { .. }
        | State::BinaryUnion { .. }
        | State::Match { .. }
        | State::Fail => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile::{nfa, parse};
    use super::*;

    fn check(pattern: &str, expected: &[&str], possible: &[&str], impossible: &[&str]) {
        let hir = parse(pattern).expect("the pattern parses");
        let openings =
            openings(&hir, &nfa(&[&hir], false).expect("the pattern is small")).expect("it has quads");
        let quads: Vec<_> = openings.iter().map(|(quad, _)| format!("{quad:?}")).collect();
        assert_eq!(quads, expected, "{pattern}");
        let allows = |text: &str| openings.iter().any(|(_, follow)| follow.allows(text.as_bytes()));
        assert_eq!(possible.iter().filter(|text| !allows(text)).collect::<Vec<_>>(), [&""; 0], "{pattern}");
        assert_eq!(impossible.iter().filter(|text| allows(text)).collect::<Vec<_>>(), [&""; 0], "{pattern}");
    }

    #[test]
    fn openings_say_how_matches_begin_and_go_on() {
        check(r"\bAKIA[A-Z0-9]{4}\b", &["AKIA"], &["", "A", "ABC1", "ABCD\n"], &["-", "AB-", "ABC-"]);
        check(
            "(?i)pass(?:word)?=x",
            &["[Pp][Aa][Ss][Ss]"],
            &["word=X", "=x", "=x\u{7f}anything"],
            &["ed", "ws", "==="],
        );
    }

    #[test]
    fn cases_are_put_together_only_where_both_are_meant() {
        check("(?i)ab_c=", &["[Aa][Bb]_[Cc]"], &["="], &["x"]);
        check("[aA]b[cC]D=", &["[Aa]b[Cc]D"], &["="], &["x"]);
        check("(?:abcd|abcD|Abcd)=", &["[Aa]bcd", "abcD"], &["="], &["x"]);
    }
}
