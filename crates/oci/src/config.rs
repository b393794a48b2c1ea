//! The bounds within which requests to registries are read.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use lockgate_detect::TagKey;

use crate::scan::ScanConfig;

/// Limits and times; [`Config::default`] suits most.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes of a manifest. Default: 4 MiB, as the specification asks of registries.
    pub manifest: usize,
    /// Bytes of a list of tags, referrers or repositories. Default: 4 MiB.
    pub list: usize,
    /// How long a token of this gateway's own stands for its caller. Default: 1 hour: a push may outlive the token
    /// that its caller came with.
    pub token: Duration,
    /// Uploads at once; the one that rests longest goes for another. Default: 4096.
    pub uploads: usize,
    /// An upload that rests for so long is forgotten. Default: 1 hour.
    pub upload_idle: Duration,
    /// How long a request waits for an approval. Default: 15 minutes.
    pub wait: Duration,
    /// How long one of a client waits that gives up after 30 seconds without an answer. Default: 25 seconds.
    pub wait_impatient: Duration,
    /// What is looked for in blobs. Its tags are by default of this process alone.
    pub scan: ScanConfig,
}

impl Default for Config {
    fn default() -> Self {
        // Random, as the standard library seeds its hash tables.
        let random = RandomState::new();
        let key = [0, 1, 2, 3].map(|part: u8| random.hash_one(part).to_ne_bytes()).concat();
        Self {
            manifest: 4 << 20,
            list: 4 << 20,
            token: Duration::from_hours(1),
            uploads: 4096,
            upload_idle: Duration::from_hours(1),
            wait: Duration::from_mins(15),
            wait_impatient: Duration::from_secs(25),
            scan: ScanConfig { key: TagKey::new(&key), ..ScanConfig::default() },
        }
    }
}
