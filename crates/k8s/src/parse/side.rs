//! Who sends: the decoders of streams work in both directions, and what they refuse is somebody's fault.

use std::fmt;

/// The sender of a direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who asked for the stream.
    Client,
    /// Who answered: the upstream.
    Server,
}

impl Side {
    /// Who listens.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "upstream",
        })
    }
}
