//! How keys come from an issuer that is well, changes its keys, is down, or lies.

use std::{sync::Arc, time::Duration};

use lockgate_core::{
    authn::{Authenticator, AuthnError, IssuerConfig, KeySource},
    refusal::{Refusal, RefusalKind},
    secret::Secret,
};
use lockgate_testkit::{Alg, Ca, Idp, Mood, RealIdp, wait};
use serde_json::json;

use crate::{Gate, config, eager};

const UNKNOWN: &str = "the token names a key that its issuer does not publish";
const DOWN: &str = "the token can't be verified now: the keys of its issuer, ci, are not available";

fn unwell() -> Vec<Mood> {
    vec![
        Mood::Failing,
        Mood::Cutting,
        Mood::Nonsense,
        Mood::Endless,
        Mood::Redirecting("https://elsewhere.example/keys".into()),
    ]
}

#[tokio::test]
async fn many_callers_cost_one_fetch() {
    let gate = Gate::new(|_| {});
    let tokens: Vec<_> = (0..30).map(|n| gate.idp.token(&n.to_string())).collect();
    for answer in futures::future::join_all(tokens.iter().map(|token| gate.verify(token))).await {
        answer.unwrap();
    }
    let fetches = gate.idp.fetches();
    assert_eq!((fetches.discovery, fetches.keys), (1, 1));
}

#[tokio::test]
async fn warming_up_saves_the_first_caller_the_fetch() {
    let gate = Gate::new(|_| {});
    gate.authenticator.warm().await;
    assert_eq!(gate.idp.fetches().keys, 1);
    gate.idp.set_mood(Mood::Failing);
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
    assert_eq!(gate.idp.fetches().keys, 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let gate = Gate::new(|config| config.retry = Duration::ZERO);
    let old = gate.idp.token("ada");
    let old_text = old.sign().unwrap();
    gate.verify_text(old_text.clone()).await.unwrap();
    gate.idp.rotate().unwrap();
    // Nobody knows yet.
    gate.verify_text(old_text.clone()).await.unwrap();
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
    assert_eq!(gate.idp.fetches().keys, 2);
    // What the old key signed counts no more, whether it was verified before or not.
    assert_eq!(gate.answer(&old).await, UNKNOWN);
    assert_eq!(crate::said(gate.verify_text(old_text).await), UNKNOWN);
}

#[tokio::test]
async fn a_key_that_stays_keeps_what_it_signed() {
    let gate = Gate::new(|config| config.retry = Duration::ZERO);
    let text = gate.idp.token("ada").sign().unwrap();
    let before = gate.verify_text(text.clone()).await.unwrap();
    let stranger = gate.idp.token("ada").header("kid", json!("unknown"));
    assert_eq!(gate.answer(&stranger).await, UNKNOWN);
    assert_eq!(gate.idp.fetches().keys, 2);
    let after = gate.verify_text(text).await.unwrap();
    assert!(Arc::ptr_eq(&before.principal, &after.principal));
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_a_flood() {
    let gate = Gate::new(|_| {});
    for n in 0..50 {
        let token = gate.idp.token("eve").header("kid", json!(n.to_string()));
        assert_eq!(gate.answer(&token).await, UNKNOWN);
    }
    assert_eq!(gate.idp.fetches().keys, 1);
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
}

#[tokio::test]
async fn expired_tokens_ask_for_no_keys() {
    let gate = Gate::new(eager);
    let token = gate.idp.token("ada").expires_in(-60).header("kid", json!("long gone"));
    assert!(matches!(gate.verify(&token).await, Err(AuthnError::Expired(_))));
    assert_eq!(gate.idp.fetches().discovery, 0);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_the_callers_fault() {
    let gate = Gate::new(eager);
    for mood in unwell() {
        gate.idp.set_mood(mood.clone());
        let error = gate.verify(&gate.idp.token("ada")).await.unwrap_err();
        assert_eq!(error.to_string(), DOWN, "{mood:?}");
        let refusal = Refusal::from(error);
        assert_eq!(refusal.kind, RefusalKind::IssuerUnavailable);
        assert!(!refusal.reason.contains("127.0.0.1"), "{refusal}");
    }
    gate.idp.set_mood(Mood::Well);
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
}

#[tokio::test]
async fn the_log_says_what_is_wrong_with_an_issuer() {
    let gate = Gate::new(eager);
    let url = format!("{}/.well-known/openid-configuration", gate.idp.issuer());
    let rows = [
        (Mood::Failing, format!("{url} answered 503 Service Unavailable")),
        (Mood::Redirecting("http://127.0.0.1:1/".into()), format!("{url} answered 302 Found")),
        (Mood::Endless, format!("{url} is larger than 1048576 bytes")),
        (
            Mood::Nonsense,
            "the discovery document is not valid JSON: expected value at line 1 column 1".into(),
        ),
    ];
    for (mood, expected) in rows {
        gate.idp.set_mood(mood);
        let refusal = Refusal::from(gate.verify(&gate.idp.token("ada")).await.unwrap_err());
        assert_eq!(refusal.detail, Some(format!("{DOWN}: {expected}")));
    }
}

/// Time stands still but for timers, so that the deadline comes at once.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_never_answers_is_down() {
    let gate = Gate::new(eager);
    gate.idp.set_mood(Mood::Silent);
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, DOWN);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_asked_by_every_caller() {
    let gate = Gate::new(|_| {});
    gate.idp.set_mood(Mood::Failing);
    for _ in 0..20 {
        assert_eq!(gate.answer(&gate.idp.token("ada")).await, DOWN);
    }
    assert_eq!(gate.idp.fetches().discovery, 1);
}

#[tokio::test]
async fn keys_serve_while_their_issuer_is_down() {
    for mood in unwell() {
        let gate = Gate::new(eager);
        assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
        gate.idp.set_mood(mood);
        for _ in 0..3 {
            assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
        }
        let asked = || (gate.idp.fetches().discovery > 1).then_some(());
        wait::until("another fetch", asked).unwrap();
        // A key that we never saw is another matter.
        let token = gate.idp.token("ada").header("kid", json!("new"));
        assert_eq!(gate.answer(&token).await, DOWN);
    }
}

#[tokio::test]
async fn keys_serve_for_a_bounded_time_only() {
    let gate = Gate::new(|config| {
        eager(config);
        config.max_stale = Duration::ZERO;
    });
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
    gate.idp.set_mood(Mood::Failing);
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, DOWN);
    gate.idp.set_mood(Mood::Well);
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
}

/// Lets time pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_a_little_old_serve_while_new_ones_are_fetched() {
    let gate = Gate::new(|_| {});
    let (old, other) = (gate.idp.token("ada"), gate.idp.token("eve"));
    assert_eq!(gate.answer(&old).await, "ci:ada");
    gate.idp.rotate().unwrap();
    pass(Duration::from_mins(9)).await;
    assert_eq!(gate.answer(&old).await, "ci:ada");
    assert_eq!(gate.idp.fetches().keys, 1);
    pass(Duration::from_mins(2)).await;
    assert_eq!(gate.answer(&other).await, "ci:eve");
    let forgotten = async || (gate.answer(&other).await == UNKNOWN).then_some(());
    wait::until_async("the new keys", forgotten).await.unwrap();
    assert_eq!(gate.idp.fetches().keys, 2);
}

