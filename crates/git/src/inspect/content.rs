//! Looks at the content of a pack's objects: secrets in files, commits and tags; what no git may take.

use std::{collections::BTreeMap, sync::Arc};

use lockgate_detect::{Finding, KnownValues, ScanOptions, Scanner, Tag};

use super::{
    batch::{Batches, File, Found},
    changes::Changes,
    said::Said,
    tree,
};
use crate::{
    config::{Binary, Huge, InspectConfig},
    facts::Wanted,
    oid::{ObjectFormat, Oid},
    pack::{Details, Kind, Object, PackError, Visit},
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

impl Hits {
    /// Adds those of other objects of the pack.
    pub(super) fn append(&mut self, max: usize, other: Self) {
        self.further += other.further;
        for (place, hits) in other.by_place {
            for hit in hits {
                self.add(max, place, hit);
            }
        }
    }

    /// Lists a hit, and so many of all at most: those of the first objects, in whatever order they come.
    fn add(&mut self, max: usize, place: u32, hit: Hit) {
        self.by_place.entry(place).or_default().push(hit);
        self.listed += 1;
        if self.listed <= max {
            return;
        }
        (self.listed, self.further) = (max, self.further + 1);
        if let Some(mut last) = self.by_place.last_entry() {
            last.get_mut().pop();
            if last.get().is_empty() {
                last.remove();
            }
        }
    }
}

/// What was seen of the objects of one pack.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) hits: Hits,
    pub(super) changes: Changes,
    pub(super) said: Said,
}

impl Seen {
    /// Takes what was seen of others of the same pack.
    pub(super) fn append(&mut self, max: usize, other: Self) {
        self.hits.append(max, other.hits);
        self.changes.append(other.changes);
        self.said.append(other.said);
    }
}

/// Looks at one pack.
pub(super) struct Look {
    config: Arc<InspectConfig>,
    format: ObjectFormat,
    wanted: Wanted,
    /// Whether objects that git itself would not write are refused: not those the upstream has already.
    strict: bool,
    blob: Blob,
    batches: Batches,
    pub(super) seen: Seen,
}

/// A large file that is passing by.
enum Blob {
    Skipped,
    Refused,
    /// Not yet known whether it is binary.
    Begun(Vec<u8>),
    Scanned(Box<Scanner>),
}

impl Look {
    pub(super) fn new(
        config: &Arc<InspectConfig>,
        format: ObjectFormat,
        wanted: Wanted,
        strict: bool,
    ) -> Self {
        let batches = Batches::new(config);
        let (config, blob, seen) = (Arc::clone(config), Blob::Skipped, Seen::default());
        Self { config, format, wanted, strict, blob, batches, seen }
    }

    /// Waits until all that was shown is looked through.
    ///
    /// # Errors
    /// [`PackError::Object`] for what can't be looked through.
    pub(super) fn settle(&mut self) -> Result<(), PackError> {
        let found = self.batches.settle()?;
        self.add_all(found)
    }

    fn add_all(&mut self, found: Found) -> Result<(), PackError> {
        for (place, hit) in found.hits {
            self.add(place, hit);
        }
        let limited =
            |name| fault(Kind::Blob, name, "decodes to more than can be looked through for secrets");
        found.limited.map_or(Ok(()), |name| Err(limited(name)))
    }

    fn decide(&mut self, beginning: &[u8]) {
        self.blob = if is_binary(beginning) {
            Blob::Skipped
        } else {
            let mut scanner = scanner(&self.config);
            scanner.push(beginning);
            Blob::Scanned(scanner.into())
        };
    }

    /// How a file of some size is treated, before anything of it is seen.
    fn begun(&self, size: u64) -> Blob {
        match (self.wanted.content, size > self.config.scanned, self.config.huge) {
            (false, ..) | (true, true, Huge::Skip) => Blob::Skipped,
            (true, true, Huge::Refuse) => Blob::Refused,
            (true, false, _) => Blob::Begun(Vec::new()),
        }
    }

