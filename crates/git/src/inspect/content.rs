//! Looks at the content of a pack's objects: secrets in files, commits and tags; what no git may take.

use std::{collections::BTreeMap, sync::Arc};

use lockgate_detect::{Finding, KnownValues, ScanOptions, Scanner, Tag};

use super::tree;
use crate::{
    config::{Binary, Huge, InspectConfig},
    oid::ObjectFormat,
    pack::{Kind, Object, PackError, Visit},
};

/// Bytes at the beginning of a file by which git tells whether it is binary.
const BEGINNING: usize = 8000;

/// A secret within an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) rule: Arc<str>,
    pub(super) tag: Option<Tag>,
    /// Where in a commit or tag; `None` in a file.
    pub(super) part: Option<&'static str>,
    pub(super) line: u64,
}

/// The secrets in the objects of one pack, by place.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) by_place: BTreeMap<u32, Vec<Hit>>,
    listed: usize,
    /// How many more there are than are listed.
    pub(super) further: u64,
}

/// Looks at one pack.
pub(super) struct Look {
    config: Arc<InspectConfig>,
    format: ObjectFormat,
    /// Whether secrets are looked for.
    scans: bool,
    /// Whether objects that git itself would not write are refused: not those the upstream has already.
    strict: bool,
    blob: Blob,
    pub(super) hits: Hits,
}

/// The file that is passing by.
enum Blob {
    Skipped,
    Refused,
    /// Not yet known whether it is binary.
    Begun(Vec<u8>),
    Scanned(Box<Scanner>),
}

impl Look {
    pub(super) fn new(config: &Arc<InspectConfig>, format: ObjectFormat, scans: bool, strict: bool) -> Self {
        Self { config: Arc::clone(config), format, scans, strict, blob: Blob::Skipped, hits: Hits::default() }
    }

    fn decide(&mut self, beginning: &[u8]) {
        self.blob = if beginning.contains(&0) {
            Blob::Skipped
        } else {
            let mut scanner = scanner(&self.config);
            scanner.push(beginning);
            Blob::Scanned(scanner.into())
        };
    }

    fn end_blob(&mut self, object: &Object<'_>) -> Result<(), PackError> {
        if let Blob::Begun(beginning) = &mut self.blob {
            let beginning = std::mem::take(beginning);
            self.decide(&beginning);
        }
        match std::mem::replace(&mut self.blob, Blob::Skipped) {
            Blob::Skipped | Blob::Begun(_) => Ok(()),
            Blob::Refused => Err(fault(object, "is too large to be looked through for secrets")),
            Blob::Scanned(mut scanner) => {
                scanner.finish();
                for finding in scanner.drain_findings() {
                    let Finding { rule, tag, line, .. } = finding;
                    self.add(object.place, Hit { rule, tag, part: None, line });
                }
                if scanner.is_limited() && self.config.huge == Huge::Refuse {
                    return Err(fault(object, "decodes to more than can be looked through for secrets"));
                }
                Ok(())
            }
        }
    }

    /// Secrets in a commit or tag, and where.
    fn scan(&mut self, object: &Object<'_>) {
        let content = object.content;
        let body = content.windows(2).position(|pair| pair == b"\n\n").map_or(content.len(), |end| end + 2);
        for Finding { rule, tag, offset, .. } in find(&self.config, content) {
            let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
            let (part, line) = match offset.checked_sub(body) {
                Some(_) => ("(message)", 1 + newlines(&content[body..offset])),
                None => (header(&content[..offset.max(1)], content), 0),
            };
            self.add(object.place, Hit { rule, tag, part: Some(part), line });
        }
    }

    fn add(&mut self, place: u32, hit: Hit) {
        if self.hits.listed == self.config.findings {
            self.hits.further += 1;
        } else {
            self.hits.listed += 1;
            self.hits.by_place.entry(place).or_default().push(hit);
        }
    }

    fn check(&self, object: &Object<'_>) -> Result<(), PackError> {
        match object.kind {
            Kind::Tree => {
                tree::check(object.content, self.format.width()).map_err(|what| fault(object, what))
            }
            Kind::Commit | Kind::Tag if object.content.contains(&0) => Err(fault(object, "holds a NUL byte")),
            Kind::Commit | Kind::Tag | Kind::Blob => Ok(()),
        }
    }
}

impl Visit for Look {
    fn begin(&mut self, size: u64) {
        self.blob = match (self.scans, size > self.config.scanned, self.config.huge, self.config.binary) {
            (false, ..) | (true, true, Huge::Skip, _) => Blob::Skipped,
            (true, true, Huge::Refuse, _) => Blob::Refused,
            (true, false, _, Binary::Skip) => Blob::Begun(Vec::new()),
            (true, false, _, Binary::Scan) => Blob::Scanned(scanner(&self.config).into()),
        };
    }

    fn part(&mut self, part: &[u8]) {
        match &mut self.blob {
            Blob::Skipped | Blob::Refused => {}
            Blob::Scanned(scanner) => scanner.push(part),
            Blob::Begun(beginning) => {
                let (first, rest) = part.split_at(part.len().min(BEGINNING - beginning.len()));
                beginning.extend_from_slice(first);
                if beginning.len() == BEGINNING {
                    let beginning = std::mem::take(beginning);
                    self.decide(&beginning);
                    if let Blob::Scanned(scanner) = &mut self.blob {
                        scanner.push(rest);
                    }
                }
            }
        }
    }

    fn end(&mut self, object: &Object<'_>) -> Result<(), PackError> {
        if self.strict {
            self.check(object)?;
        }
        match object.kind {
            Kind::Blob => self.end_blob(object),
            Kind::Commit | Kind::Tag if self.scans => {
                self.scan(object);
                Ok(())
            }
            Kind::Commit | Kind::Tag | Kind::Tree => Ok(()),
        }
    }
}

/// The secrets in some text.
pub(super) fn find(config: &InspectConfig, text: &[u8]) -> Vec<Finding> {
    let mut scanner = scanner(config);
    scanner.push(text);
    scanner.finish();
    scanner.drain_findings()
}

fn scanner(config: &InspectConfig) -> Scanner {
    // One more than are listed, to know that there are more.
    let options = ScanOptions { findings: config.findings.saturating_add(1), ..ScanOptions::default() };
    Scanner::new(&config.rules, &KnownValues::new(), &config.key, options)
}

/// The header on whose line some of the content ends.
fn header(until: &[u8], content: &[u8]) -> &'static str {
    let start = until.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let line = &content[start..];
    let words: [(&[u8], &str); 3] =
        [(b"author ", "(author)"), (b"committer ", "(committer)"), (b"tagger ", "(tagger)")];
    words.iter().find(|(word, _)| line.starts_with(word)).map_or("(header)", |(_, part)| part)
}

fn newlines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn fault(object: &Object<'_>, fault: &'static str) -> PackError {
    let Object { kind, name, .. } = object;
    PackError::Object { kind: kind.word(), name: *name, fault }
}
