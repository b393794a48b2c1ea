//! What a request costs to authenticate: with a token that is new, and with one that was verified before.

#![expect(clippy::unwrap_used, reason = "a benchmark panics")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lockgate_core::{
    authn::{Authenticator, IssuerConfig, KeySource},
    secret::Secret,
};
use lockgate_testkit::{Alg, Idp};
use serde_json::json;

fn authn(criterion: &mut Criterion) {
    let idp = Idp::start().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let authenticator = || {
        let mut config = IssuerConfig::new("ci", idp.issuer(), ["lockgate"]);
        config.keys = KeySource::Fixed(idp.key_set().to_string().into_bytes());
        Authenticator::new(vec![config]).unwrap()
    };
    for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
        // As many claims as a CI's token has.
        let token = (0..20).fold(idp.token_with(alg, "repo:o/r:ref:refs/heads/main"), |token, n| {
            token.claim(&format!("claim_{n}"), json!("a value of some length"))
        });
        let token = Secret::new(token.sign().unwrap());
        let verify = |authenticator: &Authenticator| {
            runtime.block_on(authenticator.verify(black_box(&token))).unwrap()
        };
        criterion.bench_function(&format!("new/{}", alg.name()), |bencher| {
            bencher.iter_batched_ref(authenticator, |fresh| verify(fresh), BatchSize::SmallInput);
        });
        let warm = authenticator();
        criterion.bench_function(&format!("known/{}", alg.name()), |bencher| bencher.iter(|| verify(&warm)));
    }
}

criterion_group!(benches, authn);
criterion_main!(benches);
