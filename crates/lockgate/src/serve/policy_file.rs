//! The policy's file: published at the start, and again whenever it changes. One that can't be used changes
//! nothing: the last good policy stays in force.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Result, bail};
use lockgate_control::{
    operator::Operator,
    server::{Control, PublishError},
};
use lockgate_core::{policy::Policy, principal::Principal};
use serde_saphyr::Spanned;

use super::Reload;
use crate::{
    advice::advice,
    config::{Config, read_text},
    wiring::{self, Chain},
};

/// A policy is smaller than this.
pub(crate) const POLICY_MAX: u64 = 1 << 20;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// A policy's file that was published.
pub(super) struct PolicyFile {
    control: Control,
    config: Arc<Config>,
    path: PathBuf,
    by: Principal,
    text: String,
}

impl PolicyFile {
    /// Publishes the file.
    pub(super) async fn publish(
        control: Control,
        config: Arc<Config>,
        path: Spanned<PathBuf>,
        operator: Operator,
    ) -> Result<Self> {
        let text = config.text(&path, POLICY_MAX)?;
        let path = config.resolve(&path.value);
        let file = Self { control, config, path, by: operator.principal(), text };
        match file.put(file.text.clone()).await {
            Ok(()) => Ok(file),
            Err(PublishError::Refused(errors)) => {
                let lines = errors.iter().map(|error| format!("{}:{error}", file.path.display()));
                bail!("the policy is refused:\n{}", lines.collect::<Vec<_>>().join("\n"));
            }
            Err(error @ PublishError::Store(_)) => Err(error.into()),
        }
    }

    /// Publishes each change of the file.
    pub(super) async fn watch(mut self, reload: Reload) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = reload.notified() => {}
            }
            match read_text(&self.path, POLICY_MAX) {
                Ok(text) if text == self.text => {}
                Ok(text) => {
                    // Told once, whether it is good or not.
                    self.text.clone_from(&text);
                    if let Err(error) = self.put(text).await {
                        let file = self.path.display().to_string();
                        tracing::error!(file, error = %Chain(&error), "the policy in force stays as it was");
                    }
                }
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "the policy's file can't be read")
                }
            }
        }
    }

    async fn put(&self, text: String) -> Result<(), PublishError> {
        let comment = format!("from {}", self.path.display());
        let published = self.control.publish(text.clone(), self.by.clone(), comment).await?;
        tracing::info!(version = published.version, file = %self.path.display(), "the policy is in force");
        if let Ok(policy) = Policy::load(&text, &wiring::schemas()) {
            for advice in advice(&self.config, &policy) {
                tracing::warn!("{advice}");
            }
        }
        Ok(())
    }
}
