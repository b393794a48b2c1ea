//! The targets that clients reach through the gateway.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use lockgate_core::client::Client;
use lockgate_core::credential::Source;
use lockgate_core::secret::Secret;
use lockgate_core::upstream::{
    Auth as CoreAuth, ClientCertificate as CoreClientCertificate, Credentials, Forwarding, Identity,
    Reads as CoreReads, Redirects as CoreRedirects, Upstream as CoreUpstream,
};
use lockgate_oci::RegistryTokens;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    Config, ConfigError,
    credential::{self, Choice, Credential, For},
    registry::{NamedBase, Signatures},
    scalar::{Host, HttpUrl, Name},
};

/// Certificates of authorities are smaller than this.
const CA_MAX: u64 = 1 << 20;

/// An entry of `upstreams:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// Its name, in URLs (`/git/<name>/...`, of registries `/v2/<name>/...`), policies and recordings.
    pub(crate) name: Spanned<Name>,
    /// The protocol that it speaks: `git`, `k8s` or `oci`.
    pub(crate) kind: Spanned<String>,
    /// Its base URL; the path of a request is appended. Of a registry, what follows `/v2` begins the names of its
    /// repositories.
    pub(crate) url: HttpUrl,
    /// What lockgate presents to it; nothing.
    pub(crate) credential: Option<Spanned<Credential>>,
    /// What it presents by repository: the first entry that fits.
    pub(crate) credentials: Option<Spanned<Vec<Choice>>>,
    /// How its callers are known: `oidc` (the default) or `passthrough`.
    #[serde(default)]
    pub(crate) auth: Auth,
    /// A hostname by which clients reach it, besides the path.
    pub(crate) host: Option<Spanned<Host>>,
    /// PEM certificates that vouch for it, besides the system's.
    pub(crate) ca: Option<Spanned<PathBuf>>,
    /// By what lockgate shows itself to it in TLS, besides its credential; nothing.
    pub(crate) client_certificate: Option<Spanned<ClientCertificate>>,
    /// As whom callers are known to it, where lockgate may speak for others there (`k8s`); as lockgate itself.
    pub(crate) impersonate: Option<Spanned<Impersonate>>,
    /// The repositories that there are for clients, as globs; all.
    pub(crate) repositories: Option<Spanned<Vec<Spanned<String>>>>,
    /// Whether it takes names for the same that differ in case alone, as GitHub and GitLab do; `false`.
    #[serde(default)]
    pub(crate) ignore_case: bool,
    /// What becomes of its redirects, as of renamed repositories: `follow` (the default) or `refuse`.
    #[serde(default)]
    pub(crate) redirects: Redirects,
    /// When pushes go to it whose content must be seen: `after_verdict` (the default) or `early`.
    #[serde(default)]
    pub(crate) forward: Forward,
    /// When requests go to it that only read: `when_durable` (the default) or `overlapped`.
    #[serde(default)]
    pub(crate) reads: Reads,
    /// URLs of other origins where it keeps content, such as the object storage of LFS; none.
    #[serde(default)]
    pub(crate) storage: Vec<HttpUrl>,
    /// URLs of other origins that a registry may send lockgate to for tokens, with its credential (`oci`); none.
    pub(crate) token_servers: Option<Spanned<Vec<HttpUrl>>>,
    /// By what signatures of its images are verified (`oci`); by nothing, so that none is.
    pub(crate) signatures: Option<Spanned<Signatures>>,
    /// Bases by whose layers its images are known (`oci`); none.
    pub(crate) bases: Option<Spanned<Vec<NamedBase>>>,
}

/// How the callers of an upstream are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    /// By a token of a configured issuer.
    #[default]
    Oidc,
    /// Not at all: the client's own credential goes on to the upstream.
    Passthrough,
}

/// `client_certificate:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificate {
    /// A file with the certificate, in PEM, and those between it and the authority.
    certificate: Spanned<PathBuf>,
    /// A file with the private key, in PEM.
    key: Spanned<PathBuf>,
}

/// `impersonate:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impersonate {
    /// What the names of callers and of their groups begin with there; `lockgate:`.
    #[serde(default = "lockgate")]
    prefix: String,
}