    fn end_blob(&mut self, object: &Object<'_>) -> Result<(), PackError> {
        if let Some(content) = object.content {
            self.blob = self.begun(content.len() as u64);
            if let Blob::Begun(_) = self.blob {
                self.blob = Blob::Skipped;
                let (place, name, content) = (object.place, object.name, Arc::clone(content));
                let found = self.batches.add(File { place, name, content })?;
                return self.add_all(found);
            }
        }
        if let Blob::Begun(beginning) = &mut self.blob {
            let beginning = std::mem::take(beginning);
            self.decide(&beginning);
        }
        match std::mem::replace(&mut self.blob, Blob::Skipped) {
            Blob::Skipped | Blob::Begun(_) => Ok(()),
            Blob::Refused => {
                Err(fault(object.kind, object.name, "is too large to be looked through for secrets"))
            }
            Blob::Scanned(scanner) => {
                let (hits, limited) = end(&self.config, *scanner);
                let hits = hits.into_iter().map(|hit| (object.place, hit)).collect();
                self.add_all(Found { hits, limited: limited.then_some(object.name) })
            }
        }
    }

    /// Secrets in a commit or tag, and where.
    fn scan(&mut self, object: &Object<'_>, content: &[u8]) {
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
        self.seen.hits.add(self.config.findings, place, hit);
    }

    fn check(&mut self, object: &Object<'_>, content: &[u8]) -> Result<(), PackError> {
        match object.kind {
            Kind::Tree => {
                let width = self.format.width();
                let fault = |what| fault(object.kind, object.name, what);
                let checked = match object.upon {
                    Some(upon) => self.seen.changes.check(object.place, content, upon, width),
                    None => tree::check(content, width),
                };
                checked.map_err(fault)
            }
            Kind::Commit | Kind::Tag if content.contains(&0) => {
                Err(fault(object.kind, object.name, "holds a NUL byte"))
            }
            Kind::Commit | Kind::Tag | Kind::Blob => Ok(()),
        }
    }
}

impl Visit for Look {
    fn begin(&mut self, size: u64) {
        self.blob = match (self.begun(size), self.config.binary) {
            (Blob::Begun(_), Binary::Scan) => Blob::Scanned(scanner(&self.config).into()),
            (blob, Binary::Skip | Binary::Scan) => blob,
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
        let content = object.content.map_or(&[][..], |content| content);
        if self.strict {
            self.check(object, content)?;
        }
        if object.kind == Kind::Commit
            && self.wanted.history
            && let Some(details) = Details::parse(self.format, content)
        {
            self.seen.said.keep(object.place, details);
        }
        match object.kind {
            Kind::Blob => self.end_blob(object),
            Kind::Commit | Kind::Tag if self.wanted.content => {
                self.scan(object, content);
                Ok(())
            }
            Kind::Commit | Kind::Tag | Kind::Tree => Ok(()),
        }
    }
}

/// The secrets in a file that is there, and whether it could not be looked through.
pub(super) fn look_through(config: &InspectConfig, file: &[u8]) -> (Vec<Hit>, bool) {
    if config.binary == Binary::Skip && is_binary(&file[..file.len().min(BEGINNING)]) {
        return (Vec::new(), false);
    }
    let mut scanner = scanner(config);
    scanner.push(file);
    end(config, scanner)
}

/// The secrets in a file whose end was reached, and whether it could not be looked through.
fn end(config: &InspectConfig, mut scanner: Scanner) -> (Vec<Hit>, bool) {
    scanner.finish();
    let hit = |Finding { rule, tag, line, .. }: Finding| Hit { rule, tag, part: None, line };
    let hits = scanner.drain_findings().into_iter().map(hit).collect();
    (hits, scanner.is_limited() && config.huge == Huge::Refuse)
}

/// By git's own test.
fn is_binary(beginning: &[u8]) -> bool {
    beginning.contains(&0)
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

fn fault(kind: Kind, name: Oid, fault: &'static str) -> PackError {
    PackError::Object { kind: kind.word(), name, fault }
}
