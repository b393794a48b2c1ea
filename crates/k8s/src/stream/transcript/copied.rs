//! `kubectl cp`: a tar on one end of exec, and what stood in it.

use super::tar::{Entry, Tar, TarError};
use crate::{parse::side::Side, stream::Channel};

/// Which way files are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copying {
    /// Out of the pod.
    Download,
    /// Into the pod.
    Upload,
}

impl Copying {
    /// Whether this command copies files as kubectl does: `tar cf - PATH`, the same piped into `tail -c+1` by a shell,
    /// or `tar -xmf - -C FOLDER`.
    #[must_use]
    pub fn of(command: &[String]) -> Option<Self> {
        let words: Vec<&str> = match command {
            [shell, flag, script] if shell == "sh" && flag == "-c" => script.split(' ').collect(),
            _ => command.iter().map(String::as_str).collect(),
        };
        let (program, arguments) = words.split_first()?;
        if program.rsplit('/').next() != Some("tar") {
            return None;
        }
        // The first argument that is no long option says what is done, with or without a dash.
        let mut arguments = arguments.iter().skip_while(|argument| argument.starts_with("--"));
        let letters = arguments.next()?.trim_start_matches('-');
        if !letters.ends_with('f') || arguments.next() != Some(&"-") {
            return None;
        }
        match letters.as_bytes().first()? {
            b'c' => Some(Self::Download),
            b'x' => Some(Self::Upload),
            _ => None,
        }
    }

    /// The channel on which the tar goes, and who sends it.
    #[must_use]
    pub fn channel(self) -> (Side, Channel) {
        match self {
            Self::Download => (Side::Server, Channel::Stdout),
            Self::Upload => (Side::Client, Channel::Stdin),
        }
    }
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Which way.
    pub way: Copying,
    /// What, in the order in which it was sent; the first 10,000.
    pub entries: Vec<Entry>,
    /// How many entries there were besides.
    pub more: u64,
    /// Why there may be others.
    pub error: Option<TarError>,
}

impl Copied {
    pub(super) fn new(way: Copying, tar: Tar) -> Self {
        let (entries, more, error) = tar.finish();
        Self { way, entries, more, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_kubectl_are_known() {
        let check = |command: &str, expected| {
            let command: Vec<_> = command.split('|').map(str::to_owned).collect();
            assert_eq!(Copying::of(&command), expected, "{command:?}");
        };
        check("tar|cf|-|/etc/hosts", Some(Copying::Download));
        check("tar|-cf|-|/etc/hosts", Some(Copying::Download));
        check("/bin/tar|cf|-|/etc/hosts", Some(Copying::Download));
        check("tar|-xmf|-|-C|/tmp", Some(Copying::Upload));
        check("tar|xmf|-|-C|/tmp", Some(Copying::Upload));
        check("tar|--no-same-permissions|--no-same-owner|-xmf|-|-C|.", Some(Copying::Upload));
        check("tar|tf|-", None);
        check("tar|cf|/tmp/a.tar|/etc", None);
        check("tar", None);
        check("cat|cf|-", None);
        check("", None);
        assert_eq!(Copying::of(&[]), None);
        let shell = ["sh", "-c", "tar cf - '/a b' | tail -c+1"].map(str::to_owned);
        assert_eq!(Copying::of(&shell), Some(Copying::Download));
    }
}
