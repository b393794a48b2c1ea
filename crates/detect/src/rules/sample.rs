//! Samples: text that a rule must find, or must not, written as templates so that no file holds anything
//! that looks like a live token.

use super::RuleSet;
use crate::mask::{MaskOptions, Masker};
use crate::{Discard, KnownValues, TagKey};

/// Expands `<class*n>` in `template`: `n` characters of a bracket class such as `A-Z2-7`, the same ones for
/// the same `seed`. `<<` stands for `<`.
///
/// # Errors
/// Why the template is malformed.
pub fn expand(template: &str, seed: u64) -> Result<String, String> {
    let mut random = Random(seed ^ 0x9E37_79B9_7F4A_7C15);
    let mut output = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('<') {
        output.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('<') {
            output.push('<');
            rest = after;
            continue;
        }
        let (inside, after) = rest.split_once('>').ok_or("a `<` without its `>`")?;
        let (class, count) = inside.rsplit_once('*').ok_or("expected `<class*count>`")?;
        let count: usize = count.parse().map_err(|_| format!("`{count}` is not a count"))?;
        let characters = members(class)?;
        if count > 10_000 {
            return Err("a count is 10000 at most".into());
        }
        output.extend((0..count).map(|_| characters[random.below(characters.len())]));
        rest = after;
    }
    output.push_str(rest);
    Ok(output)
}

/// Whether the rules of `set` find anything in `text`.
pub(super) fn is_found(set: &RuleSet, text: &str) -> bool {
    let mut masker = Masker::new(set, &KnownValues::new(), &TagKey::new(b"samples"), MaskOptions::exact());
    masker.push(text, &mut Discard);
    masker.finish(&mut Discard);
    masker.found() > 0
}

fn members(class: &str) -> Result<Vec<char>, String> {
    let mut members = Vec::new();
    let mut rest = class.chars().peekable();
    while let Some(first) = rest.next() {
        let mut ahead = rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if first <= last => {
                members.extend(first..=last);
                rest = ahead;
            }
            _ => members.push(first),
        }
    }
    if members.is_empty() { Err("an empty class".into()) } else { Ok(members) }
}

/// A small generator (splitmix64): samples must be the same everywhere, not unpredictable.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}
