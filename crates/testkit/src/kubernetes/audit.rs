//! What the API server says it was asked: its audit log.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Cluster;
use crate::wait;

impl Cluster {
    /// Every audit event so far: one for each stage of each request, but those of the cluster itself. An event
    /// is written before its request is answered.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit(&self) -> Result<Vec<Value>> {
        let log = std::fs::read_to_string(self.folder().join("audit.log")).context("no audit log")?;
        // The last line may be written at this moment.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole.lines().map(|line| serde_json::from_str(line).context("an audit event")).collect()
    }

    /// Waits for an event that `matches`; the first one that does.
    ///
    /// # Errors
    /// When none comes within [`wait::PATIENCE`].
    pub fn wait_for_audit(&self, what: &str, matches: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(what, || self.audit().ok()?.into_iter().find(&matches))
    }
}
