//! Looks for secrets in an object that was spooled: by the rules and within the limits that files in a push
//! are looked through by.

use std::{io::Read as _, sync::Arc, time::Instant};

use lockgate_core::{
    refusal::{Refusal, RefusalKind},
    spool::Spool,
};
use lockgate_detect::{Finding, KnownValues, ScanOptions, Scanner};

use super::oid::LfsOid;
use crate::{
    config::{Binary, Huge, InspectConfig},
    facts::Found,
    pack::{Budget, PackError},
    work::Workshop,
};

/// Bytes at the beginning of a file by which git tells whether it is binary.
const BEGINNING: usize = 8000;
/// Bytes that are looked at at once.
const READ: usize = 128 * 1024;

/// Searches objects, so many at the same time.
pub(super) struct Scan {
    config: Arc<InspectConfig>,
    workshop: Workshop,
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scan(..)")
    }
}

/// Why nobody can say whether there is a secret in an object: it is refused wherever that is asked.
#[derive(Debug, thiserror::Error)]
enum Unsearched {
    /// The client: larger than what is searched.
    #[error("the LFS object is larger than the {0} bytes that are searched for secrets")]
    TooLarge(u64),
    /// The client: what is encoded in it is.
    #[error("the LFS object decodes to more than can be searched for secrets")]
    DecodesTooLarge,
    /// We: it took too long, or the spool can't be read.
    #[error("the LFS object can't be searched for secrets")]
    Failed(#[from] PackError),
}

impl From<Unsearched> for Refusal {
    fn from(error: Unsearched) -> Self {
        let kind = match &error {
            Unsearched::TooLarge(_) | Unsearched::DecodesTooLarge => RefusalKind::TooLarge,
            Unsearched::Failed(_) => RefusalKind::Internal,
        };
        Self::new(kind, error.to_string()).because(&error)
    }
}

impl Scan {
    pub(super) fn new(config: &InspectConfig) -> Self {
        Self { config: Arc::new(config.clone()), workshop: Workshop::new(config.jobs) }
    }

    /// The secrets in an object; stops when nobody waits for it any more.
    ///
    /// # Errors
    /// A refusal where they can't all be found.
    pub(super) async fn search(&self, oid: LfsOid, spool: &Spool) -> Result<Vec<Found>, Refusal> {
        let config = &self.config;
        match (spool.len() > config.scanned, config.huge) {
            (false, _) => {}
            (true, Huge::Skip) => return Ok(Vec::new()),
            (true, Huge::Refuse) => return Err(Unsearched::TooLarge(config.scanned).into()),
        }
        let options = ScanOptions { findings: config.findings, ..ScanOptions::default() };
        let scanner = Scanner::new(&config.rules, &KnownValues::new(), &config.key, options);
        let (spool, skips_binary) = (spool.clone(), config.binary == Binary::Skip);
        let budget = Budget::new(0, Instant::now() + config.time);
        let search = move |budget: &Budget| search(scanner, &spool, skips_binary, budget);
        let findings = self.workshop.run(&budget, search).await?;
        Ok(findings.into_iter().map(|finding| found(oid, finding)).collect())
    }
}

fn search(
    mut scanner: Scanner,
    spool: &Spool,
    skips_binary: bool,
    budget: &Budget,
) -> Result<Vec<Finding>, Unsearched> {
    let (mut reader, mut buffer, mut first) = (spool.reader(0), vec![0; READ], true);
    loop {
        budget.check()?;
        let read = reader.read(&mut buffer).map_err(PackError::Io)?;
        if read == 0 {
            break;
        }
        if std::mem::take(&mut first) && skips_binary && buffer[..read.min(BEGINNING)].contains(&0) {
            return Ok(Vec::new());
        }
        scanner.push(&buffer[..read]);
    }
    scanner.finish();
    if scanner.is_limited() { Err(Unsearched::DecodesTooLarge) } else { Ok(scanner.drain_findings()) }
}

fn found(oid: LfsOid, finding: Finding) -> Found {
    Found {
        rule: finding.rule.to_string(),
        commit: None,
        path: oid.place(),
        line: finding.line,
        tag: finding.tag.map(|tag| tag.to_string()).unwrap_or_default(),
    }
}
