//! Published keys of every kind: which are taken, and for which algorithms.

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding, RsaKeyPair,
    },
};
use serde_json::json;

use super::*;
use crate::authn::claims::Claims;

const MESSAGE: &[u8] = b"header.payload";

static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

impl Key {
    pub(in crate::authn) fn for_tests() -> Self {
        Self::read(signed(Algorithm::EdDsa).0.as_object().unwrap(), &Algorithm::ALL).unwrap()
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A JWK without any optional member, and the signature of [`MESSAGE`] by its key.
fn signed(algorithm: Algorithm) -> (Value, Vec<u8>) {
    match algorithm {
        Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => rsa(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => rsa(&RSA_PKCS1_SHA512),
        Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
        Algorithm::Ps384 => rsa(&RSA_PSS_SHA384),
        Algorithm::Ps512 => rsa(&RSA_PSS_SHA512),
        Algorithm::Es256 => ec("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ec("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => ec("P-521", &ECDSA_P521_SHA512_FIXED_SIGNING),
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::generate().unwrap();
            let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref()) });
            (jwk, pair.sign(MESSAGE).as_ref().to_vec())
        }
    }
}

fn rsa(encoding: &'static dyn RsaEncoding) -> (Value, Vec<u8>) {
    let mut signature = vec![0; RSA.public_modulus_len()];
    RSA.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
    (rsa_jwk(&RSA), signature)
}

fn rsa_jwk(pair: &RsaKeyPair) -> Value {
    // A SEQUENCE of two INTEGERs, whose second, 65537, is the last five bytes.
    let der = pair.public_key().as_ref();
    let (n, e) = der.split_at(der.len() - 5);
    let n = &n[n.len() - pair.public_modulus_len()..];
    json!({ "kty": "RSA", "n": base64(n), "e": base64(&e[2..]) })
}

fn ec(curve: &str, algorithm: &'static EcdsaSigningAlgorithm) -> (Value, Vec<u8>) {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({ "kty": "EC", "crv": curve, "x": base64(x), "y": base64(y) });
    (jwk, pair.sign(&SystemRandom::new(), MESSAGE).unwrap().as_ref().to_vec())
}

fn with(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

fn read(jwk: &Value) -> Result<Key, String> {
    Key::read(jwk.as_object().unwrap(), &Algorithm::ALL).map_err(|error| error.to_string())
}

fn verifies(key: &Key, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
    let header = Header { algorithm, key_id: None };
    let token = Token { signed, signature: signature.to_vec(), header, claims: Claims::new() };
    key.verify(&token).is_ok()
}

fn set(keys: &[Value]) -> KeySet {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &Algorithm::ALL, None).unwrap()
}

#[test]
fn every_algorithm_verifies_what_its_key_signed() {
    for algorithm in Algorithm::ALL {
        let (jwk, signature) = signed(algorithm);
        let full = with(&with(&jwk, "alg", json!(algorithm.name())), "use", json!("sig"));
        for jwk in [jwk, with(&full, "key_ops", json!(["verify"]))] {
            let key = read(&jwk).unwrap();
            assert!(verifies(&key, algorithm, MESSAGE, &signature), "{algorithm}");
            assert!(!verifies(&key, algorithm, b"header.Payload", &signature), "{algorithm}");
            for wrong in [&signature[1..], &[&signature, &[0u8][..]].concat(), &vec![0; signature.len()], &[]]
            {
                assert!(!verifies(&key, algorithm, MESSAGE, wrong), "{algorithm}");
            }
            let mut flipped = signature.clone();
            flipped[3] ^= 1;
            assert!(!verifies(&key, algorithm, MESSAGE, &flipped), "{algorithm}");
        }
    }
}

#[test]
fn a_key_verifies_for_its_own_algorithm_alone() {
    for algorithm in Algorithm::ALL {
        let (jwk, signature) = signed(algorithm);
        let key = read(&with(&jwk, "alg", json!(algorithm.name()))).unwrap();
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            assert!(!verifies(&key, other, MESSAGE, &signature), "{algorithm} {other}");
            let key = read(&jwk).unwrap();
            assert!(!verifies(&key, other, MESSAGE, &signature), "{algorithm} {other}");
        }
    }
    let (jwk, _) = signed(Algorithm::EdDsa);
    assert!(read(&with(&jwk, "alg", json!("Ed25519"))).is_ok());
}

#[test]
fn only_configured_algorithms_count() {
    let (jwk, signature) = signed(Algorithm::Rs256);
    let key = Key::read(jwk.as_object().unwrap(), &[Algorithm::Ps256, Algorithm::Es256]).unwrap();
    assert!(!verifies(&key, Algorithm::Rs256, MESSAGE, &signature));
    assert!(Key::read(jwk.as_object().unwrap(), &[Algorithm::Es256]).is_err());
}

