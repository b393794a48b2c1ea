//! Verification: whether what stands in a recording is what was recorded, and all of it.
//!
//! [`Verifier`] does no I/O: it is fed the bytes of bundles in order. [`crate::Archive::verify`] feeds it from a
//! store, [`verify_bundle`] from anything that can be read.

mod archive;
mod chains;
mod report;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read},
};

use uuid::Uuid;

use self::chains::Chains;
pub use self::{
    archive::Scope,
    report::{ChainPart, Incomplete, Problem, ProblemKind, RecoveredSeal, Report},
};
use crate::{
    archive::track::Track,
    format::bundle::{BundleReader, Header, Step},
    generated::v1::Record,
    recorder::Head,
};

/// Verifies one bundle by itself: its chain, its footer, and the exchanges that lie in it whole.
///
/// # Errors
/// When it cannot be read. What is wrong with it stands in the report.
pub fn verify_bundle(mut bundle: impl Read) -> io::Result<Report> {
    let mut verifier = Verifier::new("one bundle", Part::Some);
    verifier.begin(None);
    let mut piece = vec![0; 64 << 10];
    loop {
        let read = bundle.read(&mut piece)?;
        if read == 0 {
            verifier.end();
            return Ok(verifier.finish());
        }
        verifier.feed(&piece[..read]);
    }
}

/// How much of an archive a verifier is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Every bundle opened since this moment, in milliseconds of Unix time: none may be missing.
    AllSince(u64),
    /// Some bundles: others may lie between them, and exchanges may begin and end outside of them.
    Some,
}

/// See the module.
pub(crate) struct Verifier {
    report: Report,
    chains: Chains,
    /// Exchanges that have begun and not ended.
    tracks: HashMap<Uuid, Track>,
    /// Exchanges that began out of sight, or whose problem is told already.
    unchecked: HashSet<Uuid>,
    /// The exchanges to be checked; all, if none are named.
    only: HashSet<Uuid>,
    /// Exchanges that are whole but for octets that stand elsewhere, with their bundles.
    repeating: Vec<(Uuid, Vec<Uuid>)>,
    current: Option<Current>,
}

/// The bundle that is being fed.
struct Current {
    /// The id that it should have.
    expected: Option<Uuid>,
    reader: BundleReader,
    header: Option<Header>,
    damaged: bool,
}

impl Verifier {
    pub(crate) fn new(scope: impl Into<String>, part: Part) -> Self {
        Self {
            report: Report { scope: scope.into(), ..Report::default() },
            chains: Chains::new(part),
            tracks: HashMap::new(),
            unchecked: HashSet::new(),
            only: HashSet::new(),
            repeating: Vec::new(),
            current: None,
        }
    }

    /// Checks that a chain reaches as far as its recorder knows.
    pub(crate) fn expect(&mut self, head: Head) {
        self.chains.expect(head);
    }

    /// Checks only these exchanges, besides the bundles themselves.
    pub(crate) fn only(&mut self, exchanges: impl IntoIterator<Item = Uuid>) {
        self.only.extend(exchanges);
    }

    /// A problem that shows outside of any bundle.
    pub(crate) fn problem(&mut self, kind: ProblemKind) {
        self.report.add(None, None, kind);
    }

    /// There must have been a bundle: what is empty is not intact.
    pub(crate) fn not_empty(&mut self) {
        if self.report.bundles == 0 {
            self.problem(ProblemKind::NoBundle);
        }
    }

    /// A bundle that should be there is not.
    pub(crate) fn not_there(&mut self, bundle: Uuid) {
        self.report.add(Some(bundle), None, ProblemKind::NotThere);
    }

    /// The next bundle begins.
    pub(crate) fn begin(&mut self, expected: Option<Uuid>) {
        self.report.bundles += 1;
        self.current = Some(Current { expected, reader: BundleReader::new(), header: None, damaged: false });
    }

