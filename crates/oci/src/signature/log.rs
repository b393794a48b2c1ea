//! Entries of a transparency log (Rekor v1), with the log's own signature that it took them, and when.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Logged, Signature,
    key::{Key, sha256},
};

/// What the log signs of an entry (RFC 8785: its names in this order, without spaces).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Taken {
    pub(super) body: String,
    pub(super) integrated_time: u64,
    #[serde(rename = "logID")]
    pub(super) log_id: String,
    pub(super) log_index: u64,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) taken: Taken,
    /// The log's signature.
    pub(super) promise: Vec<u8>,
}

impl Entry {
    /// When the log took this signature by this certificate, in seconds since 1970; `None` where it does not say so.
    pub(super) fn time(
        &self,
        log: &Key,
        signature: &Signature,
        certificate: &CertificateDer<'_>,
    ) -> Option<u64> {
        let signed = serde_json::to_vec(&self.taken).ok()?;
        let is_by_log = self.taken.log_id == hex::encode(log.id()) && log.verifies(&signed, &self.promise);
        let body = STANDARD.decode(&self.taken.body).ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        (is_by_log && is_of(&body, signature, certificate)?).then_some(self.taken.integrated_time)
    }
}

/// Whether the entry is of this signature, of what it signs, and of this certificate.
fn is_of(body: &Value, signature: &Signature, certificate: &CertificateDer<'_>) -> Option<bool> {
    let text = |path: &str| body.pointer(path)?.as_str();
    let decoded = |path: &str| STANDARD.decode(text(path)?).ok();
    let (hash, path_of_hash, path_of_signature, path_of_certificate) = match signature.logged {
        Logged::Message => {
            let paths = ("/spec/data/hash", "/spec/signature/content", "/spec/signature/publicKey/content");
            (sha256(&signature.message), paths.0, paths.1, paths.2)
        }
        Logged::Payload(hash) => {
            let paths = ("/spec/payloadHash", "/spec/signatures/0/signature", "/spec/signatures/0/verifier");
            (hash, paths.0, paths.1, paths.2)
        }
    };
    let kind = match signature.logged {
        Logged::Message => "hashedrekord",
        Logged::Payload(_) => "dsse",
    };
    let logged = decoded(path_of_certificate)?;
    let logged = CertificateDer::from_pem_slice(&logged).ok()?;
    Some(
        text("/kind")? == kind
            && text(&format!("{path_of_hash}/algorithm"))? == "sha256"
            && text(&format!("{path_of_hash}/value"))? == hex::encode(hash)
            && decoded(path_of_signature)? == signature.signature
            && logged == *certificate,
    )
}
