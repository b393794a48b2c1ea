//! What lockgate presents to an upstream, and whence it comes.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use lockgate_core::{
    credential::{
        Credential as CoreCredential, Credentials as CoreCredentials, Source as CoreSource,
        exec::{Exec as CoreExec, ExecConfig},
        file::SecretFile,
        github::{GithubApp as CoreGithubApp, GithubAppConfig},
    },
    policy::Globs,
    secret::Secret,
};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{
    Config, ConfigError,
    scalar::{HttpUrl, Span},
    secret::{Source, read_text},
};

/// A private key is smaller than this.
const KEY_MAX: u64 = 64 << 10;
/// The user in whose name GitLab takes any token.
const GITLAB_USER: &str = "oauth2";

/// An entry of `credentials:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// The repositories that it is for, as globs; all that no entry before is for.
    pub(super) repositories: Option<Spanned<Vec<Spanned<String>>>>,
    /// What is presented.
    credential: Spanned<Credential>,
}

/// What lockgate presents to an upstream.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Credential {
    /// Nothing.
    None,
    /// HTTP Basic.
    Basic(Basic),
    /// A bearer token.
    Bearer(Bearer),
    /// A token of GitLab: personal, of a project, of a group, of a job.
    Gitlab(Bearer),
    /// What a command prints.
    Exec(Exec),
    /// Installation tokens of a GitHub App.
    GithubApp(GithubApp),
}

/// `basic:`. A file is read again when it changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    /// The user.
    user: String,
    /// A file with the password or token.
    password_file: Option<PathBuf>,
    /// An environment variable with it.
    password_env: Option<String>,
}

/// `bearer:`, `gitlab:`. A file is read again when it changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bearer {
    /// A file with the token.
    token_file: Option<PathBuf>,
    /// An environment variable with it.
    token_env: Option<String>,
}

/// `exec:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exec {
    /// The program, a path or a name in `PATH`, and its arguments.
    command: Vec<String>,
    /// The user whose password it prints, unless it says so itself; without, it is a bearer token.
    user: Option<String>,
    /// Environment variables that it gets besides `PATH`; none.
    #[serde(default)]
    env: Vec<String>,
    /// How long it may take; 10 s.
    timeout: Option<Span>,
    /// How long what it prints is good, unless it says so itself; 5 m.
    lifetime: Option<Span>,
}

/// `github_app:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GithubApp {
    /// The app's client id.
    client_id: Option<String>,
    /// Or its id.
    app_id: Option<u64>,
    /// A file with its private key, in PEM.
    private_key_file: Option<PathBuf>,
    /// An environment variable with it.
    private_key_env: Option<String>,
    /// The installation; found out for each owner.
    installation_id: Option<u64>,
    /// Whether each token is for one repository alone; `true`.
    per_repository: Option<bool>,
    /// What the tokens may do, e.g. `contents: read`; all that the app may.
    #[serde(default)]
    permissions: BTreeMap<String, Permission>,
    /// The API; that of the upstream's host.
    api_url: Option<HttpUrl>,
}

/// What a permission of GitHub may be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Permission {
    Read,
    Write,
    Admin,
}

/// The upstream that a credential is for, as far as it matters.
pub(super) struct For<'a> {
    /// The configuration that it is in.
    pub(super) config: &'a Config,
    /// The upstream's URL.
    pub(super) url: &'a http::Uri,
    /// Certificates that vouch for it.
    pub(super) ca: Option<&'a [u8]>,
}

/// Globs over repositories.
pub(super) fn globs(path: &Path, texts: &Spanned<Vec<Spanned<String>>>) -> Result<Globs, ConfigError> {
    let at = |location: Location, why: String| ConfigError::new(path, why).at(location);
    if texts.value.is_empty() {
        return Err(at(texts.referenced, "an empty list matches no repository".into()));
    }
    let compiled = Globs::new(texts.value.iter().map(|text| text.value.as_str()));
    compiled.map_err(|(index, why)| at(texts.value[index].referenced, why))
}

/// Globs that were checked.
pub(super) fn compiled(texts: &Spanned<Vec<Spanned<String>>>) -> Result<Globs> {
    let compiled = Globs::new(texts.value.iter().map(|text| text.value.as_str()));
    compiled.map_err(|(_, why)| anyhow::Error::msg(why))
}

