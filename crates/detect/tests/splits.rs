//! The same bytes cut at random places give the same output and the same findings; planted secrets never
//! survive, and benign text comes through as it was.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::sync::LazyLock;

use bytes::Bytes;
use lockgate_detect::{Finding, KnownValues, MaskOptions, Masker, RuleSet, TagKey, expand_sample};
use proptest::prelude::*;

#[path = "corpus/lines.rs"]
mod lines;

const KNOWN: &[u8] = b"n0t-in-any/rule \"quoted\"";

/// What is hostile to a masker: near misses, prefixes without end, overlaps, escapes, bad UTF-8.
const FILLER: &[&[u8]] = &[
    b" ",
    b"\n",
    b"plain words, and more of them\n",
    b"AKI",
    b"AKIAAKIAAKIAAKIA",
    b"ghp_ghp_ghp_",
    b"eyJeyJeyJeyJeyJ",
    b"xoxb-xoxb-xoxb-1-2-3",
    b"password=password=",
    b"password: \n",
    b"-----BEGIN RSA PRIVATE KEY-----\n",
    b"\xff\xfe\x80",
    b"\x1b[31m",
    b"%3D",
    b"\\n",
    b"://a:b:c@",
    b"curl -u x:y -u z:",
];

static RULES: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::load("classes = ['personal']").unwrap());

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(corpus);

fn corpus() -> Vec<Vec<u8>> {
    let samples = RULES.iter().flat_map(|rule| rule.true_samples().iter().chain(rule.false_samples()));
    let mut corpus: Vec<Vec<u8>> =
        samples.map(|template| expand_sample(template, 3).unwrap().into_bytes()).collect();
    corpus.extend(FILLER.iter().map(|filler| filler.to_vec()));
    corpus.push(KNOWN.to_vec());
    corpus.extend(lines::secrets().map(|template| lines::marked(template, 5).0.into_bytes()));
    corpus.extend(lines::benign().map(|template| lines::expand(template, 5).into_bytes()));
    corpus.push(names());
    corpus.extend(crowds());
    corpus
}

/// The first bytes of each rule's sample over and over, so that many of one rule are followed at once.
fn crowds() -> impl Iterator<Item = Vec<u8>> {
    let samples = RULES.iter().filter_map(|rule| rule.true_samples().first());
    samples.map(|template| {
        let sample = expand_sample(template, 3).unwrap().into_bytes();
        sample[..sample.len().min(5)].iter().copied().cycle().take(200).collect()
    })
}

/// The beginnings of all rules' samples in a row, so that more begins than is followed at once.
fn names() -> Vec<u8> {
    let samples = RULES.iter().filter_map(|rule| rule.true_samples().first());
    let word = |sample: &String| sample.split(|c: char| !c.is_ascii_alphanumeric()).next().map(str::to_owned);
    samples.filter_map(word).collect::<Vec<_>>().join("_").into_bytes()
}

fn masker(set: &RuleSet) -> Masker {
    let known = KnownValues::new();
    known.add("known", KNOWN).unwrap();
    Masker::new(set, &known, &TagKey::new(b"key"), MaskOptions { findings: 10_000, ..MaskOptions::default() })
}

fn whole(set: &RuleSet, text: &[u8]) -> (Vec<u8>, Vec<Finding>) {
    let (mut masker, mut out) = (masker(set), Vec::new());
    masker.push(text, &mut out);
    masker.finish(&mut out);
    (out, masker.drain_findings())
}

/// Writes pieces of the given sizes, over and over, flushing where a size is odd.
fn cut(set: &RuleSet, text: &[u8], sizes: &[usize], shared: bool) -> (Vec<u8>, Vec<Finding>) {
    let (mut masker, mut out) = (masker(set), Vec::<Bytes>::new());
    let mut rest = Bytes::copy_from_slice(text);
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let piece = rest.split_to(size.min(rest.len()));
        if shared {
            masker.push(&piece, &mut out)
        } else {
            masker.push(&piece[..], &mut out)
        }
        if size % 2 == 1 {
            masker.flush(&mut out);
        }
    }
    masker.finish(&mut out);
    (out.concat(), masker.drain_findings())
}

/// A pause comes after `at` bytes.
fn in_two(set: &RuleSet, text: &[u8], at: usize) -> (Vec<u8>, Vec<Finding>) {
    let (mut masker, mut out) = (masker(set), Vec::new());
    masker.push(&text[..at], &mut out);
    masker.flush(&mut out);
    masker.push(&text[at..], &mut out);
    masker.finish(&mut out);
    (out, masker.drain_findings())
}

