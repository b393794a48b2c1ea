//! The bounds within which git requests are read.
//!
//! Everything that a client or an upstream can make large has its limit here, except the size of a
//! push: that is the limit of the spools it is kept in.

use std::{
    hash::{BuildHasher as _, RandomState},
    thread::available_parallelism,
    time::Duration,
};

use lockgate_core::body::Drain;
use lockgate_detect::{RuleSet, TagKey};

use crate::{facts::Wanted, lfs::TicketKey};

/// Limits and times; [`Config::default`] suits most.
#[derive(Debug, Clone)]
pub struct Config {
    /// Ref updates in one push. Default: 10,000.
    pub commands: usize,
    /// Bytes of a push before its pack: shallow lines, ref updates, certificate, options. Default: 4 MiB.
    pub section: usize,
    /// Bytes that a gzip-encoded request to `git-upload-pack` may decode to. Default: 256 MiB.
    pub inflated: u64,
    /// What is read and dropped of a push that is refused before its end.
    pub drain: Drain,
    /// How long a request that can't be kept alive waits for an approval. Default: 20 seconds.
    pub wait: Duration,
    /// How a push is shown to be a fast-forward.
    pub ancestry: AncestryConfig,
    /// How the content of a push is inspected.
    pub inspect: InspectConfig,
    /// How repositories are read of which a client may not see every ref.
    pub narrow: NarrowConfig,
    /// Large files beside the repository.
    pub lfs: LfsConfig,
    /// Pushes by WebDAV.
    pub dav: DavConfig,
}

/// Limits of pushes by WebDAV. The size of an object is limited by the spools it is kept in, and as that of a file is
/// ([`InspectConfig::object`]).
#[derive(Debug, Clone)]
pub struct DavConfig {
    /// Bytes of an answer's XML. Default: 16 MiB.
    pub answer: usize,
    /// Bytes of `info/refs`, and of the upstream's `packed-refs`. Default: 16 MiB.
    pub refs: usize,
    /// Refs that one request changes and the upstream is asked for. Default: 256.
    pub lookups: usize,
    /// How long it may take to answer. Default: 30 seconds.
    pub time: Duration,
    /// For how long a lock is asked for at most, and then again. Default: 10 minutes, as git does.
    pub lock: Duration,
}

/// Limits of what is read whole where refs are hidden.
#[derive(Debug, Clone, Copy)]
pub struct NarrowConfig {
    /// Bytes of a request to `git-upload-pack`, decoded. Default: 16 MiB.
    pub request: usize,
    /// Bytes of the upstream's list of refs. Default: 64 MiB.
    pub refs: usize,
    /// How long the upstream may take to list them before a fetch. Default: 30 seconds.
    pub time: Duration,
}

/// Limits of LFS. The size of an object is limited by the spools it is kept in.
#[derive(Debug, Clone)]
pub struct LfsConfig {
    /// Objects of one batch; git-lfs asks for 100. Default: 1,000.
    pub objects: usize,
    /// Bytes of a request's JSON. Default: 1 MiB.
    pub request: usize,
    /// Bytes of an answer's JSON. Default: 8 MiB.
    pub answer: usize,
    /// Characters of a ticket, which the client sends back in a header. Default: 7,000, for many servers
    /// before a gateway take header fields of 8 KiB at most.
    pub ticket: usize,
    /// How long a transfer may begin after its batch, where the upstream says no shorter time. Default:
    /// 1 hour.
    pub ticket_life: Duration,
    /// The key of the tickets. Proxies behind one address share one. Default: one of this process alone.
    pub key: Option<TicketKey>,
}

/// Limits of the proof that an update is a fast-forward. What exceeds them counts as forced.
#[derive(Debug, Clone)]
pub struct AncestryConfig {
    /// Commits read from one pack; each takes about 100 bytes of memory. Default: 250,000.
    pub commits: usize,
    /// How long a pack may be read for. Default: 1 minute.
    pub scan_time: Duration,
    /// Packs that are read at the same time. Default: 4.
    pub scans: usize,
    /// Ref updates of one push for which the upstream is asked. Default: 16.
    pub questions: usize,
    /// Bytes of the upstream's answer to one question. Default: 64 MiB.
    pub answer: u64,
    /// How long all questions of one push may take. Default: 30 seconds.
    pub answer_time: Duration,
}