#[test]
fn signatures_in_der_are_not_those_of_jws() {
    let (jwk, signature) = ec("P-256", &ECDSA_P256_SHA256_ASN1_SIGNING);
    assert!(!verifies(&read(&jwk).unwrap(), Algorithm::Es256, MESSAGE, &signature));
}

#[test]
fn keys_that_may_not_verify_are_left_out() {
    let (p256, _) = signed(Algorithm::Es256);
    let (ed25519, _) = signed(Algorithm::EdDsa);
    let rsa = rsa_jwk(&RSA);
    let small = rsa_jwk(&RSA)["n"].as_str().unwrap()[..168].to_owned();
    let long = base64(&[0xff; 1025]);
    let x = p256["x"].clone();
    let no_algorithm = "the key is not for an algorithm that is accepted of this issuer";
    let not_verifying = "the key is not for verifying signatures";
    let unknown = "the algorithm is not known, or not safe";
    let not_public = "the key is not public: whoever read it can make tokens";
    let size = "the key has a modulus of fewer than 2048 or more than 8192 bits";
    let rows = [
        // For another use.
        (with(&p256, "use", json!("enc")), not_verifying),
        (with(&p256, "use", json!("SIG")), not_verifying),
        (with(&p256, "use", json!(1)), "the key has a member that is not a string"),
        (with(&p256, "key_ops", json!(["sign", "encrypt"])), not_verifying),
        (with(&p256, "key_ops", json!([])), not_verifying),
        (with(&p256, "key_ops", json!("verify")), not_verifying),
        // For another algorithm.
        (with(&p256, "alg", json!("ES384")), no_algorithm),
        (with(&p256, "alg", json!("RS256")), no_algorithm),
        (with(&rsa, "alg", json!("ES256")), no_algorithm),
        (with(&ed25519, "alg", json!("ES256")), no_algorithm),
        (with(&rsa, "alg", json!("HS256")), unknown),
        (with(&rsa, "alg", json!("RSA-OAEP")), unknown),
        (with(&rsa, "alg", json!("none")), unknown),
        // Of another type.
        (with(&p256, "kty", json!("OKP")), no_algorithm),
        (with(&p256, "kty", json!("ec")), no_algorithm),
        (with(&p256, "kty", json!(null)), "the key has a member that is not a string"),
        (json!({ "kid": "k" }), "the key has no kty"),
        (with(&p256, "crv", json!("secp256k1")), no_algorithm),
        (with(&ed25519, "crv", json!("X25519")), no_algorithm),
        (with(&ed25519, "crv", json!("Ed448")), no_algorithm),
        (with(&p256, "crv", json!("P-384")), "the key has a coordinate of the wrong size"),
        (json!({ "kty": "oct", "alg": "HS256", "k": "c2VjcmV0" }), not_public),
        (json!({ "kty": "oct" }), no_algorithm),
        // Private.
        (with(&p256, "d", json!("AA")), not_public),
        (with(&rsa, "p", json!("AA")), not_public),
        // Wrong numbers.
        (with(&p256, "y", x), "the key is not on its curve"),
        (with(&p256, "y", json!("AA")), "the key has a coordinate of the wrong size"),
        (with(&p256, "y", json!("A+==")), "the key has a number that is not base64url"),
        (with(&ed25519, "x", json!("AA")), "the key has a coordinate of the wrong size"),
        (with(&rsa, "n", json!(small)), size),
        (with(&rsa, "n", json!(long)), size),
        (with(&rsa, "n", json!("")), size),
        (with(&rsa, "e", json!("")), "the key is not an RSA key"),
        (json!({ "kty": "RSA", "e": "AQAB" }), "the key lacks a number"),
    ];
    for (jwk, expected) in rows {
        assert_eq!(read(&jwk).err().as_deref(), Some(expected), "{jwk}");
        assert_eq!(set(&[jwk]).0.len(), 0);
    }
}

#[test]
fn rsa_exponents_that_verify_anything_are_useless() {
    // With an exponent of 1 the padded digest would be its own signature.
    let rsa = rsa_jwk(&RSA);
    let (_, signature) = signed(Algorithm::Rs256);
    for exponent in [&[1][..], &[2], &[1, 0, 0], &[0xff; 9]] {
        let key = read(&with(&rsa, "e", json!(base64(exponent))));
        assert!(!key.is_ok_and(|key| verifies(&key, Algorithm::Rs256, MESSAGE, &signature)), "{exponent:?}");
    }
    let mut padded = vec![0; 256];
    padded[..2].copy_from_slice(&[0, 1]);
    padded[2..204].fill(0xff);
    let sha256 = hex::decode("3031300d060960864801650304020105000420").unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, MESSAGE);
    padded[205..224].copy_from_slice(&sha256);
    padded[224..].copy_from_slice(digest.as_ref());
    let key = read(&with(&rsa, "e", json!("AQ")));
    assert!(!key.is_ok_and(|key| verifies(&key, Algorithm::Rs256, MESSAGE, &padded)));
}

