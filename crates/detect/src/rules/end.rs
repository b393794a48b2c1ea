//! Where a secret ends that a pattern takes bytes after: in most patterns at the first byte that it cannot hold.

use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::{Class, Hir, HirKind, Look, LookSet};

use super::compile::search_hir;

/// Finds the end of the secret in what a rule's body matched.
pub(crate) enum End {
    /// Before the first byte that is not one of these, or at the end of all.
    Outside(Box<[bool; 256]>),
    /// At the end of the first group.
    Group(Box<meta::Regex>),
}

impl End {
    /// The end of `secret` in matches of `body`, in which it is the first group and `after` follows it.
    pub(super) fn new(secret: &Hir, after: &Hir, body: &Hir) -> Result<Self, String> {
        let (mut within, mut next) = (Box::new([false; 256]), [false; 256]);
        enter_all(secret, &mut within);
        enter_first(after, &mut next);
        let looks = after.properties().look_set();
        let is_at_end = looks.subtract(LookSet::singleton(Look::End)).is_empty();
        let is_apart = within.iter().zip(&next).all(|(within, next)| !(within & next));
        if is_at_end && is_apart && may_be_empty_only_at_end(after) {
            return Ok(Self::Outside(within));
        }
        search_hir(body).map(Box::new).map(Self::Group)
    }

    pub(crate) fn of(&self, matched: &[u8]) -> Option<usize> {
        match self {
            Self::Outside(within) => {
                let end = matched.iter().position(|&byte| !within[usize::from(byte)]);
                Some(end.unwrap_or(matched.len()))
            }
            Self::Group(regex) => {
                let mut captures = regex.create_captures();
                regex.search_captures(&Input::new(matched).anchored(Anchored::Yes), &mut captures);
                captures.get_group(1).map(|span| span.end)
            }
        }
    }
}

/// Whether `hir` takes a byte wherever the text goes on.
fn may_be_empty_only_at_end(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty => false,
        HirKind::Look(look) => *look == Look::End,
        HirKind::Literal(_) | HirKind::Class(_) => hir.properties().minimum_len() != Some(0),
        HirKind::Repetition(repetition) => repetition.min > 0 && may_be_empty_only_at_end(&repetition.sub),
        HirKind::Capture(capture) => may_be_empty_only_at_end(&capture.sub),
        HirKind::Concat(parts) => parts.iter().any(may_be_empty_only_at_end),
        HirKind::Alternation(parts) => parts.iter().all(may_be_empty_only_at_end),
    }
}

/// Every byte that can occur in a match of `hir`.
fn enter_all(hir: &Hir, bytes: &mut [bool; 256]) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.iter().for_each(|&byte| bytes[usize::from(byte)] = true),
        HirKind::Class(class) => enter_class(class, bytes),
        HirKind::Repetition(repetition) => enter_all(&repetition.sub, bytes),
        HirKind::Capture(capture) => enter_all(&capture.sub, bytes),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| enter_all(part, bytes));
        }
    }
}

/// Every byte that a match of `hir` can begin with.
fn enter_first(hir: &Hir, bytes: &mut [bool; 256]) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => {
            literal.0.iter().take(1).for_each(|&byte| bytes[usize::from(byte)] = true)
        }
        HirKind::Class(class) => enter_class(class, bytes),
        HirKind::Repetition(repetition) => enter_first(&repetition.sub, bytes),
        HirKind::Capture(capture) => enter_first(&capture.sub, bytes),
        HirKind::Concat(parts) => {
            let first = parts.iter().position(|part| part.properties().minimum_len() != Some(0));
            parts[..first.map_or(parts.len(), |first| first + 1)]
                .iter()
                .for_each(|part| enter_first(part, bytes));
        }
        HirKind::Alternation(parts) => parts.iter().for_each(|part| enter_first(part, bytes)),
    }
}

fn enter_class(class: &Class, bytes: &mut [bool; 256]) {
    match class {
        Class::Bytes(class) => class
            .iter()
            .for_each(|range| bytes[usize::from(range.start())..=usize::from(range.end())].fill(true)),
        // Patterns are parsed without Unicode: a class of characters that occurs is one of ASCII.
        Class::Unicode(class) => match class.to_byte_class() {
            Some(ascii) => enter_class(&Class::Bytes(ascii), bytes),
            None => bytes.fill(true),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile::parse;
    use super::*;

    #[track_caller]
    fn check(secret: &str, after: &str, is_simple: bool, ends: &[(&str, usize)]) {
        let [secret_hir, after_hir] = [secret, after].map(|pattern| parse(pattern).expect("a pattern"));
        let body = parse(&format!("({secret}){after}")).expect("a pattern");
        let end = End::new(&secret_hir, &after_hir, &body).expect("a small pattern");
        assert_eq!(matches!(end, End::Outside(_)), is_simple, "({secret}){after}");
        let group = search_hir(&body).map(Box::new).map(End::Group).expect("a small pattern");
        for &(matched, expected) in ends {
            assert_eq!(end.of(matched.as_bytes()), Some(expected), "({secret}){after} on {matched}");
            assert_eq!(group.of(matched.as_bytes()), Some(expected), "({secret}){after} on {matched}");
        }
    }

    #[test]
    fn ends_before_what_it_cannot_hold() {
        check("[a-z]{3,}", "@[a-z]", true, &[("abc@d", 3)]);
        check("[a-z]{3}", "(?:[^a-z]|$)", true, &[("abc", 3), ("abc;", 3)]);
        check(r#"[^\s"]{3,}"#, r#"\s*""#, true, &[("abc  \"", 3), ("abc\"", 3)]);
        check("(?:ab|[0-9])+={0,2}", "[!;]", true, &[("ab1ab==;", 7), ("ab!", 2)]);
    }

    #[test]
    fn is_searched_for_where_both_can_hold_a_byte() {
        check("[a-z]{3,}", "z[0-9]", false, &[("abczz1", 4)]);
        check("[a-z]{3,}?", "(?:;|)", false, &[("abc", 3)]);
        check(r"[a-z-]{3,}", r"(?:;|\b)", false, &[("ab-c;", 4), ("abc-", 3)]);
    }
}
