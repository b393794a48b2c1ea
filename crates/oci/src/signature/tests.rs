//! Signatures as cosign makes them, by keys and certificates that are made here.

mod bundles;
mod notation;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PSS_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use serde_json::{Value, json};

use super::{key::sha256, testing::sign, *};

/// Noon of the day on which the certificates are good.
const NOON: u64 = 1_767_268_800;
const DAY: u64 = 86_400;
const IDENTITY: &str = "https://github.com/team/app/.github/workflows/release.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const MANIFEST: &[u8] = br#"{"schemaVersion":2,"layers":[]}"#;

fn image() -> Digest {
    Digest::of(Algorithm::Sha256, MANIFEST)
}

fn payload(digest: &Digest) -> Vec<u8> {
    testing::payload(digest.as_str())
}

/// An authority, a log, and who trusts them.
struct World {
    key: KeyPair,
    log: KeyPair,
    authority: Issuer<'static, KeyPair>,
    /// The authority's own certificate, in PEM.
    root: String,
    trust: Trust,
}

/// What is to be made of a certificate.
struct Of {
    identity: SanType,
    usage: ExtendedKeyUsagePurpose,
    issuer: Option<&'static str>,
}

impl Default for Of {
    fn default() -> Self {
        let identity = SanType::URI(IDENTITY.try_into().unwrap());
        Self { identity, usage: ExtendedKeyUsagePurpose::CodeSigning, issuer: Some(ISSUER) }
    }
}

impl World {
    fn new() -> Self {
        let [key, log, root] = [(); 3].map(|()| KeyPair::generate().unwrap());
        let (authority, pem) = authority(root);
        let trust = Trust::default().key("release", key.public_key_pem().as_bytes()).unwrap();
        let trust = trust.keyless(pem.as_bytes(), log.public_key_pem().as_bytes()).unwrap();
        Self { key, log, authority, root: pem, trust }
    }

    /// A certificate that is good for a day.
    fn certificate(&self, key: &KeyPair, of: Of) -> rcgen::Certificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![of.identity];
        params.extended_key_usages = vec![of.usage];
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 1, 2));
        if let Some(issuer) = of.issuer {
            let mut der = vec![0x0c, u8::try_from(issuer.len()).unwrap()];
            der.extend_from_slice(issuer.as_bytes());
            let id = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
            params.custom_extensions.push(CustomExtension::from_oid_content(&id, der));
        }
        params.signed_by(key, &self.authority).unwrap()
    }

    /// What the log says of an entry.
    fn taken(&self, body: &Value, time: u64) -> (Value, String) {
        let body = STANDARD.encode(body.to_string());
        let id = hex::encode(sha256(&der_of(&self.log)));
        let taken = json!({ "body": body, "integratedTime": time, "logID": id, "logIndex": 7 });
        let canonical = format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":7}}"#);
        (taken, STANDARD.encode(sign(&self.log, canonical.as_bytes())))
    }

    /// The annotations of a keyless signature of a payload.
    fn keyless(&self, payload: &[u8], of: Of, time: u64) -> BTreeMap<String, String> {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(&key, of).pem();
        let signature = STANDARD.encode(sign(&key, payload));
        let body = json!({
            "apiVersion": "0.0.1", "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": hex::encode(sha256(payload)) } },
                "signature": { "content": signature, "publicKey": { "content": STANDARD.encode(&certificate) } },
            },
        });
        let (taken, promise) = self.taken(&body, time);
        let bundle = json!({ "SignedEntryTimestamp": promise, "Payload": taken });
        annotations(
            &signature,
            &[
                ("dev.sigstore.cosign/certificate", &certificate),
                ("dev.sigstore.cosign/bundle", &bundle.to_string()),
            ],
        )
    }

    /// Who signed the image, by these annotations of a payload: keys, then others.
    fn layer(&self, payload: &[u8], annotations: &BTreeMap<String, String>) -> Vec<String> {
        shown(of_layer(&image(), payload, annotations).map(|signature| self.trust.verify(&signature)))
    }

    fn bundle(&self, bundle: &Value) -> Vec<String> {
        let signature = of_bundle(&image(), MANIFEST, bundle.to_string().as_bytes());
        shown(signature.map(|signature| self.trust.verify(&signature)))
    }
}

