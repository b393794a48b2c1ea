//! Secrets: named in the configuration, read from a file or the environment when the gateway starts.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lockgate_core::secret::Secret;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The first line of a file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

impl Source {
    /// Exactly one of the two keys that name a secret.
    pub(crate) fn of(what: &str, file: Option<&PathBuf>, env: Option<&String>) -> Result<Self, String> {
        match (file, env) {
            (Some(file), None) => Ok(Self::File(file.clone())),
            (None, Some(env)) => Ok(Self::Env(env.clone())),
            (None, None) => Err(format!("`{what}_file` or `{what}_env` is missing")),
            (Some(_), Some(_)) => Err(format!("`{what}_file` and `{what}_env` exclude each other")),
        }
    }

    /// Reads it; a file's path is relative to `base`.
    pub(crate) fn read(&self, base: &Path) -> Result<Secret> {
        match self {
            Self::File(path) => Ok(Secret::read(&base.join(path))?),
            Self::Env(name) => {
                let text = std::env::var(name).with_context(|| format!("${name} is not set"))?;
                Secret::from_line(&text).with_context(|| format!("${name} is no secret"))
            }
        }
    }
}

/// Reads a text file of at most `max` bytes.
pub(crate) fn read_text(path: &Path, max: u64) -> Result<String> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by take")]
    let length = file
        .take(max + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if length as u64 > max {
        bail!("{} is larger than {max} bytes", path.display());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &str, expected: Result<&str, &str>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), content).unwrap();
        let read = Source::File("secret".into()).read(dir.path());
        match (read, expected) {
            (Ok(secret), Ok(expected)) => assert_eq!(secret.expose(), expected),
            (Err(error), Err(expected)) => {
                let text = format!("{error:#}");
                assert!(text.contains(expected), "{text}");
                assert!(!text.contains("hunter2"), "{text}");
            }
            (read, expected) => panic!("{read:?} {expected:?}"),
        }
    }

    #[test]
    fn a_secret_is_one_line() {
        check("hunter2\n", Ok("hunter2"));
        check("hunter2\r\n", Ok("hunter2"));
        check("hunter2", Ok("hunter2"));
        check("\n", Err("is empty"));
        check("hunter2\nmore", Err("more than one line"));
        check(&"x".repeat(70_000), Err("larger than"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = Source::Env("LOCKGATE_NO_SUCH_VARIABLE".into()).read(Path::new("/")).unwrap_err();
        assert!(format!("{error:#}").contains("$LOCKGATE_NO_SUCH_VARIABLE is not set"));
        let error = Source::File("nowhere".into()).read(Path::new("/nonexistent")).unwrap_err();
        assert!(format!("{error:#}").contains("/nonexistent/nowhere"));
    }
}