/// What can be wrong within `credentials:`
pub(super) fn check_choices(path: &Path, choices: &Spanned<Vec<Choice>>) -> Result<(), ConfigError> {
    if choices.value.is_empty() {
        let message = "an empty list: no request could go to the upstream";
        return Err(ConfigError::new(path, message).at(choices.referenced));
    }
    let mut all = None;
    for choice in &choices.value {
        if let Some(line) = all {
            let message = format!("this is never used: the entry in line {line} is for all repositories");
            return Err(ConfigError::new(path, message).at(choice.credential.referenced));
        }
        match &choice.repositories {
            Some(texts) => drop(globs(path, texts)?),
            None => all = Some(choice.credential.referenced.line()),
        }
        check(path, &choice.credential)?;
    }
    Ok(())
}

/// What can be wrong within one credential.
pub(super) fn check(path: &Path, credential: &Spanned<Credential>) -> Result<(), ConfigError> {
    let fault = credential.value.fault();
    fault.map_or(Ok(()), |message| Err(ConfigError::new(path, message).at(credential.referenced)))
}

/// The credentials of an upstream with `credentials:`
pub(super) fn resolve_choices(
    choices: &Spanned<Vec<Choice>>,
    of: &For<'_>,
) -> Result<CoreCredentials, ConfigError> {
    let resolved = choices.value.iter().map(|choice| {
        let globs = choice.repositories.as_ref();
        let globs = globs.map(|texts| of.config.at(texts.referenced, compiled(texts))).transpose()?;
        Ok((globs, resolve(&choice.credential, of)?))
    });
    let credentials = CoreCredentials::new(resolved.collect::<Result<Vec<_>, ConfigError>>()?);
    of.config.at(choices.referenced, credentials.map_err(anyhow::Error::from))
}

/// Reads what a credential refers to.
pub(super) fn resolve(credential: &Spanned<Credential>, of: &For<'_>) -> Result<CoreSource, ConfigError> {
    of.config.at(credential.referenced, credential.value.resolve(of))
}

impl Credential {
    fn fault(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Basic(basic) => basic.source().err().or_else(|| user_fault(Some(&basic.user))),
            Self::Bearer(bearer) | Self::Gitlab(bearer) => bearer.source().err(),
            Self::Exec(exec) => exec.fault(),
            Self::GithubApp(app) => app.fault(),
        }
    }

    fn resolve(&self, of: &For<'_>) -> Result<CoreSource> {
        Ok(match self {
            Self::None => CoreSource::Fixed(CoreCredential::None),
            Self::Basic(basic) => {
                secret(&basic.source().map_err(anyhow::Error::msg)?, Some(&basic.user), of)?
            }
            Self::Bearer(bearer) => secret(&bearer.source().map_err(anyhow::Error::msg)?, None, of)?,
            Self::Gitlab(bearer) => {
                secret(&bearer.source().map_err(anyhow::Error::msg)?, Some(GITLAB_USER), of)?
            }
            Self::Exec(exec) => CoreExec::new(exec.resolve(of)?).into(),
            Self::GithubApp(app) => app.resolve(of)?,
        })
    }
}

/// A secret of a file is read again when it changes; whether there is one is seen at once.
fn secret(source: &Source, user: Option<&str>, of: &For<'_>) -> Result<CoreSource> {
    let secret = source.read(&of.config.base)?;
    let user = user.map(str::to_owned);
    Ok(match (source, user) {
        (Source::File(path), user) => SecretFile::new(of.config.resolve(path), user).into(),
        (Source::Env(_), Some(user)) => CoreSource::Fixed(CoreCredential::Basic { user, password: secret }),
        (Source::Env(_), None) => CoreSource::Fixed(CoreCredential::Bearer(secret)),
    })
}

fn user_fault(user: Option<&str>) -> Option<String> {
    let wrong = |user: &str| user.contains(|c: char| c == ':' || c.is_control());
    user.is_some_and(wrong).then(|| "a user of Basic has no colon and no control characters".to_owned())
}

