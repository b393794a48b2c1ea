//! Signatures as cosign makes them with a key.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::json;

pub(crate) fn sign(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(message).unwrap()
}

/// The payload that names an image.
pub(crate) fn payload(image: &str) -> Vec<u8> {
    let image = json!({ "docker-manifest-digest": image });
    let identity = json!({ "docker-reference": "registry.example/team/app" });
    let kind = "cosign container image signature";
    let critical = json!({ "identity": identity, "image": image, "type": kind });
    json!({ "critical": critical, "optional": null }).to_string().into_bytes()
}

/// The payload of an image, and its signature in base64.
pub(crate) fn signed(key: &KeyPair, image: &str) -> (Vec<u8>, String) {
    let payload = payload(image);
    let signature = STANDARD.encode(sign(key, &payload));
    (payload, signature)
}
