//! The bounds within which requests to registries are read.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use lockgate_detect::TagKey;

use crate::{bases::Base, scan::ScanConfig, signature::Trust};

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
    /// The key of those tokens. Default: one of this process alone; who has the same knows the same tokens.
    pub token_key: TokenKey,
    /// Uploads at once; the one that rests longest goes for another. Default: 4096.
    pub uploads: usize,
    /// And of those of one caller's. Default: 64.
    pub uploads_of_one: usize,
    /// An upload that rests for so long is forgotten. Default: 1 hour.
    pub upload_idle: Duration,
    /// How long a request waits for an approval. Default: 15 minutes.
    pub wait: Duration,
    /// How long one of a client waits that gives up after 30 seconds without an answer. Default: 25 seconds.
    pub wait_impatient: Duration,
    /// What is looked for in blobs. Its tags are by default of this process alone.
    pub scan: ScanConfig,
    /// What is known of single registries, by the names of their upstreams. Default: nothing.
    pub registries: BTreeMap<String, RegistryConfig>,
}

/// What the images of one registry are judged by, besides what they say.
#[derive(Debug, Clone, Default)]
pub struct RegistryConfig {
    /// By what signatures are verified. Default: by nothing, so that none is.
    pub trust: Trust,
    /// The bases by whose layers images are known. Default: none.
    pub bases: Vec<Base>,
}

/// What tokens are sealed with.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// From random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// One that nobody else has. Where the system gives no random bytes the process ends: such a key would be
    /// everybody's.
    fn random() -> Self {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
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
            token_key: TokenKey::random(),
            uploads: 4096,
            uploads_of_one: 64,
            upload_idle: Duration::from_hours(1),
            wait: Duration::from_mins(15),
            wait_impatient: Duration::from_secs(25),
            scan: ScanConfig { key: TagKey::new(&key), ..ScanConfig::default() },
            registries: BTreeMap::new(),
        }
    }
}
