//! Sigstore's bundles (v0.3): a signature with all that verifies it, in one document.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use super::{
    Logged, Signature,
    certificate::Certificate,
    key::sha256,
    log::{Entry, Taken},
};
use crate::parse::name::Digest;

/// The type of a bundle, as a layer and as an artifact.
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The type of a statement.
const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What a statement states that signs an image: others tell of it, and whoever signs them has not signed it.
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";
/// Entries of logs that are looked at.
const ENTRIES: usize = 4;

/// Bytes as base64.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
    message_signature: Option<MessageSignature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    certificate: Option<Raw>,
    x509_certificate_chain: Option<Chain>,
    #[serde(default)]
    tlog_entries: Vec<LogEntry>,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    raw_bytes: Bytes,
}

/// Numbers are text in the JSON of protocol buffers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogEntry {
    log_index: String,
    log_id: LogId,
    integrated_time: Option<String>,
    inclusion_promise: Option<Promise>,
    canonicalized_body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Promise {
    signed_entry_timestamp: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: Bytes,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: Bytes,
}

#[derive(Deserialize)]
struct MessageSignature {
    signature: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: Value,
}

/// The signature in a bundle, where it signs this image, whose manifest is that.
pub(crate) fn of_bundle(image: &Digest, manifest: &[u8], bundle: &[u8]) -> Option<Signature> {
    stating(SIGNS, image, manifest, bundle)
}

/// The same of a bundle whose statement, if it is one, states this.
pub(super) fn stating(kind: &str, image: &Digest, manifest: &[u8], bundle: &[u8]) -> Option<Signature> {
    let bundle: Bundle = serde_json::from_slice(bundle).ok()?;
    if bundle.media_type != BUNDLE {
        return None;
    }
    let (message, signature, logged) = match (bundle.dsse_envelope, bundle.message_signature) {
        (Some(envelope), None) => {
            let [EnvelopeSignature { sig }] = <[_; 1]>::try_from(envelope.signatures).ok()?;
            if envelope.payload_type != IN_TOTO || !states(kind, image, &envelope.payload.0) {
                return None;
            }
            let payload = envelope.payload.0;
            (encoded(IN_TOTO, &payload), sig.0, Logged::Payload(sha256(&payload)))
        }
        (None, Some(MessageSignature { signature })) => (manifest.to_vec(), signature.0, Logged::Message),
        (None, None) | (Some(_), Some(_)) => return None,
    };
    let Material { certificate, x509_certificate_chain, tlog_entries } = bundle.verification_material;
    let chain = x509_certificate_chain.into_iter().flat_map(|chain| chain.certificates);
    let certificate = Certificate::from_der(certificate.into_iter().chain(chain).map(|raw| raw.raw_bytes.0));
    let entries = tlog_entries.into_iter().take(ENTRIES).filter_map(entry).collect();
    Some(Signature { message, signature, logged, certificate, entries })
}

/// Whether a statement says this of this image.
fn states(kind: &str, image: &Digest, payload: &[u8]) -> bool {
    let Ok(statement) = serde_json::from_slice::<Statement>(payload) else { return false };
    let Some((algorithm, hex)) = image.as_str().split_once(':') else { return false };
    let names = |subject: &Subject| subject.digest.get(algorithm).and_then(Value::as_str) == Some(hex);
    statement.predicate_type == kind && statement.subject.iter().any(names)
}

/// What is signed of an envelope (DSSE's pre-authentication encoding).
fn encoded(kind: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn entry(of: LogEntry) -> Option<Entry> {
    let taken = Taken {
        body: of.canonicalized_body,
        integrated_time: of.integrated_time?.parse().ok()?,
        log_id: hex::encode(of.log_id.key_id.0),
        log_index: of.log_index.parse().ok()?,
    };
    Some(Entry { taken, promise: of.inclusion_promise?.signed_entry_timestamp.0 })
}
