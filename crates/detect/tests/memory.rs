//! What a stream takes on the heap, measured by a counting allocator over input made to make it grow.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use lockgate_detect::{
    Discard, Encoding, JsonMasker, KnownValues, MaskOptions, Masker, Places, RuleSet, ScanOptions, Scanner,
    TagKey, YamlMasker, expand_sample,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const IDLE: usize = 32 << 10;
const BUSY: usize = 256 << 10;

/// Enough of each input for what grows with it to be seen.
const INPUT: usize = 256 << 10;

/// What a stream is written in.
const PIECES: [usize; 4] = [256 << 10, 16 << 10, 700, 1];

trait Stream {
    /// What ends anything that is open in the text.
    const CALM: &[u8];

    fn push(&mut self, piece: &[u8]);
    /// Nothing more comes for now.
    fn rest(&mut self);
}

impl Stream for Masker {
    const CALM: &[u8] = b"\nan ordinary line of a log\n";

    fn push(&mut self, piece: &[u8]) {
        Masker::push(self, piece, &mut Discard);
    }

    fn rest(&mut self) {
        self.idle(&mut Discard);
    }
}

impl Stream for JsonMasker {
    const CALM: &[u8] = b"  \n";

    fn push(&mut self, piece: &[u8]) {
        // Malformed input ends a document; what it took until then is what counts.
        let _ = JsonMasker::push(self, piece, &mut Discard);
    }

    fn rest(&mut self) {
        self.flush(&mut Discard);
    }
}

impl Stream for YamlMasker {
    const CALM: &[u8] = b"\n";

    fn push(&mut self, piece: &[u8]) {
        let _ = YamlMasker::push(self, piece, &mut Discard);
    }

    fn rest(&mut self) {
        self.flush(&mut Discard);
    }
}

impl Stream for Scanner {
    const CALM: &[u8] = b"\nan ordinary line of a log\n";

    fn push(&mut self, piece: &[u8]) {
        Scanner::push(self, piece);
    }

    fn rest(&mut self) {}
}

fn masker() -> Masker {
    let known = KnownValues::new();
    Masker::new(&RuleSet::builtin(), &known, &TagKey::new(b"key"), MaskOptions::default())
}

fn places() -> Places {
    Places::new().with("secret", "**.data.*", Encoding::Base64).unwrap()
}

/// Every true sample whole, and one byte short of it, and its beginning alone.
fn crafted() -> Vec<Vec<u8>> {
    let rules = RuleSet::builtin();
    let samples: Vec<String> = rules
        .iter()
        .filter_map(|rule| rule.true_samples().first().map(|sample| expand_sample(sample, 1).unwrap()))
        .collect();
    let short = samples.iter().map(|sample| &sample.as_bytes()[..sample.len() - 1]);
    let beginnings = samples.iter().map(|sample| &sample.as_bytes()[..sample.len().min(6)]);
    let patterns: [&[u8]; 16] = [
        b"AKIA",
        b"eyJ",
        b"ghp_",
        b"a",
        b"\xff",
        b"\n",
        b"password=",
        b"://a:",
        b"://a:b1c@d ",
        b"token=abcdefg1 ",
        b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
        b"curl -u a:",
        b"tokenpasswordsecret",
        b"{\"data\":{\"a\":\"eA==\"},\"b\":[",
        b"[",
        b"  - a:\n",
    ];
    let mut inputs: Vec<Vec<u8>> = patterns.iter().map(|pattern| pattern.to_vec()).collect();
    inputs.push(samples.join(" ").into_bytes());
    inputs.push(short.collect::<Vec<_>>().join(&b'!'));
    inputs.push(beginnings.collect::<Vec<_>>().concat());
    // Documents that are as deep as one may be, after many findings.
    let findings = format!("\"{}\"", samples.join(" ").replace(['"', '\\', '\n', '\r', '\t'], " "));
    inputs.push(format!("[{findings},{findings},{}", r#"[{"a":"#.repeat(51_000)).into());
    let deep = |key: &str| (0..250).map(|level| " ".repeat(level) + key).collect::<String>();
    inputs.push(format!("a: {findings}\nb: {findings}\nc:\n{}", deep(" a:\n")).into());
    inputs.push(format!("a: {findings}\nb: {}", "[{a: ".repeat(63)).into());
    // Many findings that must wait until it is known whether a key goes on around them.
    inputs
        .push(format!("-----BEGIN PRIVATE KEY-----\nProc-Type: {}\n", "token=abcdefg1 ".repeat(500)).into());
    inputs
}

fn run<S: Stream>(make: &dyn Fn() -> S, pattern: &[u8], size: usize) -> (usize, usize) {
    let input = pattern.repeat(INPUT.min(size * 3000).div_ceil(pattern.len()));
    let calm = S::CALM.repeat((16 << 10) / S::CALM.len());
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let mut stream = make();
    for piece in input.chunks(size) {
        stream.push(piece);
    }
    let busy = HEAP.peak_usage().saturating_sub(before);
    // What was hostile is over, and ordinary text ends what was open.
    calm.chunks(size).for_each(|piece| stream.push(piece));
    stream.rest();
    (busy, HEAP.current_usage().saturating_sub(before))
}

#[track_caller]
fn check<S: Stream>(name: &str, limits: (usize, usize), make: &dyn Fn() -> S) {
    for pattern in crafted() {
        for size in PIECES {
            // The first run fills what the rules share, for all streams: the caches of their expressions.
            run(make, &pattern, size);
            let (busy, idle) = run(make, &pattern, size);
            let shown = String::from_utf8_lossy(&pattern[..pattern.len().min(24)]).into_owned();
            assert!(busy < limits.0, "{name}: {busy} bytes busy on {shown:?} by {size}");
            assert!(idle < limits.1, "{name}: {idle} bytes idle after {shown:?} by {size}");
        }
    }
}

/// One test, since the allocator counts for all threads.
#[test]
fn a_stream_takes_no_more_than_promised_whatever_comes() {
    RuleSet::builtin().prepare();
    RuleSet::builtin().structured().prepare();
    check("masker", (BUSY, IDLE), &masker);
    check("json", (BUSY, IDLE), &|| JsonMasker::new(masker(), &places()));
    check("yaml", (BUSY, IDLE), &|| YamlMasker::new(masker(), &places()));
    // A scanner is three maskers, and keeps its findings for its user.
    let options = ScanOptions { findings: 100, ..ScanOptions::default() };
    let (rules, known, key) = (RuleSet::builtin(), KnownValues::new(), TagKey::new(b"key"));
    check("scanner", (2 * BUSY, BUSY), &|| Scanner::new(&rules, &known, &key, options));
}