#[test]
fn zeros_before_an_rsa_number_do_not_count() {
    let (jwk, signature) = signed(Algorithm::Rs256);
    let n = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let jwk = with(&jwk, "n", json!(base64(&[&[0, 0], &*n].concat())));
    assert!(verifies(&read(&jwk).unwrap(), Algorithm::Rs256, MESSAGE, &signature));
    // Nor do they make a small key large.
    let jwk = with(&jwk, "n", json!(base64(&[&[0; 128], &n[..128]].concat())));
    assert!(read(&jwk).is_err());
}

#[test]
fn a_token_finds_the_one_key_that_fits() {
    let named = |algorithm, kid: &str| with(&signed(algorithm).0, "kid", json!(kid));
    let rsa = named(Algorithm::Rs256, "r");
    let keys = [named(Algorithm::Es256, "a"), named(Algorithm::Es256, "b"), rsa.clone(), rsa];
    let same_name =
        [named(Algorithm::Es256, "a"), named(Algorithm::Es384, "a"), named(Algorithm::Es384, "a")];
    let find = |keys: &[Value], algorithm, kid: Option<&str>| {
        let header = Header { algorithm, key_id: kid.map(Into::into) };
        set(keys)
            .find(&header)
            .map(|key| key.jwk.get("crv").and_then(Value::as_str).unwrap_or("RSA").to_owned())
    };
    let rows = [
        (&keys[..], Algorithm::Es256, Some("b"), Ok("P-256")),
        (&keys, Algorithm::Rs256, Some("r"), Ok("RSA")),
        (&keys, Algorithm::Ps512, Some("r"), Ok("RSA")),
        (&keys, Algorithm::Es256, Some("c"), Err(Miss::Unknown)),
        (&keys, Algorithm::Es256, Some(""), Err(Miss::Unknown)),
        (&keys, Algorithm::Es384, Some("a"), Err(Miss::Unfit)),
        (&keys, Algorithm::Es256, Some("r"), Err(Miss::Unfit)),
        // Without a name.
        (&keys, Algorithm::Rs256, None, Ok("RSA")),
        (&keys, Algorithm::Es256, None, Err(Miss::Ambiguous)),
        (&keys, Algorithm::EdDsa, None, Err(Miss::Unfit)),
        (&[], Algorithm::EdDsa, None, Err(Miss::Unknown)),
        // With a name that several have.
        (&same_name, Algorithm::Es256, Some("a"), Ok("P-256")),
        (&same_name, Algorithm::Es384, Some("a"), Err(Miss::Ambiguous)),
    ];
    for (keys, algorithm, kid, expected) in rows {
        assert_eq!(find(keys, algorithm, kid), expected.map(str::to_owned), "{algorithm} {kid:?}");
    }
}

#[test]
fn keys_that_stay_are_the_same_in_memory() {
    let stays = with(&signed(Algorithm::Es256).0, "kid", json!("stays"));
    let goes = with(&signed(Algorithm::Es256).0, "kid", json!("goes"));
    let before = set(&[stays.clone(), goes]);
    let (stays_before, goes_before) = (Arc::clone(&before.0[0]), Arc::downgrade(&before.0[1]));
    let document = json!({ "keys": [stays] }).to_string();
    let after = KeySet::read(document.as_bytes(), &Algorithm::ALL, Some(&before)).unwrap();
    drop(before);
    assert!(Arc::ptr_eq(&after.0[0], &stays_before));
    assert_eq!(goes_before.strong_count(), 0);
}

#[test]
fn documents_that_make_no_sense_are_refused() {
    let many = json!({ "keys": vec![json!({}); MAX_KEYS + 1] }).to_string();
    let keys = "the key set has no list of at most 100 keys";
    let json = "the key set is not valid JSON";
    let rows = [
        ("", json),
        ("<html>", json),
        ("[]", json),
        (r#"{"keys":[],"keys":[]}"#, json),
        ("{}", keys),
        (r#"{"keys":{}}"#, keys),
        (r#"{"keys":[1]}"#, keys),
        (&many, keys),
    ];
    for (document, expected) in rows {
        let error = KeySet::read(document.as_bytes(), &Algorithm::ALL, None).err().unwrap();
        assert_eq!(error.to_string(), expected, "{document}");
    }
    assert!(set(&[]).0.is_empty());
}

#[test]
fn algorithms_have_names() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.to_string().parse::<Algorithm>().unwrap(), algorithm);
    }
    for wrong in ["", "none", "HS256", "rs256", "RSA1_5", "ES256K"] {
        assert!(wrong.parse::<Algorithm>().is_err(), "{wrong}");
    }
}