/// Limits and rules of the inspection. A push that exceeds a limit is refused, wherever facts about its
/// content are wanted.
#[derive(Debug, Clone)]
pub struct InspectConfig {
    /// What is looked for besides what the policy asks. Default: nothing.
    pub wanted: Wanted,
    /// Objects in one pack; each takes about 60 bytes of memory. Default: 1,000,000.
    pub objects: u32,
    /// Commits in one pack; each takes about 100 bytes of memory more. Default: 250,000.
    pub commits: usize,
    /// Bytes of one file. Default: 4 GiB.
    pub object: u64,
    /// Bytes of one commit, tag or directory, and of a file that comes as a delta: they are held in memory.
    /// Default: 32 MiB.
    pub held: u64,
    /// Bytes that all packs of one push, and all their deltas, may inflate to. Default: 64 GiB.
    pub inflated: u64,
    /// How long it may take, from the end of the push, the upstream's answers included. Default: 5 minutes.
    pub time: Duration,
    /// Packs that are worked on at the same time. Default: 4.
    pub jobs: usize,
    /// Threads that look through the files of one pack besides that which reads it. Default: as many as there are
    /// processors but one, and three at most.
    pub threads: usize,
    /// Bytes of the upstream's answer to one question. Default: 256 MiB.
    pub answer: u64,
    /// Paths that one update may change. Default: 100,000.
    pub paths: usize,
    /// Bytes of one path. Default: 4096.
    pub path: usize,
    /// Bytes of the messages of all commits of one update. Default: 8 MiB.
    pub messages: usize,
    /// Bytes of all that is said of all updates of one push: paths, messages, addresses, findings. Default:
    /// 64 MiB.
    pub facts: usize,
    /// Findings that are listed; more are counted only. Default: 1000.
    pub findings: usize,
    /// What is done with binary files, by git's own test: a NUL byte among the first 8000. Default: scan.
    pub binary: Binary,
    /// Bytes of the largest file that is scanned for secrets. Default: 1 GiB.
    pub scanned: u64,
    /// What is done with files beyond that, and with those that decode to more than 256 MiB. Default: refuse.
    pub huge: Huge,
    /// What secrets look like.
    pub rules: RuleSet,
    /// Makes the tags by which two findings of one secret are known. By default one of this process alone.
    pub key: TagKey,
}

/// What is done with binary files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// They are scanned like all others.
    Scan,
    /// They are not scanned.
    Skip,
}

/// What is done with files that are too large to be scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Huge {
    /// The push is refused.
    Refuse,
    /// They are not scanned.
    Skip,
}

impl Default for InspectConfig {
    fn default() -> Self {
        // Random, as the standard library seeds its hash tables.
        let random = RandomState::new();
        let key = [0, 1, 2, 3].map(|part: u8| random.hash_one(part).to_ne_bytes()).concat();
        Self {
            wanted: Wanted::default(),
            objects: 1_000_000,
            commits: 250_000,
            object: 4 << 30,
            held: 32 << 20,
            inflated: 64 << 30,
            time: Duration::from_mins(5),
            jobs: 4,
            threads: available_parallelism().map_or(0, |all| all.get() - 1).min(3),
            answer: 256 << 20,
            paths: 100_000,
            path: 4096,
            messages: 8 << 20,
            facts: 64 << 20,
            findings: 1000,
            binary: Binary::Scan,
            scanned: 1 << 30,
            huge: Huge::Refuse,
            rules: RuleSet::builtin(),
            key: TagKey::new(&key),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            commands: 10_000,
            section: 4 << 20,
            inflated: 256 << 20,
            drain: Drain::default(),
            wait: Duration::from_secs(20),
            ancestry: AncestryConfig::default(),
            inspect: InspectConfig::default(),
            narrow: NarrowConfig::default(),
            lfs: LfsConfig::default(),
            dav: DavConfig::default(),
        }
    }
}

impl Default for DavConfig {
    fn default() -> Self {
        Self {
            answer: 16 << 20,
            refs: 16 << 20,
            lookups: 256,
            time: Duration::from_secs(30),
            lock: Duration::from_mins(10),
        }
    }
}

impl Default for LfsConfig {
    fn default() -> Self {
        Self {
            objects: 1000,
            request: 1 << 20,
            answer: 8 << 20,
            ticket: 7000,
            ticket_life: Duration::from_hours(1),
            key: None,
        }
    }
}

impl Default for NarrowConfig {
    fn default() -> Self {
        Self { request: 16 << 20, refs: 64 << 20, time: Duration::from_secs(30) }
    }
}

impl Default for AncestryConfig {
    fn default() -> Self {
        Self {
            commits: 250_000,
            scan_time: Duration::from_mins(1),
            scans: 4,
            questions: 16,
            answer: 64 << 20,
            answer_time: Duration::from_secs(30),
        }
    }
}
