//! Values that grant access: no `Display`, no `Serialize`, a `Debug` that shows nothing.

use std::{
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// A secret in a file is smaller than this.
const MAX: u64 = 64 << 10;

/// A credential in memory. Whoever needs the bytes says so with [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// Why there is no secret where one is expected: whoever keeps it there is at fault.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be opened or read.
    #[error("{} can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is too large.
    #[error("{} is larger than {MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// Nothing is there.
    #[error("it is empty, where a secret is expected")]
    Empty,
    /// More is there than a secret.
    #[error("it holds more than one line, or control characters, where a secret is expected")]
    Lines,
    /// The file's content is no secret.
    #[error("{} is no secret", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<SecretError>,
    },
}

impl Secret {
    /// Wraps a credential.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The only line of a text.
    ///
    /// # Errors
    /// [`SecretError::Empty`] and [`SecretError::Lines`].
    pub fn from_line(text: &str) -> Result<Self, SecretError> {
        let secret = text.trim_end_matches(['\n', '\r']);
        if secret.is_empty() {
            return Err(SecretError::Empty);
        }
        if secret.contains(char::is_control) {
            return Err(SecretError::Lines);
        }
        Ok(Self::new(secret))
    }

    /// The only line of a file.
    ///
    /// # Errors
    /// [`SecretError`], which names the file.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        #[expect(clippy::disallowed_methods, reason = "bounded by take")]
        let length = file.take(MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if length as u64 > MAX {
            return Err(SecretError::TooLarge(path.to_owned()));
        }
        let content = |source| SecretError::Content { path: path.to_owned(), source: Box::new(source) };
        Self::from_line(&text).map_err(content)
    }

    /// The credential itself, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }

    #[test]
    fn a_secret_is_one_line() {
        assert_eq!(Secret::from_line("hunter2\r\n").unwrap().expose(), "hunter2");
        assert_eq!(Secret::from_line("hunter2").unwrap().expose(), "hunter2");
        assert!(matches!(Secret::from_line("\n"), Err(SecretError::Empty)));
        assert!(matches!(Secret::from_line("hunter2\nmore"), Err(SecretError::Lines)));
    }
}
