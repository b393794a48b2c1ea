//! Whether there is anything in a manifest that could be run, whatever types it says to have.

use super::{Reader, Refused};
use crate::parse::manifest::Manifest;

/// Documents in one manifest, and bytes of each.
const DOCUMENTS: usize = 32;
const SIZE: usize = 1 << 20;

impl Reader<'_> {
    /// Whether a manifest brings only documents (JSON), as signatures and statements do: no engine unpacks those. An
    /// index does where all that it lists are artifacts, each of which is judged by itself.
    pub(crate) async fn is_documents(&self, manifest: &Manifest) -> Result<bool, Refused> {
        if manifest.is_index() {
            let listed = &manifest.manifests;
            return Ok(!listed.is_empty() && listed.iter().all(|of| of.artifact_type.is_some()));
        }
        let layers = &manifest.layers;
        let is_small = layers.iter().all(|layer| layer.size <= SIZE as u64 && !layer.is_foreign);
        if layers.is_empty() || layers.len() > DOCUMENTS || !is_small {
            return Ok(false);
        }
        for layer in layers {
            let Some(content) = self.blob(&layer.digest, SIZE).await? else { return Ok(false) };
            if serde_json::from_slice::<serde::de::IgnoredAny>(&content).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
