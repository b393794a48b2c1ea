//! Images, made here and written as OCI layouts, which all clients take.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use aws_lc_rs::digest::{SHA256, digest};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

/// An image of one platform: its layers as they are stored, and its config.
#[derive(Clone, Debug)]
pub struct Image {
    layers: Vec<Layer>,
    config: Value,
}

#[derive(Clone, Debug)]
struct Layer {
    media_type: &'static str,
    stored: Vec<u8>,
    diff_id: String,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// One without layers, run by the user 1000.
    #[must_use]
    pub fn new() -> Self {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "User": "1000", "Env": ["PATH=/bin"], "Entrypoint": ["/bin/app"] },
        });
        Self { layers: Vec::new(), config }
    }

    /// Adds a layer with these files, compressed with gzip.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub fn layer(self, files: &[(&str, &[u8])]) -> Result<Self> {
        let tar = tar(files);
        let stored = gzip(&tar)?;
        Ok(self.stored("application/vnd.oci.image.layer.v1.tar+gzip", stored, &tar))
    }

    /// Adds a layer as it is stored; `tar` is what it unpacks to.
    #[must_use]
    pub fn stored(mut self, media_type: &'static str, stored: Vec<u8>, tar: &[u8]) -> Self {
        self.layers.push(Layer { media_type, stored, diff_id: sha256(tar) });
        self
    }

    /// Sets what the config says under `config`: `User`, `Env`, `Labels`.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.config["config"][name] = value;
        self
    }

    /// The digests of the layers as they are stored.
    #[must_use]
    pub fn layers(&self) -> Vec<String> {
        self.layers.iter().map(|layer| sha256(&layer.stored)).collect()
    }

    /// Writes it as the image `image` of a layout; gives the manifest's digest.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<String> {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        let put = |bytes: &[u8]| -> Result<String> {
            let name = sha256(bytes);
            std::fs::write(blobs.join(&name["sha256:".len()..]), bytes).context("cannot write a blob")?;
            Ok(name)
        };
        let mut config = self.config.clone();
        let diff_ids: Vec<&str> = self.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let config = config.to_string();
        let mut layers = Vec::new();
        for layer in &self.layers {
            let digest = put(&layer.stored)?;
            layers
                .push(json!({ "mediaType": layer.media_type, "digest": digest, "size": layer.stored.len() }));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": put(config.as_bytes())?,
                "size": config.len(),
            },
            "layers": layers,
        });
        let manifest = manifest.to_string();
        let digest = put(manifest.as_bytes())?;
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest,
                "size": manifest.len(),
                "annotations": { "org.opencontainers.image.ref.name": "image" },
            }],
        });
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        std::fs::write(folder.join("index.json"), index.to_string())?;
        Ok(digest)
    }
}

/// A tar (ustar) of these files.
#[must_use]
pub fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        let mut field = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        field(0, name);
        field(100, "0000644");
        field(108, "0000000");
        field(116, "0000000");
        field(124, &format!("{:011o}", content.len()));
        field(136, "00000000000");
        field(148, "        ");
        field(156, "0");
        field(257, "ustar");
        field(263, "00");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// One member of gzip.
///
/// # Errors
/// Never, for it is in memory.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// One frame of zstd.
///
/// # Errors
/// Never, for it is in memory.
pub fn zstd(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(zstd::stream::encode_all(bytes, 1)?)
}

/// `sha256:<hex>` of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