#[tokio::test]
async fn nobody_waits_for_an_issuer_that_is_known_to_be_down() {
    let gate = Gate::new(|config| (config.refresh, config.retry) = (Duration::from_mins(10), Duration::ZERO));
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
    gate.idp.set_mood(Mood::Failing);
    pass(Duration::from_hours(1)).await;
    // The first finds out, the others go on while it is asked without an end.
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
    gate.idp.set_mood(Mood::Silent);
    for _ in 0..3 {
        assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
    }
    pass(Duration::from_hours(24)).await;
    gate.idp.set_mood(Mood::Failing);
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, DOWN);
}

#[tokio::test]
async fn a_revoked_key_is_noticed_by_the_first_caller_after_a_long_pause() {
    let gate = Gate::new(eager);
    let token = gate.idp.token("ada");
    assert_eq!(gate.answer(&token).await, "ci:ada");
    gate.idp.rotate().unwrap();
    assert_eq!(gate.answer(&token).await, UNKNOWN);
}

#[tokio::test]
async fn no_keys_at_all_is_what_an_issuer_may_say() {
    let gate = Gate::new(eager);
    let token = gate.idp.token("ada");
    assert_eq!(gate.answer(&token).await, "ci:ada");
    gate.idp.set_key_set(Some(json!({ "keys": [] })));
    assert_eq!(gate.answer(&token).await, UNKNOWN);
}

#[tokio::test]
async fn a_fetch_goes_on_when_its_caller_leaves() {
    let gate = Gate::new(|_| {});
    let token = gate.idp.token("ada");
    {
        let mut leaving = std::pin::pin!(gate.verify(&token));
        assert!(futures::poll!(&mut leaving).is_pending());
    }
    let asked = || (gate.idp.fetches().keys == 1).then_some(());
    wait::until_async("the fetch", async || asked()).await.unwrap();
    assert_eq!(gate.answer(&token).await, "ci:ada");
    assert_eq!(gate.idp.fetches().keys, 1);
}