impl Basic {
    fn source(&self) -> Result<Source, String> {
        Source::of("password", self.password_file.as_ref(), self.password_env.as_ref())
    }
}

impl Bearer {
    fn source(&self) -> Result<Source, String> {
        Source::of("token", self.token_file.as_ref(), self.token_env.as_ref())
    }
}

impl Exec {
    fn timeout(&self) -> Span {
        self.timeout.unwrap_or(Span::seconds(10))
    }

    fn lifetime(&self) -> Span {
        self.lifetime.unwrap_or(Span::seconds(300))
    }

    fn fault(&self) -> Option<String> {
        if self.command.first().is_none_or(String::is_empty) {
            return Some("`command` is a list: the program and its arguments".into());
        }
        if self.timeout() > Span::seconds(60) || self.timeout() == Span::seconds(0) {
            return Some("`timeout` is from 1ms to 60s: requests wait for it".into());
        }
        if self.lifetime() < Span::seconds(1) {
            return Some("`lifetime` is 1s or more".into());
        }
        user_fault(self.user.as_deref())
    }

    fn resolve(&self, of: &For<'_>) -> Result<ExecConfig> {
        let (program, arguments) = self.command.split_first().context("`command` is empty")?;
        let variable = |name: &String| -> Result<(OsString, OsString)> {
            let value = std::env::var_os(name).with_context(|| format!("${name} is not set"))?;
            Ok((name.into(), value))
        };
        let path = std::env::var_os("PATH").map(|path| Ok(("PATH".into(), path)));
        Ok(ExecConfig {
            // A name alone is looked for in `PATH`.
            program: if program.contains('/') { of.config.base.join(program) } else { program.into() },
            arguments: arguments.iter().map(OsString::from).collect(),
            environment: path.into_iter().chain(self.env.iter().map(variable)).collect::<Result<_>>()?,
            user: self.user.clone(),
            timeout: self.timeout().0,
            lifetime: self.lifetime().0,
        })
    }
}

impl GithubApp {
    fn source(&self) -> Result<Source, String> {
        Source::of("private_key", self.private_key_file.as_ref(), self.private_key_env.as_ref())
    }

    fn fault(&self) -> Option<String> {
        match (&self.client_id, self.app_id) {
            (None, None) => Some("`client_id` or `app_id` is missing".into()),
            (Some(_), Some(_)) => Some("`client_id` and `app_id` exclude each other".into()),
            (Some(_), None) | (None, Some(_)) => self.source().err(),
        }
    }

    fn resolve(&self, of: &For<'_>) -> Result<CoreSource> {
        let (pem, file) = match self.source().map_err(anyhow::Error::msg)? {
            Source::File(path) => {
                let path = of.config.resolve(&path);
                (read_text(&path, KEY_MAX)?, Some(path))
            }
            Source::Env(name) => (std::env::var(&name).with_context(|| format!("${name} is not set"))?, None),
        };
        let id = self.app_id.map(|id| id.to_string());
        let permissions = self.permissions.iter().map(|(name, permission)| {
            let word = match permission {
                Permission::Read => "read",
                Permission::Write => "write",
                Permission::Admin => "admin",
            };
            (name.clone(), word.to_owned())
        });
        let app = CoreGithubApp::new(GithubAppConfig {
            app: self.client_id.clone().or(id).context("`client_id` or `app_id` is missing")?,
            private_key: Secret::new(pem),
            private_key_file: file,
            installation: self.installation_id,
            per_repository: self.per_repository.unwrap_or(true),
            permissions: permissions.collect(),
            api: self.api_url.as_ref().map_or_else(|| api_of(of.url), |url| url.0.to_string()),
            ca: of.ca.map(<[u8]>::to_vec),
            prefix: of.url.path().trim_matches('/').to_owned(),
        })?;
        Ok(app.into())
    }
}

/// The API of GitHub, or of a server of one's own.
fn api_of(url: &http::Uri) -> String {
    let host = url.authority().map_or("github.com", |authority| authority.as_str());
    match host {
        "github.com" | "www.github.com" => "https://api.github.com".to_owned(),
        host => format!("{}://{host}/api/v3", url.scheme_str().unwrap_or("https")),
    }
}