fn authority(key: KeyPair) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

fn der_of(key: &KeyPair) -> Vec<u8> {
    let pem = key.public_key_pem();
    let lines = pem.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

fn shown(verified: Option<Verified>) -> Vec<String> {
    let Verified { keys, signers } = verified.unwrap_or_default();
    keys.into_iter().chain(signers).collect()
}

fn annotations(signature: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let all = more.iter().copied().chain([("dev.cosignproject.cosign/signature", signature)]);
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_key_signs_one_image() {
    let (world, payload) = (World::new(), payload(&image()));
    let signed = |key: &KeyPair, of: &[u8]| annotations(&STANDARD.encode(sign(key, of)), &[]);
    assert_eq!(world.layer(&payload, &signed(&world.key, &payload)), ["release"]);
    let none: [&str; 0] = [];
    let other = KeyPair::generate().unwrap();
    assert_eq!(world.layer(&payload, &signed(&other, &payload)), none, "another key");
    let elsewhere = super::tests::payload(&Digest::of(Algorithm::Sha256, b"other"));
    assert_eq!(world.layer(&elsewhere, &signed(&world.key, &elsewhere)), none, "of another image");
    assert_eq!(world.layer(&payload, &signed(&world.key, &elsewhere)), none, "moved to this image");
    let tampered = [&payload[..], b" "].concat();
    assert_eq!(world.layer(&tampered, &signed(&world.key, &payload)), none, "changed since");
    let kind = String::from_utf8(payload.clone()).unwrap().replace("cosign container", "other");
    assert_eq!(
        world.layer(kind.as_bytes(), &signed(&world.key, kind.as_bytes())),
        none,
        "says something else"
    );
    assert_eq!(world.layer(&payload, &BTreeMap::new()), none);
}

#[test]
fn keys_of_all_kinds_sign() {
    let payload = payload(&image());
    let mut keys: Vec<KeyPair> = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA256,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
    ]
    .map(|kind| KeyPair::generate_for(kind).unwrap())
    .into();
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let pss = {
        let key = RsaKeyPair::from_pkcs8(rsa.serialized_der()).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), &payload, &mut signature).unwrap();
        signature
    };
    let trust = Trust::default().key("rsa", rsa.public_key_pem().as_bytes()).unwrap();
    let signature = of_layer(&image(), &payload, &annotations(&STANDARD.encode(pss), &[])).unwrap();
    assert_eq!(shown(Some(trust.verify(&signature))), ["rsa"]);
    keys.push(rsa);
    for key in &keys {
        let trust = Trust::default().key("k", key.public_key_pem().as_bytes()).unwrap();
        let verified = |signature: &[u8]| {
            let annotations = annotations(&STANDARD.encode(signature), &[]);
            shown(of_layer(&image(), &payload, &annotations).map(|signature| trust.verify(&signature)))
        };
        assert_eq!(verified(&sign(key, &payload)), ["k"], "{key:?}");
        assert_eq!(verified(&sign(key, b"other")), [""; 0], "{key:?}");
    }
}

