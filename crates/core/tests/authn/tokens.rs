//! What a token may say, and what is refused.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockgate_core::authn::{Algorithm, Authenticator, AuthnError, SessionFrom};
use lockgate_testkit::{Alg, Idp, SigningKey, Token};
use serde_json::{Value, json};

use crate::{Gate, config, said};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_good_token_makes_a_caller() {
    let gate = Gate::new(|config| {
        config.groups_claim = Some("groups".into());
        config.required.insert("repository_owner_id".into(), ["1234".to_owned()].into());
    });
    for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
        let token = gate.idp.token_with(alg, "repo:o/r:ref:refs/heads/main");
        let token = token
            .claim("groups", json!(["dev", "ops"]))
            .claim("repository_owner_id", json!("1234"))
            .claim("aud", json!(["sigstore", "lockgate"]));
        let caller = gate.verify(&token).await.unwrap();
        assert_eq!(caller.principal.issuer, "ci");
        assert_eq!(caller.principal.subject, "repo:o/r:ref:refs/heads/main");
        assert_eq!(caller.principal.groups, ["dev", "ops"]);
        assert_eq!(caller.principal.claims["repository_owner_id"], "1234");
    }
}

#[tokio::test]
async fn each_rule_has_an_answer() {
    let gate = Gate::new(|config| {
        config.groups_claim = Some("groups".into());
        config.required.insert("ref_protected".into(), ["true".to_owned()].into());
    });
    let good = || gate.idp.token("ada").claim("ref_protected", json!("true"));
    let malformed = |problem: &str| format!("the token is malformed: {problem}");
    let audience = "the token is for the audience sts.example, this gateway wants lockgate";
    let rows: Vec<(Token, String)> = vec![
        (good(), "ci:ada".into()),
        (good().without_header("typ").without("nbf").without("iat").without("jti"), "ci:ada".into()),
        // Who issued it.
        (good().without("iss"), malformed("it lacks the claim iss")),
        (good().claim("iss", json!([gate.idp.issuer()])), malformed("its claim iss is not a string")),
        (
            good().claim("iss", json!("https://idp.example")),
            "the token's issuer, https://idp.example, is not one that this gateway trusts".into(),
        ),
        (
            good().claim("iss", json!(format!("{}/", gate.idp.issuer()))),
            format!("the token's issuer, {}/, is not one that this gateway trusts", gate.idp.issuer()),
        ),
        // For whom.
        (good().without("aud"), malformed("it lacks the claim aud")),
        (good().claim("aud", json!("sts.example")), audience.into()),
        (good().claim("aud", json!(7)), malformed("its claim aud is neither a string nor a list of strings")),
        // Of whom.
        (good().without("sub"), malformed("it lacks the claim sub")),
        (good().claim("sub", json!(["ada"])), malformed("its claim sub is not a string")),
        (good().claim("sub", json!("")), malformed("its claim sub is empty or has control characters")),
        // For when.
        (good().without("exp"), malformed("it lacks the claim exp")),
        (good().claim("exp", json!(0)), "the token expired at 1970-01-01T00:00:00Z".into()),
        (good().claim("exp", json!("soon")), malformed("its claim exp is not a number of seconds")),
        (
            good().claim("nbf", json!(253_402_207_200_u64)),
            "the token is not valid before 9999-12-30T22:00:00Z".into(),
        ),
        (
            good().claim("iat", json!(253_402_207_200_u64)),
            "the token says that it was issued at 9999-12-30T22:00:00Z, which is in the future".into(),
        ),
        (
            good().claim("iat", json!(1000)).claim("exp", json!(now() + 60)),
            format!("the token lives for {}s, this gateway accepts at most 86400s", now() - 940),
        ),
        // What the configuration wants.
        (
            good().without("ref_protected"),
            "the token's claim ref_protected does not have a value that this gateway accepts".into(),
        ),
        (
            good().claim("groups", json!([1])),
            malformed("its claim groups is neither a string nor a list of strings"),
        ),
        // Its header.
        (
            good().header("crit", json!(["exp"])),
            malformed("it has critical extensions, and none is known here"),
        ),
        (
            good().header("typ", json!("logout+jwt")),
            malformed("its type is not JWT, so it is meant for something else"),
        ),
        (good().header("alg", json!("none")), "the token's algorithm, none, is not accepted".into()),
        (good().header("alg", json!("ES384")), "the token names a key that is not for its algorithm".into()),
        (good().header("alg", json!("RS256")), "the token names a key that is not for its algorithm".into()),
        (
            good().header("kid", json!("nobody's")),
            "the token names a key that its issuer does not publish".into(),
        ),
        (good().header("kid", json!(1)), malformed("the kid of its header is not a string")),
        // There is one key of each algorithm.
        (good().without_header("kid"), "ci:ada".into()),
    ];
    for (token, expected) in rows {
        assert_eq!(gate.answer(&token).await, expected, "{token:?}");
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let gate = Gate::new(|_| {});
    let signature = "the token's signature is not its issuer's";
    for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
        let token = gate.idp.token_with(alg, "ada");
        let forger = Arc::new(SigningKey::generate(alg, "forger").unwrap());
        // Another's key, in the name of the true one.
        assert_eq!(gate.answer(&token.clone().key(Arc::clone(&forger))).await, signature);
        // Another's key, that the token brings along.
        let brought =
            token.clone().header("jwk", forger.jwk()).header("x5c", json!(["AA=="])).key(forger.clone());
        assert_eq!(gate.answer(&brought).await, signature);
        let unknown = "the token names a key that its issuer does not publish";
        assert_eq!(gate.answer(&brought.header("kid", json!("forger"))).await, unknown);
        // No signature, and a symmetric one with what everybody knows.
        let unsigned = said(gate.verify_text(token.clone().unsigned()).await);
        assert_eq!(unsigned, "the token's algorithm, none, is not accepted");
        let confused = said(gate.verify_text(token.clone().hs256_with_public_key().unwrap()).await);
        assert_eq!(confused, "the token's algorithm, HS256, is not accepted");
        // Another's claims under a true signature.
        let signed = token.sign().unwrap();
        let (message, true_signature) = signed.rsplit_once('.').unwrap();
        let (header, _) = message.split_once('.').unwrap();
        let other = gate.idp.token_with(alg, "root").sign().unwrap();
        let claims = other.split('.').nth(1).unwrap();
        let spliced = said(gate.verify_text(format!("{header}.{claims}.{true_signature}")).await);
        assert_eq!(spliced, signature);
        assert_eq!(said(gate.verify_text(format!("{message}.")).await), signature);
    }
}

