//! Input that is malformed, endless, ambiguous or built against a masker: secrets in it are masked all the same,
//! and everything else comes through as it was.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use lockgate_detect::{
    KnownValues, MaskOptions, Masker, Piece, RuleSet, Sink, TagKey, entropy, expand_sample,
};
use proptest::prelude::*;

#[path = "corpus/lines.rs"]
#[expect(dead_code, reason = "what the tests of the corpus itself need")]
mod lines;

fn masker(options: MaskOptions) -> Masker {
    Masker::new(&RuleSet::builtin(), &KnownValues::new(), &TagKey::new(b"key"), options)
}

fn masked_with(options: MaskOptions, text: &[u8], sizes: &[usize]) -> (Vec<u8>, Vec<String>) {
    let (mut masker, mut out, mut rest) = (masker(options), Vec::new(), text);
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let piece;
        (piece, rest) = rest.split_at(size.min(rest.len()));
        masker.push(piece, &mut out);
        masker.flush(&mut out);
    }
    masker.finish(&mut out);
    (out, masker.findings().iter().map(|finding| finding.rule.to_string()).collect())
}

/// What comes out, with the tags left out, whole and in single bytes, and the rules that found something.
fn masked(text: &[u8]) -> (String, Vec<String>) {
    let [whole, cut] = [text.len().max(1), 1].map(|size| masked_with(MaskOptions::default(), text, &[size]));
    assert_eq!(whole, cut);
    let mut shown = whole.0.escape_ascii().to_string();
    while let Some((before, after)) = shown.split_once("[MASKED:") {
        let (inside, after) = after.split_once(']').unwrap();
        shown = format!("{before}<{}>{after}", inside.rsplit_once(':').unwrap().0);
    }
    (shown, whole.1)
}

#[track_caller]
fn check(text: &[u8], expected: &str) {
    assert_eq!(masked(text).0, expected);
}

fn sample(template: &str) -> String {
    expand_sample(template, 3).unwrap()
}

fn token() -> String {
    sample("glpat-<A-Za-z0-9*20>")
}

#[test]
fn bytes_that_are_no_text_are_none_of_a_masker_s_business() {
    let token = token().into_bytes();
    check(&[&b"\xff\xfe\x00"[..], &token, b"\xc3\x28\x80"].concat(), r"\xff\xfe\x00<gitlab-pat>\xc3(\x80");
    let halves = [&token[..10], &token[10..]].map(|half| String::from_utf8(half.to_vec()).unwrap());
    let expected = format!(r"\xf0\x9f\x98{}\xff{}", halves[0], halves[1]);
    check(&[&b"\xf0\x9f\x98"[..], &token[..10], b"\xff", &token[10..]].concat(), &expected);
}

#[test]
fn secrets_side_by_side_are_each_masked() {
    let (one, other) = (token(), sample("xoxb-<1-9*12>-<1-9*13>-<A-Za-z0-9*24>"));
    for separator in [",", ";", "|", "\n", "\t", "\"\"", "', '", "\\n", "/", "<br>"] {
        let text = [&*one, &*other, &*one].join(separator);
        let shown = separator.escape_ascii_text();
        check(text.as_bytes(), &["<gitlab-pat>", "<slack-bot-token>", "<gitlab-pat>"].join(&shown));
    }
}

trait EscapeText {
    fn escape_ascii_text(&self) -> String;
}

impl EscapeText for str {
    fn escape_ascii_text(&self) -> String {
        self.as_bytes().escape_ascii().to_string()
    }
}

#[test]
fn where_rules_overlap_the_most_telling_names_the_place_once() {
    let token = token();
    for text in [
        format!("Authorization: Bearer {token}"),
        format!("token = {token}"),
        format!("--password={token}"),
        format!("https://user:{token}@example.net/"),
    ] {
        let (shown, rules) = masked(text.as_bytes());
        assert_eq!(shown, text.replace(&token, "<gitlab-pat>"));
        assert_eq!(rules, ["gitlab-pat"], "{text}");
    }
}

#[test]
fn a_secret_can_be_a_key() {
    let token = token();
    check(format!("{token}=1 {token}: 2").as_bytes(), "<gitlab-pat>=1 <gitlab-pat>: 2");
}

#[test]
fn a_stream_may_end_within_a_secret() {
    let token = token();
    let text = format!("it is {}", &token[..token.len() - 4]);
    let options = [MaskOptions::default(), MaskOptions::exact()];
    let [kept, exact] = options.map(|options| masked_with(options, text.as_bytes(), &[7]));
    assert!(kept.0.starts_with(b"it is [MASKED:gitlab-pat:"), "{}", kept.0.escape_ascii());
    assert_eq!(kept.1, ["gitlab-pat"]);
    assert_eq!((exact.0, exact.1), (text.into_bytes(), Vec::new()));
    // Too little to tell.
    for text in ["it is glpat-", "AK", "-----BEGIN", "password: "] {
        check(text.as_bytes(), text);
    }
}