#[tokio::test]
async fn discovery_must_be_of_the_issuer_and_lead_to_a_safe_place() {
    let gate = Gate::new(eager);
    let issuer = gate.idp.issuer();
    let uri = "the discovery document's jwks_uri";
    let other = "the discovery document is not of this issuer";
    let rows = [
        (json!({ "issuer": format!("{issuer}/"), "jwks_uri": format!("{issuer}/keys") }), other.to_owned()),
        (json!({ "jwks_uri": format!("{issuer}/keys") }), other.to_owned()),
        (json!({ "issuer": [issuer], "jwks_uri": format!("{issuer}/keys") }), other.to_owned()),
        (json!({ "issuer": issuer }), format!("{uri} is missing")),
        (json!({ "issuer": issuer, "jwks_uri": "/keys" }), format!("{uri} is not a URL")),
        (json!({ "issuer": issuer, "jwks_uri": "file:///keys" }), format!("{uri} is not https")),
        (
            json!({ "issuer": issuer, "jwks_uri": "http://keys.example/" }),
            format!("{uri} is not https, without which anyone on the way can make tokens"),
        ),
        (
            json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/nowhere") }),
            format!("{issuer}/nowhere answered 404 Not Found"),
        ),
        (json!([]), "the discovery document is not valid JSON: not a JSON object".to_owned()),
    ];
    for (document, expected) in rows {
        gate.idp.set_discovery(Some(document));
        let refusal = Refusal::from(gate.verify(&gate.idp.token("ada")).await.unwrap_err());
        assert_eq!(refusal.detail, Some(format!("{DOWN}: {expected}")));
    }
}

#[tokio::test]
async fn key_sets_must_make_sense() {
    let gate = Gate::new(eager);
    for document in [json!([]), json!({}), json!({ "keys": 1 }), json!({ "keys": ["k"] })] {
        gate.idp.set_key_set(Some(document.clone()));
        assert_eq!(gate.answer(&gate.idp.token("ada")).await, DOWN, "{document}");
    }
    // Keys that are of no use to us are left out, and the others serve.
    let mut document = {
        gate.idp.set_key_set(None);
        gate.idp.key_set()
    };
    let keys = document["keys"].as_array_mut().unwrap();
    keys.insert(0, json!({ "kty": "oct", "kid": keys[0]["kid"], "k": "c2VjcmV0", "alg": "HS256" }));
    keys.push(json!({ "kty": "quantum" }));
    keys.push(json!({}));
    gate.idp.set_key_set(Some(document));
    assert_eq!(gate.answer(&gate.idp.token("ada")).await, "ci:ada");
}

#[tokio::test]
async fn keys_are_where_the_configuration_says() {
    let idp = Idp::start().unwrap();
    let key_set = idp.key_set().to_string().into_bytes();
    let sources = [
        (KeySource::JwksAt(format!("{}/keys", idp.issuer())), 0, 1),
        (KeySource::DiscoverAt(format!("{}/.well-known/openid-configuration?x", idp.issuer())), 1, 2),
        (KeySource::Fixed(key_set), 1, 2),
    ];
    for (source, discovery, keys) in sources {
        let mut config = config(&idp);
        config.keys = source;
        let authenticator = Authenticator::new(vec![config]).unwrap();
        authenticator.warm().await;
        authenticator.verify(&Secret::new(idp.token("ada").sign().unwrap())).await.unwrap();
        let stranger = idp.token("eve").header("kid", json!("unknown")).sign().unwrap();
        assert!(matches!(authenticator.verify(&Secret::new(stranger)).await, Err(AuthnError::Key(_))));
        assert_eq!((idp.fetches().discovery, idp.fetches().keys), (discovery, keys));
    }
}

#[tokio::test]
async fn a_certified_provider_is_understood() {
    let idp = RealIdp::start().unwrap();
    let config = IssuerConfig::new("real", idp.issuer(), ["lockgate"]);
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let verify =
        async |audience| crate::said(authenticator.verify(&Secret::new(idp.token(audience).unwrap())).await);
    assert_eq!(verify("lockgate").await, format!("real:{}", idp.subject()));
    let other = "the token is for the audience other, this gateway wants lockgate";
    assert_eq!(verify("other").await, other);
}

#[tokio::test]
async fn tls_must_be_of_someone_we_trust() {
    let ca = Ca::new().unwrap();
    let idp = Idp::start_with(Some(&ca.server().unwrap())).unwrap();
    let verify = async |configure: &dyn Fn(&mut IssuerConfig)| {
        let mut config = config(&idp);
        configure(&mut config);
        let authenticator = Authenticator::new(vec![config]).unwrap();
        let token = Secret::new(idp.token_with(Alg::Rs256, "ada").sign().unwrap());
        crate::said(authenticator.verify(&token).await)
    };
    let trusting = |config: &mut IssuerConfig| config.ca = Some(ca.pem().into_bytes());
    assert_eq!(verify(&trusting).await, "ci:ada");
    assert_eq!(verify(&|_| {}).await, DOWN);
    let stranger = Ca::new().unwrap().pem().into_bytes();
    assert_eq!(verify(&|config| config.ca = Some(stranger.clone())).await, DOWN);
    // What came over TLS does not lead to what is not protected by it, not even on this host.
    let plain = Idp::start().unwrap();
    let keys = format!("{}/keys", plain.issuer());
    idp.set_discovery(Some(json!({ "issuer": idp.issuer(), "jwks_uri": keys })));
    assert_eq!(verify(&trusting).await, DOWN);
    assert_eq!(plain.fetches().keys, 0);
}
