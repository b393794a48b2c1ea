//! Signatures of images by a key, in the form in which cosign leaves them beside an image.

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};

use crate::image::sha256;

/// Who signs images, by a key of their own.
#[derive(Debug)]
pub struct Signer(KeyPair);

/// A signature: a manifest, and the blobs that it refers to.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The manifest.
    pub manifest: Value,
    /// Its config and its layer.
    pub blobs: [Vec<u8>; 2],
}

impl Signer {
    /// With a new key (P-256).
    ///
    /// # Errors
    /// When there are no random bytes.
    pub fn new() -> Result<Self> {
        Ok(Self(KeyPair::generate()?))
    }

    /// The public key, in PEM.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.0.public_key_pem()
    }

    /// Signs an image, by its digest.
    ///
    /// # Errors
    /// When the key can't sign.
    pub fn sign(&self, digest: &str) -> Result<Signature> {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": "" },
                "image": { "docker-manifest-digest": digest },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string().into_bytes();
        let signature = self.0.sign(&payload)?;
        let config = json!({
            "architecture": "", "os": "", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [sha256(&payload)] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": sha256(&config),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "digest": sha256(&payload),
                "size": payload.len(),
                "annotations": {
                    "dev.cosignproject.cosign/signature": BASE64_STANDARD.encode(signature),
                },
            }],
        });
        Ok(Signature { manifest, blobs: [config, payload] })
    }
}
