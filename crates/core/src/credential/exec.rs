//! A credential that a command prints: a token alone, or JSON with a user and a time.
//!
//! The command gets no input and only the environment that it is given. Its output is bounded and never
//! shown; what it writes to stderr goes where the gateway's own does.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
};

use super::{Credential, CredentialError, Fetch, Fetched};
use crate::secret::{Secret, SecretError};

/// The most that a command may print.
const MAX_OUTPUT: u64 = 64 << 10;

/// How a command is run, and what its output is taken for.
#[derive(Debug, Clone)]
pub struct ExecConfig {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Whose password it prints, where the output does not say; a bearer token without.
    pub user: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// How long a value is good that is printed without `expires_at`.
    pub lifetime: Duration,
}

/// Why a command gave no credential. We, or whoever wrote it, are at fault.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It can't be started, or its output can't be read.
    #[error("{0} can't be run")]
    Run(PathBuf, #[source] std::io::Error),
    /// It took too long.
    #[error("{0} did not end within {1:?}")]
    Timeout(PathBuf, Duration),
    /// It failed.
    #[error("{0} ended with {1}; its stderr is in the gateway's")]
    Failed(PathBuf, ExitStatus),
    /// What it printed is no credential.
    #[error("what {0} printed {1}")]
    Output(PathBuf, OutputError),
}

/// What is wrong with a command's output, without the output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Too much.
    #[error("is larger than {MAX_OUTPUT} bytes")]
    TooLarge,
    /// Neither JSON nor one line.
    #[error("is neither one line nor a JSON object")]
    Line,
    /// JSON, but not what is expected.
    #[error("is not JSON of `user`, `password` or `token`, and `expires_at` (line {line}, column {column})")]
    Json {
        /// Where in the output.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// None or both of `password` and `token`.
    #[error("has not exactly one of `password` and `token`")]
    Secret,
    /// A password of nobody.
    #[error("has a `password` and no `user`")]
    User,
    /// A time that is none.
    #[error("has an `expires_at` that is neither RFC 3339 nor seconds since 1970")]
    Time,
    /// Of no use any more.
    #[error("has expired already")]
    Expired,
}

/// Runs a command.
pub struct Exec(ExecConfig);

impl Exec {
    /// A command that is run when a value is needed.
    pub fn new(config: ExecConfig) -> Self {
        Self(config)
    }

    async fn run(&self) -> Result<Vec<u8>, ExecError> {
        let config = &self.0;
        let failed = |error| ExecError::Run(config.program.clone(), error);
        let child = Command::new(&config.program)
            .args(&config.arguments)
            .env_clear()
            .envs(config.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut group = Group(child);
        let ended = tokio::time::timeout(config.timeout, output(&mut group.0)).await;
        let (output, status) = match ended {
            Ok(ended) => ended.map_err(failed)?,
            Err(_) => return Err(ExecError::Timeout(config.program.clone(), config.timeout)),
        };
        if output.len() as u64 > MAX_OUTPUT {
            return Err(ExecError::Output(config.program.clone(), OutputError::TooLarge));
        }
        match status {
            Some(status) if status.success() => Ok(output),
            Some(status) => Err(ExecError::Failed(config.program.clone(), status)),
            None => Err(ExecError::Output(config.program.clone(), OutputError::TooLarge)),
        }
    }
}

/// A command, and what it started: all of it ends with a command that is still there when nobody waits for it any more.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // None once it was waited for: its number may be that of another by then.
        let leader = self.0.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(leader) = leader
            && let Err(error) = kill_process_group(leader, Signal::KILL)
        {
            tracing::debug!(%error, "a command for a credential could not be stopped");
        }
    }
}

/// Reads to the end, and waits for it unless there was too much to read.
async fn output(child: &mut Child) -> std::io::Result<(Vec<u8>, Option<ExitStatus>)> {
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output).await?;
    }
    if output.len() as u64 > MAX_OUTPUT {
        return Ok((output, None));
    }
    Ok((output, Some(child.wait().await?)))
}

impl Fetch for Exec {
    fn scope(&self, _: &str) -> Result<String, CredentialError> {
        Ok(String::new())
    }

    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Fetched, CredentialError>> {
        Box::pin(async {
            let output = self.run().await?;
            let config = &self.0;
            let parsed = parse(&output, config.user.as_deref(), config.lifetime, Timestamp::now());
            Ok(parsed.map_err(|error| ExecError::Output(config.program.clone(), error))?)
        })
    }
}

impl From<Exec> for super::Source {
    fn from(exec: Exec) -> Self {
        Self::Fetched(Arc::new(exec))
    }
}

/// JSON that a command prints.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Printed {
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    expires_at: Option<serde_json::Value>,
}