fn lockgate() -> String {
    "lockgate:".into()
}

/// What becomes of an upstream's redirects.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Redirects {
    /// The client is led on through the gateway, where the new name is judged.
    #[default]
    Follow,
    /// They are refused, with where they lead.
    Refuse,
}

/// When pushes go to an upstream.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Forward {
    /// After the verdict on them.
    #[default]
    AfterVerdict,
    /// While they are looked into, where nobody may have to approve them; their end after the verdict.
    Early,
}

/// When requests that only read go to an upstream.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reads {
    /// When they and the verdicts on them are durable.
    #[default]
    WhenDurable,
    /// While these are being made durable; their answers after that.
    Overlapped,
}

impl Upstream {
    /// What can be wrong within one entry. `kinds` are the protocols that there are.
    pub(crate) fn check(&self, path: &Path, kinds: &[&str]) -> Result<(), ConfigError> {
        if !kinds.contains(&self.kind.value.as_str()) {
            let message = format!("there is no protocol `{}`", self.kind.value);
            let known = format!("known: {}", kinds.join(", "));
            return Err(ConfigError::new(path, message).at(self.kind.referenced).hint(known));
        }
        if let Some(texts) = &self.repositories {
            drop(credential::globs(path, texts)?);
        }
        self.check_case(path)?;
        self.check_impersonation(path)?;
        self.check_registry(path)?;
        let place = match (&self.credential, &self.credentials) {
            (None, None) => return Ok(()),
            (Some(credential), None) => {
                credential::check(path, credential)?;
                credential.referenced
            }
            (None, Some(choices)) => {
                credential::check_choices(path, choices)?;
                choices.referenced
            }
            (Some(_), Some(choices)) => {
                let message = "`credential` and `credentials` exclude each other";
                return Err(ConfigError::new(path, message).at(choices.referenced));
            }
        };
        if self.auth == Auth::Passthrough {
            let message =
                "`auth: passthrough` sends the client's own credential: one of lockgate's is never used";
            return Err(ConfigError::new(path, message).at(place));
        }
        Ok(())
    }

    /// Names that would be another's.
    fn check_impersonation(&self, path: &Path) -> Result<(), ConfigError> {
        let Some(impersonate) = &self.impersonate else { return Ok(()) };
        let message = if self.kind.value != "k8s" {
            "only upstreams of the kind `k8s` can be told who calls"
        } else if self.auth == Auth::Passthrough {
            "with `auth: passthrough` the upstream knows callers by their own credentials"
        } else if impersonate.value.prefix.is_empty() || impersonate.value.prefix.starts_with("system:") {
            "`prefix` is what keeps callers from having the names of others: it is not empty, and not `system:`"
        } else {
            return Ok(());
        };
        Err(ConfigError::new(path, message).at(impersonate.referenced))
    }

