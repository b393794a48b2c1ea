//! Bundles, as cosign makes them and by cosign itself.

use super::*;

fn statement(kind: &str, image: &Digest) -> Vec<u8> {
    let (_, hex) = image.as_str().split_once(':').unwrap();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "", "digest": { "sha256": hex } }],
        "predicateType": kind,
        "predicate": {},
    })
    .to_string()
    .into_bytes()
}

/// A bundle of a statement, signed by this key.
fn bundle(key: &KeyPair, statement: &[u8], material: Value) -> Value {
    let kind = "application/vnd.in-toto+json";
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), statement.len());
    let sig = STANDARD.encode(sign(key, &[head.as_bytes(), statement].concat()));
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": material,
        "dsseEnvelope": {
            "payload": STANDARD.encode(statement), "payloadType": kind, "signatures": [{ "sig": sig }],
        },
    })
}

const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

#[test]
fn bundles_sign_images() {
    let world = World::new();
    let material = || json!({ "publicKey": { "hint": "x" } });
    let (of, none) = (statement(SIGNS, &image()), [""; 0]);
    let good = bundle(&world.key, &of, material());
    assert_eq!(world.bundle(&good), ["release"]);
    assert_eq!(world.bundle(&bundle(&KeyPair::generate().unwrap(), &of, material())), none);
    let attests = statement("https://slsa.dev/provenance/v1", &image());
    assert_eq!(world.bundle(&bundle(&world.key, &attests, material())), none, "it tells of it only");
    let elsewhere = statement(SIGNS, &Digest::of(Algorithm::Sha256, b"other"));
    assert_eq!(world.bundle(&bundle(&world.key, &elsewhere, material())), none);
    let mut tampered = good.clone();
    let changed = [&of[..], b" "].concat();
    tampered["dsseEnvelope"]["payload"] = STANDARD.encode(changed).into();
    assert_eq!(world.bundle(&tampered), none);
    let over = |signed: &[u8]| {
        json!({
            "mediaType": BUNDLE, "verificationMaterial": material(),
            "messageSignature": { "signature": STANDARD.encode(sign(&world.key, signed)) },
        })
    };
    assert_eq!(world.bundle(&over(MANIFEST)), ["release"]);
    assert_eq!(world.bundle(&over(b"other")), none);
    let mut both = over(MANIFEST);
    both["dsseEnvelope"] = good["dsseEnvelope"].clone();
    assert_eq!(world.bundle(&both), none, "one of two is not known to be meant");
}

#[test]
fn bundles_say_who_signed() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let certificate = world.certificate(&key, Of::default());
    let of = statement(SIGNS, &image());
    let signed = bundle(&key, &of, json!({}));
    let entry = |time: u64, payload: &[u8]| {
        let body = json!({
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "payloadHash": { "algorithm": "sha256", "value": hex::encode(sha256(payload)) },
                "signatures": [{
                    "signature": signed["dsseEnvelope"]["signatures"][0]["sig"],
                    "verifier": STANDARD.encode(certificate.pem()),
                }],
            },
        });
        let (taken, promise) = world.taken(&body, time);
        json!({
            "logIndex": "7", "logId": { "keyId": STANDARD.encode(sha256(&der_of(&world.log))) },
            "integratedTime": time.to_string(), "inclusionPromise": { "signedEntryTimestamp": promise },
            "canonicalizedBody": taken["body"],
        })
    };
    let check = |entries: Value, expected: &[String]| {
        let mut bundle = signed.clone();
        bundle["verificationMaterial"] = json!({
            "certificate": { "rawBytes": STANDARD.encode(certificate.der()) }, "tlogEntries": entries,
        });
        assert_eq!(world.bundle(&bundle), expected);
    };
    check(json!([entry(NOON, &of)]), &[format!("{ISSUER} {IDENTITY}")]);
    check(json!([entry(NOON + DAY, &of)]), &[]);
    check(json!([entry(NOON, b"other")]), &[]);
    check(json!([]), &[]);
}

/// A statement that cosign itself made, with the public Fulcio and Rekor (of cosign's own tests).
#[test]
fn what_cosign_made_is_verified() {
    const BUNDLE: &[u8] = include_bytes!("../fixtures/attestation.json");
    const KIND: &str = "https://cosign.sigstore.dev/attestation/v1";
    let (fulcio, rekor) = (include_bytes!("../fixtures/fulcio.pem"), include_bytes!("../fixtures/rekor.pem"));
    let image = "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";
    let image = Digest::parse(image).unwrap();
    let trust = Trust::default().keyless(fulcio, rekor).unwrap();
    let verified = |bundle: &[u8]| {
        let signature = bundle::stating(KIND, &image, b"", bundle);
        shown(signature.map(|signature| trust.verify(&signature)))
    };
    assert_eq!(verified(BUNDLE), ["https://github.com/login/oauth cody@soyland.com"]);
    assert!(of_bundle(&image, b"", BUNDLE).is_none(), "it tells of the image, and does not sign it");
    let text = String::from_utf8(BUNDLE.to_vec()).unwrap();
    let later = text.replace("1740770291", "1740770292");
    assert_ne!(later, text);
    assert_eq!(verified(later.as_bytes()), [""; 0], "a time that Rekor did not sign");
    let other = World::new();
    let signature = bundle::stating(KIND, &image, b"", BUNDLE).unwrap();
    assert_eq!(shown(Some(other.trust.verify(&signature))), [""; 0]);
}