fn shown((out, findings): &(Vec<u8>, Vec<Finding>)) -> (String, &[Finding]) {
    (out.escape_ascii().to_string(), findings)
}

proptest! {
    // Ten cuts a case.
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_output_does_not_depend_on_the_cuts(
        picks in proptest::collection::vec(any::<proptest::sample::Index>(), 1..12),
        sizes in proptest::collection::vec(proptest::collection::vec(prop_oneof![1usize..8, 1usize..80, 200usize..3000], 1..10), 10),
        shared in any::<bool>(),
    ) {
        let text: Vec<u8> = picks.iter().flat_map(|pick| CORPUS[pick.index(CORPUS.len())].clone()).collect();
        let expected = whole(&RULES, &text);
        for sizes in &sizes {
            let cut = cut(&RULES, &text, sizes, shared);
            prop_assert_eq!(shown(&expected), shown(&cut));
        }
    }
}

#[test]
fn one_byte_at_a_time_over_the_whole_corpus() {
    for separator in [&b"\n"[..], b"", b" "] {
        let text = CORPUS.join(separator);
        let expected = whole(&RULES, &text);
        assert_eq!(shown(&expected), shown(&cut(&RULES, &text, &[1], false)));
        assert_eq!(shown(&expected), shown(&cut(&RULES, &text, &[2], true)));
    }
}

/// What must stand before a match is read as far back as it is wherever an input ends.
#[test]
fn what_stands_before_is_seen_over_every_cut() {
    let before = RuleSet::load(
        "[[rule]]\nid = 'mine'\npattern = 'KEY=(?P<secret>[a-z0-9]{8})'\nbefore = '\\b[0-9a-z]{1,200}'",
    );
    let (builtin, before) = (RuleSet::builtin(), before.unwrap());
    for spaces in 80..100 {
        let text = format!("{}\ntoken\n{}value: q7RtX2mPz9LwK4vB\n", "x\n".repeat(60), " ".repeat(spaces));
        let named = format!("x_{}KEY=abcd1234 ", "a".repeat(spaces));
        for (set, text) in [(&builtin, text.as_bytes()), (&before, named.as_bytes())] {
            let expected = whole(set, text);
            for at in 1..text.len() {
                assert_eq!(shown(&expected), shown(&in_two(set, text, at)), "{spaces} {at}");
            }
        }
    }
}

/// A secret that begins with the match, or a byte or two after.
#[test]
fn what_may_begin_a_secret_is_held_back() {
    let rules = RuleSet::load("[[rule]]\nid = 'mine'\npattern = '(?:\\b|-)(?P<secret>abab1234)'").unwrap();
    for text in [&b"n abab1234 x"[..], b"n-abab1234 x"] {
        let expected = whole(&rules, text);
        assert_eq!(expected.1.len(), 1);
        for at in 1..text.len() {
            assert_eq!(shown(&expected), shown(&in_two(&rules, text, at)), "{at}");
        }
    }
}

#[test]
fn a_secret_longer_than_what_is_held_is_masked_to_its_end() {
    let set = RuleSet::builtin();
    let key = expand_sample("-----BEGIN RSA PRIVATE KEY-----\n<A-Za-z0-9+/*10000><A-Za-z0-9+/*10000>\n-----END RSA PRIVATE KEY-----", 1).unwrap();
    let text = format!("before\n{key}\nafter AKIA here");
    let (out, findings) = whole(&set, text.as_bytes());
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].length, key.len() as u64);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!("before\n[MASKED:private-key:{}]\nafter AKIA here", findings[0].tag.unwrap())
    );
    assert_eq!(whole(&set, text.as_bytes()), cut(&set, text.as_bytes(), &[1], false));
    assert_eq!(whole(&set, text.as_bytes()), cut(&set, text.as_bytes(), &[7, 900], true));
}

#[test]
fn memory_is_bounded_on_input_without_end() {
    let set = RuleSet::builtin();
    let patterns: [&[u8]; 8] = [
        b"AKIA",
        b"eyJ",
        b"a",
        b"password=",
        b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
        b"ghp_",
        b"://a:",
        b"\xff",
    ];
    for pattern in patterns {
        let mut masker = Masker::new(&set, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::default());
        let piece = pattern.repeat(4096 / pattern.len());
        let mut out = Vec::<u8>::new();
        for _ in 0..200 {
            masker.push(&piece, &mut out);
            masker.flush(&mut out);
            assert!(
                masker.memory() < 256 * 1024,
                "{} after {:?}",
                masker.memory(),
                String::from_utf8_lossy(pattern)
            );
        }
    }
    assert!(size_of::<Masker>() < 1024);
}
