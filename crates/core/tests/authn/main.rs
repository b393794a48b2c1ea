//! Authentication against a provider that is real to the authenticator: its documents come over HTTP, and it
//! misbehaves on demand.

#![expect(clippy::unwrap_used, reason = "a test panics")]

mod issuers;
mod tokens;

use std::time::Duration;

use lockgate_core::{
    authn::{Authenticator, AuthnError, IssuerConfig},
    principal::Caller,
    secret::Secret,
};
use lockgate_testkit::{Idp, Token};

/// An issuer named `ci` and an authenticator that trusts it.
struct Gate {
    idp: Idp,
    authenticator: Authenticator,
}

impl Gate {
    fn new(configure: impl FnOnce(&mut IssuerConfig)) -> Self {
        let idp = Idp::start().unwrap();
        let mut config = config(&idp);
        configure(&mut config);
        Self { idp, authenticator: Authenticator::new(vec![config]).unwrap() }
    }

    async fn verify(&self, token: &Token) -> Result<Caller, AuthnError> {
        self.verify_text(token.sign().unwrap()).await
    }

    async fn verify_text(&self, token: String) -> Result<Caller, AuthnError> {
        self.authenticator.verify(&Secret::new(token)).await
    }

    /// Who a token says that it is of, or what its bearer is told.
    async fn answer(&self, token: &Token) -> String {
        said(self.verify(token).await)
    }
}

fn config(idp: &Idp) -> IssuerConfig {
    IssuerConfig::new("ci", idp.issuer(), ["lockgate"])
}

/// Without patience: keys are always old, and asked for as often as anyone wants.
fn eager(config: &mut IssuerConfig) {
    (config.refresh, config.retry) = (Duration::ZERO, Duration::ZERO);
}

fn said(answer: Result<Caller, AuthnError>) -> String {
    answer.map_or_else(|error| error.to_string(), |caller| caller.principal.to_string())
}
