//! Documents made to hurt: each is refused, soon and with little said.

use proptest::prelude::*;

use super::load;
use crate::policy::yaml;

fn refused(text: &str) -> String {
    let errors = load(text).expect_err("the document is refused").to_string();
    assert!(errors.len() < 50_000, "{} bytes of errors", errors.len());
    errors
}

#[test]
fn size() {
    let comment = format!("version: 1\n# {}", "x".repeat(yaml::MAX_BYTES));
    assert!(refused(&comment).starts_with("1:1: the document is larger than 1024 KiB"));
    assert!(load(&comment[..yaml::MAX_BYTES]).is_ok());
}

#[test]
fn depth() {
    for text in [
        format!("version: {}", "[".repeat(100_000)),
        format!("version: {}", "{a: ".repeat(100_000)),
        format!("version: {}1{}", "[".repeat(200), "]".repeat(200)),
        (0..500).fold("version: 1\n".to_owned(), |text, depth| format!("{text}{}a:\n", " ".repeat(depth))),
        format!("- {}", "- ".repeat(100_000)),
        format!("? {}", "? ".repeat(100_000)),
    ] {
        refused(&text);
    }
}

#[test]
fn aliases() {
    let mut bomb = "version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(refused(&bomb).contains(": anchors and aliases are not supported"));
    refused("version: &v [*v]");
}

#[test]
fn many() {
    let keys: String = (0..80_000).map(|index| format!("k{index}: 1\n")).collect();
    refused(&keys);
    let same = "version: 1\n".repeat(80_000);
    refused(&same);
    let rules = "  - {}\n".repeat(100_000);
    assert!(refused(&format!("version: 1\nrules:\n{rules}")).contains("more than 2000 rules"));
    let globs: String = (0..60_000).map(|index| format!("'{index}*',")).collect();
    refused(&format!(
        "version: 1\nrules: [ {{ id: r, match: {{ git: {{ refs: [{globs}] }} }}, decide: deny }} ]"
    ));
    let nots = format!("{}everything: true{}", "not: {".repeat(29), "}".repeat(29));
    assert!(load(&format!("version: 1\nrules: [ {{ id: r, match: {{ {nots} }}, decide: deny }} ]")).is_ok());
    let tests = "  - { who: 'a:b', git: { action: fetch }, expect: { decide: allow } }\n".repeat(10_000);
    refused(&format!("version: 1\ntests:\n{tests}"));
}

#[test]
fn bytes() {
    refused("version: 1\u{0}\nrules: []");
    assert!(refused("version: 1\n# a\u{202e}b").starts_with("2:4: the character U+202E is not allowed"));
    refused("version: 1\nrules: [\u{200b}]");
    refused("\u{feff}\u{feff}version: 1");
    refused("version: 1\nrules: \u{202e}");
    refused(&format!("{}: 1", "k".repeat(900_000)));
    refused(&format!("version: {}", "9".repeat(900_000)));
    refused("version: 1\n\"\\x1b[31m\": 1");
    assert!(load("\u{feff}version: 1\r\nrules: []\r\n").is_ok());
}

#[test]
fn regular_expressions() {
    let document = |patterns: &str| {
        format!(
            "version: 1\nrules: [ {{ id: r, match: {{ git: {{ messages: [{patterns}] }} }}, decide: deny }} ]"
        )
    };
    let many = |count| vec!["'(?i)x{1000}'"; count].join(", ");
    assert!(load(&document(&many(200))).is_ok());
    assert!(refused(&document(&many(201))).contains("more than 200 regular expressions"));
    for hostile in
        ["((((a{99}){99}){99}){99})", "(?i)(a|b|c){60000}", "(a*)*{9999}", "[^a]{100000}", "(.{1000}){1000}"]
    {
        assert!(refused(&document(&format!("'{hostile}'"))).contains("regular expression"), "{hostile}");
    }
    refused(&document(&format!("'{}'", "(".repeat(900_000))));
    refused(&document(&format!("'{}'", "(?i:".repeat(200))));
    refused(&document("'a\u{1b}'"));
    refused(&document("\"(\\x1b[31m\""));
}

const ALPHABET: &str = "version: 1|rules:|- |{|}|[|]|id: |match: |git: |k8s: |refs: |messages: |findings: |file_size: |paths: |any|(a|\\|1MiB|who: |any: |all: |not: |decide: |\
                        allow|deny|require_approval|tests: |expect: |defaults: |groups: |\n|\n  |\n    |, |\"|'|&a |*a |\
                        !t |main|\\*\\*|everything: true|reason: |{ref}|{{|approval: |from: |oblige: |mask: |10m|#|~|? ";

proptest! {
    /// Whatever is put together of a policy's own words is answered, never by a panic.
    #[test]
    fn anything_is_answered(words in prop::collection::vec(prop::sample::select(
        ALPHABET.split('|').collect::<Vec<_>>()), 0..60)) {
        let text = words.concat();
        if let Err(errors) = load(&text) {
            prop_assert!(errors.iter().next().is_some());
            prop_assert!(errors.iter().all(|error| error.line > 0 && error.column > 0 && !error.message.is_empty()));
            prop_assert!(errors.iter().all(|error| !error.message.chars().any(char::is_control)));
        }
    }

    #[test]
    fn any_text_is_answered(text in ".{0,200}") {
        let _ = load(&text);
    }
}
