//! The bounds within which git requests are read.
//!
//! Everything that a client or an upstream can make large has its limit here, except the size of a
//! push: that is the limit of the spools it is kept in.

use std::time::Duration;

/// Limits and times; [`Config::default`] suits most.
#[derive(Debug, Clone)]
pub struct Config {
    /// Ref updates in one push. Default: 10,000.
    pub commands: usize,
    /// Bytes of a push before its pack: shallow lines, ref updates, certificate, options. Default: 4 MiB.
    pub section: usize,
    /// Bytes that a gzip-encoded request to `git-upload-pack` may decode to. Default: 256 MiB.
    pub inflated: u64,
    /// Bytes that are read and dropped of a push that is refused before its end, because git does not
    /// listen while it sends. Default: 1 GiB.
    pub drain: u64,
    /// How long that may take. Default: 1 minute.
    pub drain_time: Duration,
    /// How long a request that can't be kept alive waits for an approval. Default: 20 seconds.
    pub wait: Duration,
    /// How a push is shown to be a fast-forward.
    pub ancestry: AncestryConfig,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            commands: 10_000,
            section: 4 << 20,
            inflated: 256 << 20,
            drain: 1 << 30,
            drain_time: Duration::from_mins(1),
            wait: Duration::from_secs(20),
            ancestry: AncestryConfig::default(),
        }
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
