//! Looks through what a blob unpacks to, file by file where it is a tar.

use lockgate_core::access::Finding;
use lockgate_detect::{KnownValues, ScanOptions, Scanner};

use super::{
    ScanConfig, Verdict,
    tar::{Part, Walker},
};

/// Files are looked through together up to so many bytes: it takes time to begin.
const TOGETHER: u64 = 8 << 20;
/// Files of one such round.
const FILES: usize = 20_000;
/// Characters of a file's name that are kept: verdicts are, of many blobs.
const PLACE: usize = 200;
/// How a file begins that may be gzip's, which is looked into by itself.
const GZIP: u8 = 0x1f;

/// Looks through one blob.
pub(super) struct Look<'a> {
    config: &'a ScanConfig,
    walker: Walker,
    rounds: Rounds<'a>,
}

/// What passes, in rounds of several files each.
struct Rounds<'a> {
    config: &'a ScanConfig,
    scanner: Option<Box<Scanner>>,
    /// Where in the round which file begins.
    files: Vec<(u64, String)>,
    /// Bytes of the round.
    length: u64,
    /// A file that has just begun: it may be one that is looked into by itself.
    begins: bool,
    verdict: Verdict,
}

impl<'a> Look<'a> {
    pub(super) fn new(config: &'a ScanConfig) -> Self {
        let rounds = Rounds {
            config,
            scanner: None,
            files: Vec::new(),
            length: 0,
            begins: false,
            verdict: Verdict::default(),
        };
        Self { config, walker: Walker::default(), rounds }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let rounds = &mut self.rounds;
        self.walker.push(bytes, |part| match part {
            Part::Begin(name) => rounds.begin(name),
            Part::Bytes(bytes) => rounds.bytes(bytes),
            Part::End => rounds.end(),
        });
    }

    pub(super) fn finish(mut self, is_whole: bool) -> Verdict {
        self.rounds.conclude();
        let mut verdict = self.rounds.verdict;
        let more = verdict.findings.len().saturating_sub(self.config.findings);
        verdict.findings.truncate(self.config.findings);
        verdict.further += more as u64 + u64::from(!is_whole);
        verdict
    }
}

impl Rounds<'_> {
    fn begin(&mut self, name: &str) {
        if self.length >= TOGETHER || self.files.len() >= FILES {
            self.conclude();
        }
        self.files.push((self.length, name.to_owned()));
        self.begins = true;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.begins) && bytes.first() == Some(&GZIP) {
            // Only what begins with gzip is looked into.
            let file = self.files.pop();
            self.conclude();
            self.files.extend(file.map(|(_, name)| (0, name)));
        }
        let config = self.config;
        let scanner = self.scanner.get_or_insert_with(|| {
            let options =
                ScanOptions { findings: config.findings.saturating_add(1), ..ScanOptions::default() };
            Box::new(Scanner::new(&config.rules, &KnownValues::new(), &config.key, options))
        });
        scanner.push(bytes);
        self.length += bytes.len() as u64;
    }

    fn end(&mut self) {
        self.begins = false;
        if self.length >= TOGETHER {
            self.conclude();
        }
    }

    /// Ends a round.
    fn conclude(&mut self) {
        let files = std::mem::take(&mut self.files);
        self.length = 0;
        let Some(mut scanner) = self.scanner.take() else { return };
        scanner.finish();
        self.verdict.further += u64::from(scanner.is_limited());
        for found in scanner.drain_findings() {
            if self.verdict.findings.len() > self.config.findings {
                self.verdict.further += 1;
                continue;
            }
            let after = files.partition_point(|(begin, _)| *begin <= found.offset);
            let place = after.checked_sub(1).map(|at| files[at].1.as_str()).unwrap_or_default();
            let place = place.chars().take(PLACE).collect();
            let tag = found.tag.map(|tag| tag.to_string()).unwrap_or_default();
            self.verdict.findings.push(Finding { rule: found.rule.to_string(), place, tag });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_not_long() {
        let config = ScanConfig::default();
        let mut look = Look::new(&config);
        look.rounds.begin(&"é".repeat(2 * PLACE));
        let secret = lockgate_detect::expand_sample("ghp_<A-Za-z0-9*36>", 7).unwrap();
        look.rounds.bytes(format!("token = {secret}\n").as_bytes());
        let places: Vec<_> = look.finish(true).findings.into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["é".repeat(PLACE)]);
    }
}
