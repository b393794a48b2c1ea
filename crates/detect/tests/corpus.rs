//! Lines as people and programs write them: every secret in one list is masked, nothing in the other is.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use lockgate_detect::{KnownValues, MaskOptions, Masker, RuleSet, TagKey, expand_sample};

const SECRETS: &str = include_str!("corpus/secrets.txt");
const BENIGN: &str = include_str!("corpus/benign.txt");

/// Each line is made up anew so often.
const SEEDS: u64 = 10;

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ") && *line != "#")
}

fn expand(template: &str, seed: u64) -> String {
    let text = template.replace("\\\\", "\0").replace("\\n", "\n").replace('\0', "\\");
    expand_sample(&text, seed).unwrap()
}

fn masked(set: &RuleSet, text: &str) -> String {
    let mut masker = Masker::new(set, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::exact());
    let mut out = Vec::new();
    masker.push(text, &mut out);
    masker.finish(&mut out);
    String::from_utf8(out).unwrap()
}

/// The text and the secrets in it.
fn marked(template: &str, seed: u64) -> (String, Vec<String>) {
    let (mut text, mut secrets) = (String::new(), Vec::new());
    for (place, part) in template.split(['«', '»']).enumerate() {
        let part = expand(part, seed.wrapping_mul(31) + place as u64);
        text += &part;
        if place % 2 == 1 {
            secrets.push(part);
        }
    }
    (text, secrets)
}

#[test]
fn every_secret_is_masked_whole() {
    let set = RuleSet::builtin();
    let mut missed = Vec::new();
    for template in lines(SECRETS) {
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
    for template in lines(BENIGN) {
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