#[tokio::test]
async fn places_for_keys_in_a_token_are_never_looked_at() {
    let (gate, evil) = (Gate::new(|_| {}), Idp::start().unwrap());
    let evil_key = evil.key(Alg::Es256);
    let token = gate.idp.token("ada").key(evil_key);
    for name in ["jku", "x5u"] {
        let token = token.clone().header(name, json!(format!("{}/keys", evil.issuer())));
        assert_eq!(gate.answer(&token).await, "the token's signature is not its issuer's");
    }
    assert_eq!(evil.fetches().keys, 0);
}

#[tokio::test]
async fn issuers_do_not_vouch_for_one_another() {
    let (a, b) = (Idp::start().unwrap(), Idp::start().unwrap());
    let (mut of_a, mut of_b) = (config(&a), config(&b));
    (of_a.name, of_b.name) = ("a".into(), "b".into());
    of_b.audiences = vec!["only-b".into()];
    let authenticator = Authenticator::new(vec![of_a, of_b]).unwrap();
    let gate = Gate { idp: a, authenticator };
    let in_the_name_of_b = gate.idp.token("ada").claim("iss", json!(b.issuer()));
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "a:ada");
    assert_eq!(gate.answer(&b.token("ada").claim("aud", json!("only-b"))).await, "b:ada");
    assert_eq!(
        gate.answer(&b.token("ada")).await,
        "the token is for the audience lockgate, this gateway wants only-b"
    );
    assert_eq!(
        gate.answer(&in_the_name_of_b.claim("aud", json!("only-b"))).await,
        "the token's signature is not its issuer's"
    );
}

#[tokio::test]
async fn algorithms_that_are_not_configured_are_refused() {
    let gate = Gate::new(|config| config.algorithms = vec![Algorithm::Rs256]);
    assert_eq!(gate.answer(&gate.idp.token_with(Alg::Rs256, "ada")).await, "ci:ada");
    let unknown = "the token names a key that its issuer does not publish";
    assert_eq!(gate.answer(&gate.idp.token_with(Alg::Es256, "ada")).await, unknown);
}

