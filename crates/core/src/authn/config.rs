//! What is configured of an issuer, and what can't be used of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Algorithm, JwksError, SessionFrom};
use crate::{client::TlsError, principal::Principal};

/// An issuer whose tokens are accepted. [`IssuerConfig::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// Its name here: in principals, policies and logs. Unique.
    pub name: String,
    /// The exact `iss` of its tokens. Unique.
    pub issuer: String,
    /// The audiences that we are: a token must be for one of them.
    pub audiences: Vec<String>,
    /// Where its keys are. Default: [`KeySource::Discover`].
    pub keys: KeySource,
    /// The algorithms that are accepted. Default: all of [`Algorithm::ALL`].
    pub algorithms: Vec<Algorithm>,
    /// The claim whose strings become the principal's groups: a name, or a JSON pointer (RFC 6901) such as
    /// `/realm_access/roles`. Default: none.
    pub groups_claim: Option<String>,
    /// Claims that a token must have, by name or JSON pointer, with the values that are accepted. Only
    /// strings, numbers and booleans are compared, by their text. Default: none.
    pub required: BTreeMap<String, BTreeSet<String>>,
    /// Whether its documents may be read over plain HTTP from another host than this one, so that anyone
    /// on the way can make tokens. Default: no.
    pub allow_http: bool,
    /// PEM certificates that vouch for it besides the system's.
    pub ca: Option<Vec<u8>>,
    /// Tokens that live longer, from `iat` to `exp`, are refused. Default: 24 hours.
    pub max_lifetime: Duration,
    /// Whether a token, known by its `jti`, is accepted once only by this process. Of no use with clients
    /// that send the same token twice, as git does for every push. Default: no.
    pub single_use: bool,
    /// What tells one run of a principal from another. Default: [`SessionFrom::Auto`].
    pub session: SessionFrom,
    /// The age at which keys are fetched again. Default: 10 minutes.
    pub refresh: Duration,
    /// The age until which keys serve while the issuer is down. Default: 24 hours.
    pub max_stale: Duration,
    /// The least time between two fetches, whatever tokens ask for. Default: 10 seconds.
    pub retry: Duration,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Named by the discovery document below the issuer's URL (OpenID Connect Discovery 1.0, section 4).
    Discover,
    /// Named by the discovery document at this URL.
    DiscoverAt(String),
    /// In the key set (RFC 7517) at this URL; there is no discovery.
    JwksAt(String),
    /// In this key set; nothing is fetched, and nothing expires.
    Fixed(Vec<u8>),
}

impl IssuerConfig {
    /// An issuer with the defaults.
    pub fn new(
        name: impl Into<String>,
        issuer: impl Into<String>,
        audiences: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            issuer: issuer.into(),
            audiences: audiences.into_iter().map(Into::into).collect(),
            keys: KeySource::Discover,
            algorithms: Algorithm::ALL.to_vec(),
            groups_claim: None,
            required: BTreeMap::new(),
            allow_http: false,
            ca: None,
            max_lifetime: Duration::from_hours(24),
            single_use: false,
            session: SessionFrom::Auto,
            refresh: Duration::from_mins(10),
            max_stale: Duration::from_hours(24),
            retry: Duration::from_secs(10),
        }
    }
}

