//! The identity providers, asked over the network as the gateway asks them.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test panics; what it reads is bounded"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lockgate_testkit::{Alg, Fetches, Idp, Mood, RealIdp};
use serde_json::{Value, json};

/// At most 64 KiB of the answer to a GET, as it stands on the wire.
fn get(issuer: &str, path: &str) -> String {
    let addr: SocketAddr = issuer.trim_start_matches("http://").parse().unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.take(65_536).read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get_json(issuer: &str, path: &str) -> Value {
    let answer = get(issuer, path);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(&body[body.find('{').unwrap()..=body.rfind('}').unwrap()]).unwrap()
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

#[test]
fn discovery_leads_to_the_keys_and_rotation_replaces_them() {
    let idp = Idp::start().unwrap();
    let discovery = get_json(&idp.issuer(), DISCOVERY);
    assert_eq!(discovery["issuer"], json!(idp.issuer()));
    assert_eq!(discovery["jwks_uri"], json!(format!("{}/keys", idp.issuer())));
    let ids = || {
        let keys = get_json(&idp.issuer(), "/keys");
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(), ["es256-1", "rs256-1", "eddsa-1"]);
    let old = idp.key(Alg::Rs256);
    idp.rotate().unwrap();
    assert_eq!(ids(), ["es256-2", "rs256-2", "eddsa-2"]);
    assert_ne!(old.jwk()["n"], idp.key(Alg::Rs256).jwk()["n"]);
    assert_eq!(idp.fetches(), Fetches { discovery: 1, keys: 2 });
}

#[test]
fn every_mood_shows() {
    let idp = Idp::start().unwrap();
    let answer = |mood: Mood| {
        idp.set_mood(mood);
        get(&idp.issuer(), DISCOVERY)
    };
    assert!(answer(Mood::Failing).starts_with("HTTP/1.1 503"));
    assert_eq!(answer(Mood::Cutting), "");
    assert!(answer(Mood::Nonsense).ends_with("<html>It works!</html>"));
    assert_eq!(answer(Mood::Endless).len(), 65_536);
    assert!(
        answer(Mood::Redirecting("http://other.example/".into())).contains("location: http://other.example/")
    );
    assert!(answer(Mood::Well).starts_with("HTTP/1.1 200"));
    idp.set_key_set(Some(json!({ "keys": [] })));
    assert_eq!(get_json(&idp.issuer(), "/keys"), json!({ "keys": [] }));
}

#[test]
fn a_silent_provider_does_not_keep_the_test_from_ending() {
    let idp = Idp::start().unwrap();
    idp.set_mood(Mood::Silent);
    let addr: SocketAddr = idp.issuer().trim_start_matches("http://").parse().unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {DISCOVERY} HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    lockgate_testkit::wait::until("the question", || (idp.fetches().discovery == 1).then_some(())).unwrap();
    drop(idp);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn the_real_provider_gives_a_token_for_an_audience() {
    let idp = RealIdp::start().unwrap();
    let token = idp.token("lockgate").unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(idp.issuer()), &json!("lockgate")));
    assert_eq!(claims["sub"], json!(idp.subject()));
    assert_eq!(get_json(&idp.issuer(), DISCOVERY)["issuer"], json!(idp.issuer()));
}