    /// What only registries have, and what they can't have.
    fn check_registry(&self, path: &Path) -> Result<(), ConfigError> {
        let of_images = self.signatures.as_ref().map(|of| of.referenced);
        let of_images = of_images.or(self.bases.as_ref().map(|of| of.referenced));
        if let Some(place) = of_images.filter(|_| self.kind.value != "oci") {
            let message = "only upstreams of the kind `oci` have images";
            return Err(ConfigError::new(path, message).at(place));
        }
        match &self.token_servers {
            Some(servers) if self.kind.value != "oci" => {
                let message = "only upstreams of the kind `oci` send their clients to token servers";
                Err(ConfigError::new(path, message).at(servers.referenced))
            }
            Some(_) | None if self.kind.value == "oci" && self.auth == Auth::Passthrough => {
                let message =
                    "clients of a registry ask this gateway for tokens: it can't pass their own through";
                Err(ConfigError::new(path, message).at(self.kind.referenced))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Globs that could not match, for names are judged in small letters.
    fn check_case(&self, path: &Path) -> Result<(), ConfigError> {
        let choices = self.credentials.iter().flat_map(|choices| &choices.value);
        let lists = choices.filter_map(|choice| choice.repositories.as_ref()).chain(&self.repositories);
        let mut texts = lists.flat_map(|list| &list.value);
        match texts.find(|text| self.ignore_case && text.value.contains(|c: char| c.is_ascii_uppercase())) {
            Some(text) => {
                let message = "with `ignore_case` names are compared in small letters";
                Err(ConfigError::new(path, message).at(text.referenced))
            }
            None => Ok(()),
        }
    }

    /// Reads what it refers to.
    pub(crate) fn resolve(&self, config: &Config) -> Result<CoreUpstream, ConfigError> {
        let name = &self.name.value.0;
        let ca = self.ca.as_ref().map(|file| config.text(file, CA_MAX));
        let ca = ca.transpose()?.map(String::into_bytes);
        let client_certificate = self.client_certificate.as_ref().map(|files| {
            let chain = config.text(&files.value.certificate, CA_MAX)?.into_bytes();
            let key = Secret::new(config.text(&files.value.key, CA_MAX)?);
            Ok::<_, ConfigError>(CoreClientCertificate { chain, key })
        });
        let client_certificate = client_certificate.transpose()?;
        let credentials = self.credentials(&For { config, url: &self.url.0, ca: ca.as_deref() })?;
        let listed = self.repositories.as_ref();
        let listed = listed.map(|texts| config.at(texts.referenced, credential::compiled(texts)));
        let mut upstream = CoreUpstream {
            resources: listed.transpose()?.map(Arc::new),
            ignore_case: self.ignore_case,
            redirects: match self.redirects {
                Redirects::Refuse => CoreRedirects::Refuse,
                Redirects::Follow => CoreRedirects::Follow,
            },
            forward: match self.forward {
                Forward::AfterVerdict => Forwarding::AfterVerdict,
                Forward::Early => Forwarding::Early,
            },
            reads: match self.reads {
                Reads::WhenDurable => CoreReads::WhenDurable,
                Reads::Overlapped => CoreReads::Overlapped,
            },
            credentials,
            auth: match self.auth {
                Auth::Oidc => CoreAuth::Oidc,
                Auth::Passthrough => CoreAuth::Passthrough,
            },
            host: self.host.as_ref().map(|host| host.value.0.clone()),
            ca,
            client_certificate,
            identity: match &self.impersonate {
                Some(impersonate) => Identity::Caller { prefix: impersonate.value.prefix.clone() },
                None => Identity::Own,
            },
            storage: self.storage.iter().map(|url| url.0.clone()).collect(),
            ..CoreUpstream::new(name, &self.kind.value, self.url.0.clone())
        };
        if self.kind.value == "oci" {
            upstream.credentials = self.registry_credentials(config, &upstream)?;
        }
        Ok(upstream)
    }

    /// What a registry is presented: what its token server gives for what is configured.
    fn registry_credentials(
        &self,
        config: &Config,
        upstream: &CoreUpstream,
    ) -> Result<Credentials, ConfigError> {
        let place = self.name.referenced;
        let servers: Vec<_> =
            self.token_servers.iter().flat_map(|servers| &servers.value).map(|url| url.0.clone()).collect();
        let reaches = CoreUpstream { storage: servers.clone(), ..upstream.clone() };
        let client = Client::new(&reaches, config.file.limits.timeouts()).map_err(anyhow::Error::from);
        let client = config.at(place, client)?;
        let tokens = RegistryTokens::new(upstream, upstream.credentials.clone(), &servers, client);
        let credentials = Credentials::new([(None, Source::Fetched(Arc::new(tokens)))]);
        config.at(place, credentials.map_err(anyhow::Error::from))
    }

    fn credentials(&self, of: &For<'_>) -> Result<Credentials, ConfigError> {
        match (&self.credential, &self.credentials) {
            (Some(credential), _) => {
                let source = credential::resolve(credential, of)?;
                let credentials = Credentials::new([(None, source)]).map_err(anyhow::Error::from);
                of.config.at(credential.referenced, credentials)
            }
            (None, Some(choices)) => credential::resolve_choices(choices, of),
            (None, None) => Ok(Credentials::none()),
        }
    }
}