/// Why the configured issuers can't be used. The operator is at fault, except for [`Self::Http`].
#[derive(Debug, thiserror::Error)]
pub enum AuthnConfigError {
    /// A field of an issuer makes no sense.
    #[error("issuer {issuer}: {problem}")]
    Issuer {
        /// The issuer's name.
        issuer: String,
        /// What and why.
        problem: &'static str,
    },
    /// A URL can't be used.
    #[error("issuer {issuer}: the URL {url} {problem}")]
    Url {
        /// The issuer's name.
        issuer: String,
        /// The URL.
        url: String,
        /// Why not.
        problem: &'static str,
    },
    /// A key set given in the configuration can't be used.
    #[error("issuer {issuer}: the key set can't be used")]
    Keys {
        /// The issuer's name.
        issuer: String,
        /// Why not.
        #[source]
        source: JwksError,
    },
    /// Its certificates can't be used.
    #[error("issuer {issuer}: TLS can't be set up")]
    Tls {
        /// The issuer's name.
        issuer: String,
        /// Why not.
        #[source]
        source: TlsError,
    },
    /// The HTTP client can't be built.
    #[error("the HTTP client can't be set up")]
    Http(#[source] reqwest::Error),
}

/// Refuses what would accept nothing, or more than was meant.
pub(super) fn check(issuers: &[IssuerConfig]) -> Result<(), AuthnConfigError> {
    let (mut names, mut urls) = (BTreeSet::new(), BTreeSet::new());
    for config in issuers {
        let problem = problem(config)
            .or((!names.insert(&config.name)).then_some("there is another issuer of this name"))
            .or((!urls.insert(&config.issuer)).then_some("there is another issuer with this `iss`"));
        if let Some(problem) = problem {
            return Err(AuthnConfigError::Issuer { issuer: config.name.clone(), problem });
        }
    }
    Ok(())
}

fn problem(config: &IssuerConfig) -> Option<&'static str> {
    let no_claims = |claims: &[String]| claims.is_empty() || claims.iter().any(String::is_empty);
    let session = match &config.session {
        SessionFrom::Auto => false,
        SessionFrom::Claims(claims) => no_claims(claims),
    };
    let problems = [
        (config.name.is_empty(), "it needs a name"),
        (config.name == Principal::PASSTHROUGH, "the name is taken by upstreams with `auth: passthrough`"),
        (config.issuer.is_empty(), "it needs the `iss` of its tokens"),
        (no_claims(&config.audiences), "it needs an audience, which is never empty"),
        (config.algorithms.is_empty(), "it needs an algorithm"),
        (config.groups_claim.as_deref() == Some(""), "the groups' claim is empty"),
        (config.required.values().any(BTreeSet::is_empty), "a required claim accepts no value at all"),
        (session, "the session's claims are empty"),
        (config.max_lifetime.is_zero(), "the longest lifetime is zero"),
        (config.max_stale < config.refresh, "keys would be too old before they are fetched again"),
    ];
    problems.into_iter().find_map(|(wrong, problem)| wrong.then_some(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::Authenticator;

    fn good() -> IssuerConfig {
        IssuerConfig::new("github", "https://token.example", ["lockgate"])
    }

    fn check(change: impl FnOnce(&mut IssuerConfig)) -> String {
        let mut config = good();
        change(&mut config);
        Authenticator::new(vec![config]).err().map_or_else(|| "fine".into(), |error| error.to_string())
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_start() {
        assert_eq!(check(|_| {}), "fine");
        type Change = fn(&mut IssuerConfig);
        let rows: [(&str, Change); 12] = [
            (": it needs a name", |c| c.name.clear()),
            ("passthrough: the name is taken by upstreams with `auth: passthrough`", |c| {
                c.name = "passthrough".into();
            }),
            ("github: it needs the `iss` of its tokens", |c| c.issuer.clear()),
            ("github: it needs an audience, which is never empty", |c| c.audiences.clear()),
            ("github: it needs an audience, which is never empty", |c| c.audiences.push(String::new())),
            ("github: it needs an algorithm", |c| c.algorithms.clear()),
            ("github: the groups' claim is empty", |c| c.groups_claim = Some(String::new())),
            ("github: a required claim accepts no value at all", |c| {
                c.required.insert("ref".into(), BTreeSet::new());
            }),
            ("github: the session's claims are empty", |c| c.session = SessionFrom::Claims(Vec::new())),
            ("github: the longest lifetime is zero", |c| c.max_lifetime = Duration::ZERO),
            ("github: keys would be too old before they are fetched again", |c| c.max_stale = Duration::ZERO),
            ("github: TLS can't be set up", |c| c.ca = Some(b"no PEM".to_vec())),
        ];
        for (expected, change) in rows {
            assert_eq!(check(change), format!("issuer {expected}"));
        }
        let twice = Authenticator::new(vec![good(), good()]).err().unwrap();
        assert_eq!(twice.to_string(), "issuer github: there is another issuer of this name");
        let mut other = good();
        other.name = "other".into();
        let twice = Authenticator::new(vec![good(), other]).err().unwrap();
        assert_eq!(twice.to_string(), "issuer other: there is another issuer with this `iss`");
        assert!(Authenticator::new(Vec::new()).is_ok());
    }

    #[test]
    fn urls_are_safe_or_refused() {
        let url = |url: &str| check(|config| config.keys = KeySource::JwksAt(url.to_owned()));
        for fine in
            ["https://a.example/k?x=1", "http://127.0.0.1:8080/k", "http://[::1]/k", "http://localhost/k"]
        {
            assert_eq!(url(fine), "fine", "{fine}");
        }
        let plain = "is not https, without which anyone on the way can make tokens";
        let rows = [
            ("http://a.example/k", plain),
            ("http://127.0.0.1.nip.example/k", plain),
            ("http://localhost.example/k", plain),
            ("ftp://a.example/k", "is not https"),
            ("file:///etc/passwd", "is not https"),
            ("keys.json", "is not a URL"),
            ("https://user@a.example/k", "has a user or a password in it"),
            ("https://:pass@a.example/k", "has a user or a password in it"),
            ("https://a.example/k#x", "has a fragment"),
        ];
        for (wrong, problem) in rows {
            assert_eq!(url(wrong), format!("issuer github: the URL {wrong} {problem}"));
        }
        let allowed = check(|config| {
            config.issuer = "http://a.example".into();
            config.allow_http = true;
        });
        assert_eq!(allowed, "fine");
        // The issuer itself is a URL only where keys are discovered by it.
        assert!(check(|config| config.issuer = "kubernetes/serviceaccount".into()).contains("is not a URL"));
    }

    #[test]
    fn fixed_keys_are_read_at_start() {
        let fixed = |keys: &str| check(|config| config.keys = KeySource::Fixed(keys.as_bytes().to_vec()));
        assert_eq!(fixed(r#"{"keys":[]}"#), "fine");
        assert_eq!(fixed("{"), "issuer github: the key set can't be used");
    }
}