fn parse(
    output: &[u8],
    user: Option<&str>,
    lifetime: Duration,
    now: Timestamp,
) -> Result<Fetched, OutputError> {
    let text = std::str::from_utf8(output).map_err(|_| OutputError::Line)?;
    if !text.trim_start().starts_with('{') {
        let secret = line(text)?;
        return Ok(fetched(credential(user.map(str::to_owned), secret), lifetime));
    }
    // The error itself may repeat a value.
    let wrong = |error: serde_json::Error| OutputError::Json { line: error.line(), column: error.column() };
    let printed: Printed = serde_json::from_str(text).map_err(wrong)?;
    let lifetime = match &printed.expires_at {
        Some(value) => until(value, now)?,
        None => lifetime,
    };
    let named = printed.user.filter(|user| !user.contains([':', '\n', '\r'])).or(user.map(str::to_owned));
    let credential = match (printed.password, printed.token) {
        (Some(password), None) => credential(Some(named.ok_or(OutputError::User)?), line(password.expose())?),
        (None, Some(token)) => credential(named, line(token.expose())?),
        (None, None) | (Some(_), Some(_)) => return Err(OutputError::Secret),
    };
    Ok(fetched(credential, lifetime))
}

fn line(text: &str) -> Result<Secret, OutputError> {
    Secret::from_line(text).map_err(|_: SecretError| OutputError::Line)
}

fn credential(user: Option<String>, secret: Secret) -> Credential {
    match user {
        Some(user) => Credential::Basic { user, password: secret },
        None => Credential::Bearer(secret),
    }
}

/// Another one is fetched before the end, for a request may take a while to reach the upstream.
fn fetched(credential: Credential, lifetime: Duration) -> Fetched {
    let early = (lifetime / 4).min(Duration::from_mins(5));
    Fetched { credential, fresh: lifetime - early, valid: lifetime }
}

fn until(value: &serde_json::Value, now: Timestamp) -> Result<Duration, OutputError> {
    let at = match (value.as_str(), value.as_i64()) {
        (Some(text), _) => text.parse().map_err(|_| OutputError::Time)?,
        (None, Some(seconds)) => Timestamp::from_second(seconds).map_err(|_| OutputError::Time)?,
        (None, None) => return Err(OutputError::Time),
    };
    let left = at.duration_since(now);
    Duration::try_from(left).ok().filter(|left| !left.is_zero()).ok_or(OutputError::Expired)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn check(output: &str, user: Option<&str>, expected: Result<(Credential, u64), OutputError>) {
        let parsed = parse(output.as_bytes(), user, Duration::from_secs(300), NOW.parse().unwrap());
        let parsed = parsed.map(|fetched| (fetched.credential, fetched.valid.as_secs()));
        assert_eq!(parsed, expected, "{output}");
    }

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic { user: user.into(), password: Secret::new(password) }
    }

    #[test]
    fn takes_a_token_or_json() {
        let bearer = |token| Credential::Bearer(Secret::new(token));
        check("hunter2\n", None, Ok((bearer("hunter2"), 300)));
        check("hunter2", Some("ada"), Ok((basic("ada", "hunter2"), 300)));
        check(r#"{"token":"hunter2"}"#, None, Ok((bearer("hunter2"), 300)));
        check(r#"{"user":"eve","token":"hunter2"}"#, Some("ada"), Ok((basic("eve", "hunter2"), 300)));
        let timed = r#" {"user":"eve","password":"hunter2","expires_at":"2026-01-01T01:00:00+00:00"}"#;
        check(timed, None, Ok((basic("eve", "hunter2"), 3600)));
        check(r#"{"token":"hunter2","expires_at":1767225660}"#, None, Ok((bearer("hunter2"), 60)));
    }

    #[test]
    fn refuses_the_rest_without_showing_it() {
        check("", None, Err(OutputError::Line));
        check("hunter2\nmore", None, Err(OutputError::Line));
        check("{}", None, Err(OutputError::Secret));
        check(r#"{"token":"hunter2","password":"hunter2"}"#, None, Err(OutputError::Secret));
        check(r#"{"password":"hunter2"}"#, None, Err(OutputError::User));
        check(r#"{"token":"hunter2\nx"}"#, None, Err(OutputError::Line));
        check(r#"{"token":"hunter2","expires_at":"soon"}"#, None, Err(OutputError::Time));
        check(r#"{"token":"hunter2","expires_at":[]}"#, None, Err(OutputError::Time));
        check(r#"{"token":"hunter2","expires_at":"2025-12-31T23:59:59Z"}"#, None, Err(OutputError::Expired));
        check(r#"{"token":["hunter2"]}"#, None, Err(OutputError::Json { line: 1, column: 9 }));
        check("{\"tokn\":\n\"hunter2\"}", None, Err(OutputError::Json { line: 1, column: 7 }));
        check(r#"{"token":"a","token":"hunter2"}"#, None, Err(OutputError::Json { line: 1, column: 20 }));
    }
}
