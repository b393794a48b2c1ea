//! The bounds within which requests to the Kubernetes API are read.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use lockgate_detect::TagKey;

use crate::{facts::Detector, mask::Options};

/// Limits and times; [`Config::default`] suits most.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes of a request's body. Default: 3 MiB, as the API server itself.
    pub request: usize,
    /// What is found in what is written. Its tags are by default of this process alone; what was masked can be put back
    /// in a write only where its key is that of the mask.
    pub detector: Detector,
    /// What is masked besides what always is.
    pub mask: Options,
    /// How long a call waits for an approval before its client is told to ask again. client-go does so ten times.
    /// Default: 20 seconds.
    pub wait: Duration,
    /// How long the begin of a stream waits for an approval. Default: 40 seconds.
    pub wait_stream: Duration,
}

impl Default for Config {
    fn default() -> Self {
        // Random, as the standard library seeds its hash tables.
        let random = RandomState::new();
        let key = [0, 1, 2, 3].map(|part: u8| random.hash_one(part).to_ne_bytes()).concat();
        Self {
            request: 3 << 20,
            detector: Detector { key: TagKey::new(&key), ..Detector::default() },
            mask: Options::default(),
            wait: Duration::from_secs(20),
            wait_stream: Duration::from_secs(40),
        }
    }
}
