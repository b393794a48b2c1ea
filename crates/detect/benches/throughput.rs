//! Megabytes per CPU second, with all rules on: what a stream costs, whole and in single bytes, on what a
//! gateway sees and on what is made to be slow. `cargo bench -p lockgate-detect --bench throughput`.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::hint::black_box;

use bytes::Bytes;
use lockgate_detect::{KnownValues, MaskOptions, Masker, Piece, RuleSet, Sink, TagKey, expand_sample};

#[path = "support/clock.rs"]
mod clock;
#[path = "support/inputs.rs"]
mod inputs;

/// Takes the output like a socket would: it is looked at and let go.
#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn put(&mut self, piece: Piece<'_>) {
        self.0 += black_box(piece.as_slice()).len() as u64;
    }
}

fn main() {
    let rules = RuleSet::builtin();
    let before = clock::cpu();
    rules.prepare();
    println!("{} rules, all automata built in {:.2} s", rules.len(), clock::cpu() - before);
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "MB per CPU second", "whole", "16 KiB", "1 byte", "1 + flush", "+ known"
    );
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (name, text) in inputs::all().into_iter().filter(|(name, _)| name.contains(&wanted)) {
        let rules = if name.contains("JSON") { rules.structured() } else { rules.clone() };
        row(&name, &text, &rules);
    }
    for (name, text) in hostile().into_iter().filter(|(name, _)| name.contains(&wanted)) {
        row(&name, &text, &rules);
    }
}

fn row(name: &str, text: &Bytes, rules: &RuleSet) {
    let none = KnownValues::new();
    let some = KnownValues::new();
    for seed in 0..20 {
        some.add("known", expand_sample("<A-Za-z0-9*32>", seed).expect("a constant template").as_bytes())
            .expect("twenty short values fit");
    }
    let small = text.slice(..text.len().min(1 << 20));
    print!("{name:<28}");
    print!(" {:>10.0}", rate(text, rules, &none, text.len(), false));
    print!(" {:>10.0}", rate(text, rules, &none, 16 << 10, false));
    print!(" {:>10.0}", rate(&small, rules, &none, 1, false));
    print!(" {:>10.0}", rate(&small, rules, &none, 1, true));
    println!(" {:>10.0}", rate(text, rules, &some, 16 << 10, false));
}

fn rate(text: &Bytes, rules: &RuleSet, known: &KnownValues, size: usize, flush: bool) -> f64 {
    let once = || {
        let mut masker = Masker::new(rules, known, &TagKey::new(b"key"), MaskOptions::default());
        let mut out = Count::default();
        let before = clock::cpu();
        for piece in text.chunks(size) {
            masker.push(piece, &mut out);
            if flush {
                masker.flush(&mut out);
            }
        }
        masker.finish(&mut out);
        text.len() as f64 / 1e6 / (clock::cpu() - before)
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}

fn hostile() -> Vec<(String, Bytes)> {
    let near_misses: Vec<u8> = RuleSet::builtin()
        .iter()
        .filter_map(|rule| rule.true_samples().first().cloned())
        .flat_map(|template| {
            let sample = expand_sample(&template, 1).expect("the built-in samples expand");
            let mut near = sample.into_bytes();
            near.truncate(near.len() - 1);
            near.push(b'!');
            near
        })
        .collect();
    let patterns: [&[u8]; 21] = [
        b"AKIA",
        b"eyJ",
        b"eyJa.",
        b"ghp_",
        b"sk-",
        b"sk-a",
        b"xai-",
        b"xoxb-1",
        b"glpat-",
        b"password=",
        b"://a:",
        b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
        b"curl -u a:",
        b"aws_secret_",
        b"token: \"",
        b"+ASt",
        b"tokenpasswordsecret",
        b"token=abcdefgh ",
        b"token=abcdefg1 ",
        b"pwd='ab1cd2' ",
        b"://a:b1c@d ",
    ];
    let mut inputs: Vec<(String, Bytes)> = patterns
        .iter()
        .map(|pattern| {
            (
                format!(
                    "hostile {}",
                    String::from_utf8_lossy(&pattern[..pattern.len().min(12)]).escape_debug()
                ),
                inputs::fill(pattern),
            )
        })
        .collect();
    inputs.push(("hostile: all near misses".into(), inputs::fill(&near_misses)));
    let openings: Vec<u8> = RuleSet::builtin()
        .iter()
        .filter_map(|rule| rule.true_samples().first())
        .flat_map(|template| {
            let word =
                template.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(template.len());
            format!("{}_", &template[..word]).into_bytes()
        })
        .collect();
    inputs.push(("hostile: all names in a row".into(), inputs::fill(&openings)));
    inputs.push((
        "hostile: names, then a word".into(),
        inputs::fill(&[&openings[..400], &[b'a'; 4000]].concat()),
    ));
    // One value over and over would not show what looks each up in something that it fills.
    let values: String = (0..20_000)
        .map(|seed| expand_sample("--token=<A-Za-z0-9*14>4 ", seed).expect("a constant template"))
        .collect();
    inputs.push(("hostile: values of no end".into(), inputs::fill(values.as_bytes())));
    inputs
}