#[tokio::test]
async fn nonsense_is_answered() {
    let gate = Gate::new(|_| {});
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let header = part(r#"{"alg":"ES256"}"#);
    let bomb = format!("{{\"a\":{}", "[".repeat(10_000));
    let rows = [
        (String::new(), "it does not have three parts"),
        ("ghp_0123456789".into(), "it does not have three parts"),
        ("a.b.c.d.e".into(), "it does not have three parts"),
        ("!.!.!".into(), "its signature is not base64url"),
        (format!("{header}.{}.AA", part("[]")), "its payload: not a JSON object"),
        (
            format!("{header}.{}.AA", part(&bomb)),
            "its payload: recursion limit exceeded at line 1 column 132",
        ),
    ];
    for (token, problem) in rows {
        let answer = said(gate.verify_text(token).await);
        assert_eq!(answer, format!("the token is malformed: {problem}"));
    }
    let large = gate.idp.token("ada").claim("x", json!("x".repeat(20_000)));
    assert!(matches!(gate.verify(&large).await, Err(AuthnError::TooLarge)));
    // Nobody was asked for a key by any of these.
    assert_eq!(gate.idp.fetches().discovery, 0);
}

#[tokio::test]
async fn a_verified_token_is_known_again() {
    let gate = Gate::new(|_| {});
    let token = gate.idp.token("ada");
    let (first, second) = (gate.verify(&token).await.unwrap(), gate.verify(&token).await.unwrap());
    // Signed anew, an ECDSA token is another one.
    assert!(!Arc::ptr_eq(&first.principal, &second.principal));
    let text = token.sign().unwrap();
    let first = gate.verify_text(text.clone()).await.unwrap();
    let second = gate.verify_text(text.clone()).await.unwrap();
    assert!(Arc::ptr_eq(&first.principal, &second.principal));
    assert_eq!(first.session, second.session);
    // One more byte, and it is not.
    assert!(gate.verify_text(format!("{text}A")).await.is_err());
}

#[tokio::test]
async fn a_token_within_the_leeway_is_accepted_and_not_remembered() {
    let gate = Gate::new(|_| {});
    let token = gate.idp.token_with(Alg::EdDsa, "ada").expires_in(-5);
    let (first, second) = (gate.verify(&token).await.unwrap(), gate.verify(&token).await.unwrap());
    assert!(!Arc::ptr_eq(&first.principal, &second.principal));
}

#[tokio::test]
async fn a_token_for_a_single_use_passes_once() {
    let gate = Gate::new(|config| config.single_use = true);
    let token = gate.idp.token("ada");
    assert_eq!(gate.answer(&token).await, "ci:ada");
    // However it is signed.
    for _ in 0..2 {
        assert!(matches!(gate.verify(&token).await, Err(AuthnError::Replayed)));
    }
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
    // A token that is refused for something else is not used up.
    let text = gate.idp.token("eve").claim("jti", json!("one"));
    assert!(gate.verify(&text.clone().claim("aud", json!("other"))).await.is_err());
    assert_eq!(gate.answer(&text).await, "ci:eve");
    assert!(gate.verify(&gate.idp.token("ada").without("jti")).await.is_err());
}

#[tokio::test]
async fn one_of_many_at_once_gets_a_token_for_a_single_use() {
    let gate = Gate::new(|config| config.single_use = true);
    let text = gate.idp.token("ada").sign().unwrap();
    let many = futures::future::join_all((0..20).map(|_| gate.verify_text(text.clone()))).await;
    assert_eq!(many.iter().filter(|answer| answer.is_ok()).count(), 1);
}

#[tokio::test]
async fn every_proxy_computes_the_same_session() {
    let idp = Idp::start().unwrap();
    let run = |attempt: &str| -> Token {
        idp.token("repo:o/r").claim("run_id", json!("99")).claim("run_attempt", json!(attempt))
    };
    let proxy = || Authenticator::new(vec![config(&idp)]).unwrap();
    let session = async |proxy: &Authenticator, token: Token| {
        let token = lockgate_core::secret::Secret::new(token.sign().unwrap());
        proxy.verify(&token).await.unwrap().session
    };
    let first = session(&proxy(), run("1")).await;
    assert_eq!(first, session(&proxy(), run("1")).await);
    assert_ne!(first, session(&proxy(), run("2")).await);
}

#[tokio::test]
async fn configured_session_claims_must_be_there() {
    let gate = Gate::new(|config| config.session = SessionFrom::Claims(vec!["build".into()]));
    assert_eq!(gate.answer(&gate.idp.token("ada").claim("build", json!(7))).await, "ci:ada");
    let missing = "the token's claim build does not have a value that this gateway accepts";
    assert_eq!(gate.answer(&gate.idp.token("ada").claim("build", Value::Null)).await, missing);
}
