//! The search for the slowest input: texts made from the samples of every rule, and some by hand, over and over, each
//! measured; prints the slowest. `cargo bench -p lockgate-detect --bench hostile`.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::collections::BTreeSet;

use lockgate_detect::{Discard, KnownValues, MaskOptions, Masker, RuleSet, TagKey, expand_sample};

#[path = "support/clock.rs"]
mod clock;

/// How much of each text is measured at first, and again of those that were the slowest.
const QUICK: usize = 48 << 10;
const THOROUGH: usize = 1 << 20;

/// How many are measured again, and shown.
const AGAIN: usize = 120;
const SHOWN: usize = 20;

/// What the filter cannot tell from what a rule with something before it begins with, so that one reads backwards.
const NEAR: [&[u8]; 4] = [b"valuei", b"-valuei", b"defaulti", b"strivalueidefaulti"];

/// Megabytes per CPU second that nothing should go below.
const GOAL: f64 = 20.0;

fn main() {
    let rules = RuleSet::builtin();
    rules.prepare();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let texts: BTreeSet<Vec<u8>> = rules
        .iter()
        .filter(|rule| rule.id().contains(&wanted))
        .flat_map(|rule| rule.true_samples().iter().chain(rule.false_samples()))
        .flat_map(|template| texts(template))
        .chain(NEAR.iter().map(|text| text.to_vec()))
        .filter(|text| !text.is_empty())
        .collect();
    println!("{} texts", texts.len());
    let mut rates: Vec<(f64, Vec<u8>)> =
        texts.into_iter().map(|text| (rate(&rules, &text, QUICK), text)).collect();
    rates.sort_by(|one, other| one.0.total_cmp(&other.0));
    rates.truncate(AGAIN);
    for (rate_of, text) in &mut rates {
        *rate_of = rate(&rules, text, THOROUGH);
    }
    rates.sort_by(|one, other| one.0.total_cmp(&other.0));
    println!(
        "{} below {GOAL} MB per CPU second; the slowest:",
        rates.iter().filter(|(rate, _)| *rate < GOAL).count()
    );
    for (rate, text) in rates.iter().take(SHOWN) {
        println!("{rate:>8.1}  {:.100}", text.escape_ascii().to_string());
    }
}

/// What is made from one template: the sample whole, short of a byte, halved, and its first bytes; many that
/// differ; each with nothing, a space and a line's end between.
fn texts(template: &str) -> Vec<Vec<u8>> {
    let sample = |seed| expand_sample(template, seed).expect("the built-in samples expand").into_bytes();
    let one = sample(1);
    let cut = |len: usize| one[..len.min(one.len())].to_vec();
    let mut texts = Vec::new();
    for separator in [&b""[..], b" ", b"\n"] {
        let pieces = [one.len(), one.len() - 1, one.len() / 2].map(cut);
        texts.extend(pieces.iter().map(|piece| [piece, separator].concat()));
        texts.push((0..2000).map(sample).collect::<Vec<_>>().join(separator));
        texts.push(
            (0..2000)
                .map(sample)
                .map(|mut text| {
                    text.pop();
                    text
                })
                .collect::<Vec<_>>()
                .join(separator),
        );
    }
    texts.extend((3..=16).map(cut));
    texts
}

fn rate(rules: &RuleSet, text: &[u8], size: usize) -> f64 {
    let input: Vec<u8> = text.iter().copied().cycle().take(size).collect();
    let once = || {
        let mut masker =
            Masker::new(rules, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::default());
        let before = clock::cpu();
        for piece in input.chunks(16 << 10) {
            masker.push(piece, &mut Discard);
        }
        masker.finish(&mut Discard);
        input.len() as f64 / 1e6 / (clock::cpu() - before)
    };
    // Others on the machine make it slower, and nothing makes it faster.
    (0..5).map(|_| once()).fold(0.0, f64::max)
}
