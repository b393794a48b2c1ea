//! The scanner finds what is plain and what is one level deep, under every split and within its limits.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_detect::{Finding, KnownValues, RuleSet, ScanOptions, Scanner, TagKey, Wrapping, expand_sample};
use proptest::prelude::*;

fn token() -> String {
    expand_sample("ghp_<A-Za-z0-9*36>", 5).unwrap()
}

fn scan(text: &[u8], sizes: &[usize], options: ScanOptions) -> (Vec<Finding>, bool) {
    let mut scanner = Scanner::new(&RuleSet::builtin(), &KnownValues::new(), &TagKey::new(b"key"), options);
    let mut rest = text;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let piece;
        (piece, rest) = rest.split_at(size.min(rest.len()));
        scanner.push(piece);
    }
    scanner.finish();
    let is_limited = scanner.is_limited();
    (scanner.drain_findings(), is_limited)
}

#[track_caller]
fn check(text: &[u8], expected: &[(&str, u64, u64, Option<Wrapping>)]) {
    for sizes in [&[usize::MAX][..], &[1], &[3, 7]] {
        let (found, _) = scan(text, sizes, ScanOptions::default());
        let found: Vec<_> =
            found.iter().map(|found| (&*found.rule, found.offset, found.line, found.within)).collect();
        assert_eq!(found, expected, "in pieces of {sizes:?}");
    }
}

#[test]
fn finds_what_is_plain_with_its_line() {
    check(format!("a\nb\n  {} c\n", token()).as_bytes(), &[("github-pat", 6, 3, None)]);
}

#[test]
fn finds_what_is_encoded_once() {
    let text = format!("a line of text with {} in it, long enough to be wrapped into two lines", token());
    let encoded = STANDARD.encode(&text);
    check(format!("x {encoded} y").as_bytes(), &[("github-pat", 2, 0, Some(Wrapping::Base64))]);
    let wrapped: Vec<&str> =
        encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    check(format!("x {} y", wrapped.join("\n")).as_bytes(), &[("github-pat", 2, 0, Some(Wrapping::Base64))]);
    let percent = token().replace("_", "%5F");
    check(format!("go to /a?t={percent} now").as_bytes(), &[("github-pat", 6, 0, Some(Wrapping::Percent))]);
}

#[test]
fn looks_into_gzip() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(format!("{} {}", "filler ".repeat(1000), token()).as_bytes()).unwrap();
    check(&gzip.finish().unwrap(), &[("github-pat", 0, 0, Some(Wrapping::Gzip))]);
}

#[test]
fn a_bomb_is_left_alone() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for _ in 0..64 {
        gzip.write_all(&[b' '; 1 << 16]).unwrap();
    }
    let (_, is_limited) = scan(
        &gzip.finish().unwrap(),
        &[usize::MAX],
        ScanOptions { max_decoded: 1 << 20, ..ScanOptions::default() },
    );
    assert!(is_limited);
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        parts in proptest::collection::vec(prop_oneof![
            Just(token()), Just(STANDARD.encode(token())), Just(token().replace('_', "%5f")), Just(" ".to_owned()), Just("\n".to_owned()), Just("%zz%".to_owned()), Just("word".to_owned()),
        ], 1..20),
        sizes in proptest::collection::vec(1usize..60, 1..6),
    ) {
        let text = parts.concat();
        prop_assert_eq!(scan(text.as_bytes(), &[usize::MAX], ScanOptions::default()), scan(text.as_bytes(), &sizes, ScanOptions::default()));
    }
}