#[test]
fn certificates_say_who_signed() {
    let (world, payload) = (World::new(), payload(&image()));
    let keyless = |of: Of, time: u64| world.layer(&payload, &world.keyless(&payload, of, time));
    assert_eq!(keyless(Of::default(), NOON), [format!("{ISSUER} {IDENTITY}")]);
    let email = SanType::Rfc822Name("ada@example.com".try_into().unwrap());
    let email = Of { identity: email, ..Of::default() };
    assert_eq!(keyless(email, NOON), [format!("{ISSUER} ada@example.com")]);
    let none: [&str; 0] = [];
    for time in [NOON - DAY, NOON + DAY] {
        assert_eq!(keyless(Of::default(), time), none, "the log took it when the certificate was not good");
    }
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    assert_eq!(keyless(Of { usage, ..Of::default() }, NOON), none, "a certificate for something else");
    assert_eq!(keyless(Of { issuer: None, ..Of::default() }, NOON), none, "nobody vouched");
    let spaced = Of { issuer: Some("https://a b"), ..Of::default() };
    assert_eq!(keyless(spaced, NOON), none, "an issuer that could be read as an identity");
}

#[test]
fn nobody_is_known_without_authority_and_log() {
    let (world, other, payload) = (World::new(), World::new(), payload(&image()));
    let good = world.keyless(&payload, Of::default(), NOON);
    let none: [&str; 0] = [];
    assert_eq!(other.layer(&payload, &good), none, "neither authority nor log is trusted");
    for left in ["dev.sigstore.cosign/bundle", "dev.sigstore.cosign/certificate"] {
        let mut without = good.clone();
        without.remove(left);
        assert_eq!(world.layer(&payload, &without), none, "{left}");
    }
    // An entry of the same log, of another signature.
    let mut swapped = good.clone();
    let again = world.keyless(&payload, Of::default(), NOON);
    swapped.insert("dev.sigstore.cosign/bundle".into(), again["dev.sigstore.cosign/bundle"].clone());
    assert_eq!(world.layer(&payload, &swapped), none);
    // A time that the log did not sign.
    let mut later = good.clone();
    let bundle = &good["dev.sigstore.cosign/bundle"];
    let bundle = bundle.replace(&NOON.to_string(), &(NOON + 1).to_string());
    later.insert("dev.sigstore.cosign/bundle".into(), bundle);
    assert_eq!(world.layer(&payload, &later), none);
    let keys = Trust::default().key("release", world.key.public_key_pem().as_bytes()).unwrap();
    let signature = of_layer(&image(), &payload, &good).unwrap();
    assert_eq!(shown(Some(keys.verify(&signature))), none, "no authority is configured");
}

#[test]
fn an_intermediate_leads_to_the_authority() {
    let mut world = World::new();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(rcgen::DnType::CommonName, "between");
    let key = KeyPair::generate().unwrap();
    let above = params.signed_by(&key, &world.authority).unwrap().pem();
    world.authority = Issuer::new(params, key);
    let payload = payload(&image());
    let mut signed = world.keyless(&payload, Of::default(), NOON);
    assert_eq!(world.layer(&payload, &signed), [""; 0]);
    signed.insert("dev.sigstore.cosign/chain".into(), above);
    assert_eq!(world.layer(&payload, &signed), [format!("{ISSUER} {IDENTITY}")]);
}

#[test]
fn what_is_no_key_is_not_trusted() {
    let pem = KeyPair::generate().unwrap().serialize_pem();
    for text in ["", "key", pem.as_str()] {
        assert_eq!(Trust::default().key("k", text.as_bytes()).err(), Some(TrustError::Key), "{text}");
    }
    let key = KeyPair::generate().unwrap().public_key_pem();
    let keyless = Trust::default().keyless(b"", key.as_bytes());
    assert_eq!(keyless.err(), Some(TrustError::Authorities));
    let (_, pem) = authority(KeyPair::generate().unwrap());
    let keyless = Trust::default().keyless(pem.as_bytes(), b"");
    assert_eq!(keyless.err(), Some(TrustError::Key));
}

#[test]
fn broken_certificates_are_nobodys() {
    let world = World::new();
    let der = world.certificate(&world.key, Of::default()).der().to_vec();
    fuzz(&der);
    for at in 0..der.len() {
        let mut broken = der.clone();
        broken[at] ^= 0x41;
        fuzz(&broken);
        fuzz(&der[..at]);
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        fuzz(&bytes);
    }
}
