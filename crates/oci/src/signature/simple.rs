//! cosign's own payload (containers' simple signing): what is signed is a document that names the image, which is a
//! layer of the signature's manifest; the signature and its certificate are the layer's annotations.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{
    Logged, Signature,
    certificate::Certificate,
    log::{Entry, Taken},
};
use crate::parse::name::Digest;

/// The type of a layer that is such a payload.
pub(crate) const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// What a payload says of itself.
const KIND: &str = "cosign container image signature";

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// `dev.sigstore.cosign/bundle`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Logs {
    signed_entry_timestamp: String,
    payload: Taken,
}

/// The signature of a layer, where its payload names this image.
pub(crate) fn of_layer(
    image: &Digest,
    payload: &[u8],
    annotations: &BTreeMap<String, String>,
) -> Option<Signature> {
    let said: Payload = serde_json::from_slice(payload).ok()?;
    if said.critical.kind != KIND || said.critical.image.digest != image.as_str() {
        return None;
    }
    let get = |name: &str| annotations.get(name).map(String::as_str);
    let signature = STANDARD.decode(get("dev.cosignproject.cosign/signature")?).ok()?;
    let above = get("dev.sigstore.cosign/chain").unwrap_or_default();
    let certificate =
        get("dev.sigstore.cosign/certificate").and_then(|own| Certificate::from_pem(own, above));
    let logs = get("dev.sigstore.cosign/bundle").and_then(|text| serde_json::from_str::<Logs>(text).ok());
    let entry = logs.and_then(|logs| {
        Some(Entry { promise: STANDARD.decode(logs.signed_entry_timestamp).ok()?, taken: logs.payload })
    });
    Some(Signature {
        message: payload.to_vec(),
        signature,
        logged: Logged::Message,
        certificate,
        entries: entry.into_iter().collect(),
    })
}
