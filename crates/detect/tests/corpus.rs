//! Lines as people and programs write them: every secret in one list is masked, nothing in the other is.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use lockgate_detect::{KnownValues, MaskOptions, Masker, RuleSet, TagKey};

#[path = "corpus/lines.rs"]
mod lines;

use lines::{benign, expand, marked, secrets};

/// Each line is made up anew so often.
const SEEDS: u64 = 10;

fn masked(set: &RuleSet, text: &str) -> String {
    let mut masker = Masker::new(set, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::exact());
    let mut out = Vec::new();
    masker.push(text, &mut out);
    masker.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_secret_is_masked_whole() {
    let set = RuleSet::builtin();
    let mut missed = Vec::new();
    for template in secrets() {
        for seed in 0..SEEDS {
            let (text, secrets) = marked(template, seed);
            assert!(!secrets.is_empty(), "no secret in {template}");
            let out = masked(&set, &format!("{text}\n"));
            // What is left of a secret is no longer than what may be said of its kind.
            let left = |secret: &str| {
                secret
                    .as_bytes()
                    .windows(12.min(secret.len()))
                    .any(|part| out.as_bytes().windows(part.len()).any(|window| window == part))
            };
            if secrets.iter().any(|secret| left(secret)) {
                missed.push(format!("{template}\n    {out}"));
                break;
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn nothing_benign_is_changed() {
    let set = RuleSet::builtin();
    let mut wrong = Vec::new();
    for template in benign() {
        for seed in 0..SEEDS {
            let text = format!("{}\n", expand(template, seed));
            let out = masked(&set, &text);
            if out != text {
                wrong.push(format!("{template}\n    {out}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
