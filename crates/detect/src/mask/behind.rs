//! What stands before a place: what a rule asks for there, and the byte that its pattern sees.

use regex_automata::dfa::Automaton;

use super::candidate::begin;
use super::view::View;
use crate::rules::Dfa;

/// How far back a rule may look at what stands before its match.
pub(super) const LOOK_BEHIND: u64 = 96;

/// How many bytes before an input a match may begin that is only known for one with it: all of a quad but its last.
pub(super) const BEFORE_SEAM: u64 = 3;

/// Whether what `before` matches backwards ends at `at`.
pub(super) fn stands_before(before: &Dfa, view: &View<'_>, at: u64) -> bool {
    let Some(mut state) = begin(before, view.byte(at)) else { return false };
    let from = at.saturating_sub(LOOK_BEHIND);
    let (kept, input) = view.parts(from, at);
    for &byte in input.iter().rev().chain(kept.iter().rev()) {
        state = before.next_state(state, byte);
        if before.is_special_state(state) {
            return before.is_match_state(state);
        }
    }
    from == 0 && before.is_match_state(before.next_eoi_state(state))
}

/// The byte before `at` as `\b` should see it: where an escape sequence ends there (`\n`, `%3D`, `\u003d`,
/// a terminal's colour), its last letter is no letter of the text.
pub(super) fn look_behind(view: &View<'_>, at: u64) -> Option<u8> {
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