    /// More bytes of the bundle.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.report.bytes += bytes.len() as u64;
        let Some(mut current) = self.current.take() else { return };
        if !current.damaged {
            current.reader.feed(bytes);
            self.drain(&mut current);
        }
        self.current = Some(current);
    }

    /// The bundle has no more bytes.
    pub(crate) fn end(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        if current.damaged {
            return;
        }
        if let Err(fault) = current.reader.finish() {
            return self.damaged(&mut current, ProblemKind::Bundle(fault));
        }
        let Some(header) = &current.header else { return };
        if let Some(kind) = self.chains.end(header, current.reader.link()) {
            self.report.add(Some(header.bundle), None, kind);
        }
        if let Some(sealed) = current.reader.sealed().filter(|sealed| sealed.recovered) {
            let seal = RecoveredSeal { bundle: header.bundle, cut_bytes: sealed.cut_bytes };
            self.report.recovered.push(seal);
        }
    }

    /// The exchanges that were whole but for octets that stand elsewhere, with their bundles: they are still to be read.
    pub(crate) fn take_repeating(&mut self) -> Vec<(Uuid, Vec<Uuid>)> {
        std::mem::take(&mut self.repeating)
    }

    /// One of those was read.
    pub(crate) fn repeated(&mut self, exchange: Uuid, problem: Option<(Uuid, ProblemKind)>) {
        match problem {
            None => self.report.complete += 1,
            Some((bundle, kind)) => {
                self.unchecked.insert(exchange);
                self.report.add(Some(bundle), Some(exchange), kind);
            }
        }
    }

    /// The report, when all was fed.
    pub(crate) fn finish(mut self) -> Report {
        if let Some(kind) = self.chains.missing() {
            self.report.add(None, None, kind);
        }
        let mut open: Vec<_> = self.tracks.into_iter().collect();
        open.sort_by_key(|(exchange, _)| *exchange);
        self.report.incomplete = open
            .into_iter()
            .map(|(exchange, track)| Incomplete {
                exchange,
                last_bundle: track.bundle(),
                session: track.into_session(),
            })
            .collect();
        self.report.unchecked = self.unchecked.len() as u64;
        self.report.repeating = self.repeating.len() as u64;
        self.report.chains = self.chains.into_parts();
        self.report
    }

    fn drain(&mut self, current: &mut Current) {
        loop {
            match current.reader.step() {
                Ok(Step::More) => return,
                Ok(Step::Header(header)) => {
                    self.header(current.expected, &header);
                    current.header = Some(header);
                }
                Ok(Step::Chunk { records }) => {
                    self.report.chunks += 1;
                    self.report.records += records.len() as u64;
                    let Some(header) = &current.header else { continue };
                    records.into_iter().for_each(|record| self.record(header, record));
                }
                Ok(Step::End) => {}
                Err(fault) => return self.damaged(current, ProblemKind::Bundle(fault)),
            }
        }
    }

    fn header(&mut self, expected: Option<Uuid>, header: &Header) {
        if let Some(named) = expected.filter(|expected| *expected != header.bundle) {
            self.report.add(Some(header.bundle), None, ProblemKind::OtherName { named });
        }
        if let Some(kind) = self.chains.begin(header) {
            self.report.add(Some(header.bundle), None, kind);
        }
    }

    fn record(&mut self, header: &Header, record: Record) {
        let Ok(exchange) = Uuid::from_slice(&record.exchange) else { return };
        if (!self.only.is_empty() && !self.only.contains(&exchange)) || self.unchecked.contains(&exchange) {
            return;
        }
        let is_new = !self.tracks.contains_key(&exchange);
        if is_new && record.sequence > 0 && self.chains.is_blind(header.chain) {
            self.unchecked.insert(exchange);
            return;
        }
        let track = self.tracks.entry(exchange).or_insert_with(|| Track::new(exchange));
        match track.take(header.bundle, record) {
            Ok(_) if track.is_closed() => {
                match self.tracks.remove(&exchange).and_then(Track::into_repeating) {
                    Some(bundles) => self.repeating.push((exchange, bundles)),
                    None => self.report.complete += 1,
                }
            }
            Ok(_) => {}
            Err(fault) => {
                self.tracks.remove(&exchange);
                self.unchecked.insert(exchange);
                self.report.add(Some(header.bundle), Some(exchange), ProblemKind::Exchange(fault));
            }
        }
    }

    fn damaged(&mut self, current: &mut Current, kind: ProblemKind) {
        current.damaged = true;
        let bundle = current.header.as_ref().map(|header| header.bundle).or(current.expected);
        self.report.add(bundle, None, kind);
        if let Some(header) = &current.header {
            self.chains.blind(header.chain);
        }
    }
}

/// Feeds anything to everything that parses bundles. For fuzzing: it must return, in bounded memory, whatever it
/// is given; and what it calls intact must be a bundle whose every byte is accounted for.
#[doc(hidden)]
pub fn fuzz_bundle(data: &[u8]) {
    let whole = verify_bundle(data).unwrap_or_default();
    let pieces = {
        let mut verifier = Verifier::new("one bundle", Part::Some);
        verifier.begin(None);
        data.chunks(7).for_each(|piece| verifier.feed(piece));
        verifier.end();
        verifier.finish()
    };
    assert_eq!(whole, pieces, "how the bytes are cut makes no difference");
}
