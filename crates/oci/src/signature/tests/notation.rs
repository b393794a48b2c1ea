//! Envelopes, as notation makes them.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::*;

fn noon() -> Timestamp {
    Timestamp::from_second(i64::try_from(NOON).unwrap()).unwrap()
}

/// An envelope of this image, signed by the holder of a certificate, which says this besides.
fn jws(world: &World, image: &Digest, more: &Value) -> Value {
    let key = KeyPair::generate().unwrap();
    let certificate = world.certificate(&key, Of { issuer: None, ..Of::default() });
    let mut protected = json!({
        "alg": "ES256", "cty": "application/vnd.cncf.notary.payload.v1+json",
        "crit": ["io.cncf.notary.signingScheme"],
        "io.cncf.notary.signingScheme": "notary.x509",
        "io.cncf.notary.signingTime": "2026-01-01T12:00:00Z",
    });
    for (name, value) in more.as_object().unwrap() {
        protected[name] = value.clone();
    }
    let target = json!({ "mediaType": "m", "digest": image.as_str(), "size": 1 });
    let payload = URL_SAFE_NO_PAD.encode(json!({ "targetArtifact": target }).to_string());
    let protected = URL_SAFE_NO_PAD.encode(protected.to_string());
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der()).unwrap();
    let signature = key.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes()).unwrap();
    json!({
        "payload": payload, "protected": protected, "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
        "header": { "x5c": [STANDARD.encode(certificate.der())] },
    })
}

#[test]
fn a_holder_of_a_certificate_signs_one_image_for_a_time() {
    let (world, other) = (World::new(), World::new());
    let store = |world: &World| Trust::default().notation("acme", world.root.as_bytes()).unwrap();
    let (trust, stranger) = (store(&world), store(&other));
    let check = |trust: &Trust, jws: &Value, now: Timestamp, expected: &[&str]| {
        let envelope = of_jws(&image(), jws.to_string().as_bytes());
        assert_eq!(shown(envelope.map(|of| trust.verify_envelope(&of, now))), expected, "{jws}");
    };
    let good = jws(&world, &image(), &json!({}));
    check(&trust, &good, noon(), &["acme"]);
    check(&stranger, &good, noon(), &[]);
    let day = jiff::SignedDuration::from_hours(24);
    check(&trust, &good, noon() + day, &[]);
    check(&trust, &jws(&world, &Digest::of(Algorithm::Sha256, b"other"), &json!({})), noon(), &[]);
    let mut tampered = good.clone();
    tampered["payload"] = jws(&other, &image(), &json!({}))["protected"].clone();
    check(&trust, &tampered, noon(), &[]);
    let mut swapped = good.clone();
    swapped["signature"] = jws(&world, &image(), &json!({}))["signature"].clone();
    check(&trust, &swapped, noon(), &[]);
    let expires = |text: &str| jws(&world, &image(), &json!({ "io.cncf.notary.expiry": text }));
    check(&trust, &expires("2026-01-01T13:00:00Z"), noon(), &["acme"]);
    check(&trust, &expires("2026-01-01T12:00:00Z"), noon(), &[]);
    for more in [
        json!({ "crit": ["io.cncf.notary.verificationPlugin"] }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "PS256" }),
        json!({ "cty": "text/plain" }),
        json!({ "io.cncf.notary.signingScheme": "notary.x509.signingAuthority" }),
    ] {
        check(&trust, &jws(&world, &image(), &more), noon(), &[]);
    }
}
