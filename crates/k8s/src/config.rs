//! The bounds within which requests to the Kubernetes API are read.

/// Limits; [`Config::default`] suits most.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes of a request's body. The API server itself takes 3 MiB. Default: 3 MiB.
    pub request: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { request: 3 << 20 }
    }
}
