//! The words of a refusal: one form in every dialect, for people and for programs that read `remote:`.
//!
//! The first line is `lockgate: <kind>: <reason>`; then, indented, a line per ref, the rule and where
//! to approve.

use lockgate_core::refusal::{AccessRefusal, Refusal};

use crate::refname::printable;

/// Refs that are listed; a push of thousands is told of the first.
const LISTED: usize = 20;
/// A line of prose is broken before this column.
const WIDTH: usize = 100;
/// Bytes of a reason that are shown.
const REASON: usize = 400;

/// The lines of a refusal, without control characters. `refs` are those of the accesses, in order.
pub(crate) fn lines(refusal: &Refusal, refs: &[String]) -> Vec<String> {
    let mut lines = wrapped(&format!("lockgate: {}: {}", refusal.kind.word(), short(&refusal.reason)));
    let single = refs.len() < 2;
    for (place, access) in refusal.accesses.iter().enumerate().take(LISTED) {
        match refs.get(place) {
            Some(name) if !single => lines.push(format!("  {name}: {}", about(access))),
            // The reason stands above already.
            Some(_) | None => lines.extend(access.rule.as_ref().map(|rule| format!("  rule: {rule}"))),
        }
    }
    if refusal.accesses.len() > LISTED {
        lines.push(format!("  and {} more", refusal.accesses.len() - LISTED));
    }
    lines.extend(places(refusal.url.as_deref(), refusal.command.as_deref()));
    lines.into_iter().map(|line| printable(&line)).collect()
}

/// Where to approve: on a page, if there is one, and by a command.
pub(super) fn places(url: Option<&str>, command: Option<&str>) -> impl Iterator<Item = String> {
    let first = url.or(command).map(|place| format!("  approve: {place}"));
    let second = url.and(command).map(|command| format!("  or run: {command}"));
    first.into_iter().chain(second)
}

/// Why one access does not go on: its own reason, or that of its company.
pub(super) fn reason(access: &AccessRefusal) -> &str {
    if access.reason.is_empty() { "refused together with the others" } else { short(&access.reason) }
}

/// As much of a reason as anybody reads.
pub(super) fn short(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON)]
}

fn about(access: &AccessRefusal) -> String {
    match &access.rule {
        Some(rule) => format!("{} (rule {rule})", reason(access)),
        None => reason(access).to_owned(),
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, String::len);
        if line > 0 && line + 1 + word.len() > WIDTH {
            lines.push(format!("  {word}"));
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