#[test]
fn a_pause_after_a_whole_line_holds_nothing_back() {
    for line in [format!("token {}\n", token()), format!("export GITHUB_TOKEN={}\n", token())] {
        let (mut masker, mut out) = (masker(MaskOptions::default()), Vec::new());
        masker.push(line.as_bytes(), &mut out);
        masker.idle(&mut out);
        let shown = String::from_utf8(out).unwrap();
        assert!(
            !shown.contains(&token()) && shown.contains("[MASKED:") && shown.ends_with('\n'),
            "{shown:?}"
        );
        assert!(!masker.is_holding());
    }
}

#[test]
fn after_thousands_of_near_misses_a_secret_is_still_found() {
    let rules = RuleSet::builtin();
    let near: Vec<u8> = rules
        .iter()
        .flat_map(|rule| rule.false_samples().iter().chain(rule.true_samples()))
        .flat_map(|template| {
            let mut sample = expand_sample(template, 3).unwrap().into_bytes();
            sample.truncate(sample.len() / 2);
            sample.extend_from_slice(b"! ");
            sample
        })
        .collect();
    let token = token();
    let text = [near.repeat(10), b"\n".to_vec(), token.as_bytes().to_vec(), b"\n".to_vec(), near].concat();
    let (out, rules) =
        masked_with(MaskOptions { findings: 100_000, ..MaskOptions::default() }, &text, &[4096, 1, 100]);
    assert!(rules.iter().any(|rule| rule == "gitlab-pat"));
    assert!(!out.windows(token.len()).any(|window| window == token.as_bytes()));
}

/// Looks at a line that is too long to keep.
#[derive(Default)]
struct Line {
    length: u64,
    masked: usize,
    last: Vec<u8>,
}

impl Sink for Line {
    fn put(&mut self, piece: Piece<'_>) {
        let bytes = piece.as_slice();
        self.length += bytes.len() as u64;
        self.masked += usize::from(bytes.starts_with(b"[MASKED:"));
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(100)..]);
        self.last.drain(..self.last.len().saturating_sub(100));
    }
}

/// A line of `length` bytes, with a secret in its middle and one at its end.
fn long_line(length: usize) {
    let (mut masker, mut line) = (masker(MaskOptions::default()), Line::default());
    let (token, part) = (token(), b"plain words and {json: 'text'}; ".repeat(2048));
    for index in 0..length / part.len() {
        masker.push(&part, &mut line);
        if index == length / part.len() / 2 {
            masker.push(token.as_bytes(), &mut line);
            masker.push(" ", &mut line);
        }
        assert!(masker.memory() < 256 << 10);
    }
    masker.push(token.as_bytes(), &mut line);
    masker.finish(&mut line);
    let findings = masker.findings();
    assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(findings[1].offset, (length / part.len() * part.len() + token.len() + 1) as u64);
    assert_eq!(line.masked, 2);
    assert!(line.last.ends_with(b"]") && entropy(&line.last) > 3.0);
    assert!(line.length >= (length / part.len() * part.len()) as u64);
}

#[test]
fn a_line_may_be_long() {
    long_line(32 << 20);
}

#[test]
#[ignore = "a minute in the dev profile"]
fn a_line_may_be_a_gibibyte() {
    long_line(1 << 30);
}

/// Secrets whose rules need nothing around them.
const PLANTED: [&str; 5] = [
    "glpat-<A-Za-z0-9*20>",
    "xoxb-<1-9*12>-<1-9*13>-<A-Za-z0-9*24>",
    "AKIA<A-Z2-7*16>",
    "SG.<A-Za-z0-9*22>.<A-Za-z0-9*43>",
    "-----BEGIN PRIVATE KEY-----\n<A-Za-z0-9+*64>\n<A-Za-z0-9+*64>\n-----END PRIVATE KEY-----",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_planted_secret_survives(
        parts in proptest::collection::vec(
            (any::<proptest::sample::Index>(), 0..PLANTED.len(), 0u64..1000, proptest::sample::select(vec!["\n", " ", "\"", "\r\n\t", "\\n", "' "])),
            1..10,
        ),
        sizes in proptest::collection::vec(prop_oneof![1usize..8, 1usize..80, 200usize..3000], 1..10),
    ) {
        let benign: Vec<&str> = lines::benign().collect();
        let (mut text, mut planted) = (String::new(), Vec::new());
        for (filler, template, seed, separator) in parts {
            let secret = expand_sample(PLANTED[template], seed).unwrap();
            text += &format!("{}\n{separator}{secret}{separator}", lines::expand(benign[filler.index(benign.len())], !seed));
            planted.push(secret);
        }
        let (out, found) = masked_with(MaskOptions::default(), text.as_bytes(), &sizes);
        prop_assert!(found.len() >= planted.len());
        for secret in planted {
            // A third of it would be too much.
            let part = &secret.as_bytes()[secret.len() / 2..secret.len() / 2 + secret.len() / 3];
            prop_assert!(!out.windows(part.len()).any(|window| window == part), "{} in {}", secret, out.escape_ascii());
        }
    }
}
