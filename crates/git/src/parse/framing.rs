//! Whether a request to `git-upload-pack` is one at all, where it goes on as it is.

use super::fetch::FetchError;
use crate::pkt::{Packet, Packets};

/// Commands of version 2 (gitprotocol-v2).
const COMMANDS: [&[u8]; 4] = [b"ls-refs", b"fetch", b"object-info", b"bundle-uri"];

/// Looks at the frames of a request, in pieces: how it begins, that it consists of them, that it has an end.
#[derive(Debug, Default)]
pub(crate) struct FetchFraming {
    packets: Packets,
    lines: usize,
    ended: bool,
}

impl FetchFraming {
    /// Looks at a piece.
    ///
    /// # Errors
    /// [`FetchError`], the client's fault.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Result<(), FetchError> {
        while !piece.is_empty() {
            let Some(packet) = self.packets.next(&mut piece)? else { break };
            self.lines += 1;
            let line = packet.line();
            if self.lines == 1 && line.is_some_and(|line| !begins(line)) {
                return Err(FetchError::Line { line: self.lines });
            }
            self.ended = packet == Packet::Flush || line == Some(b"done");
        }
        Ok(())
    }

    /// Looks at the end.
    ///
    /// # Errors
    /// [`FetchError::Truncated`].
    pub(crate) fn finish(&self) -> Result<(), FetchError> {
        if !self.packets.pending().is_empty() || !self.ended { Err(FetchError::Truncated) } else { Ok(()) }
    }
}

fn begins(line: &[u8]) -> bool {
    match line.strip_prefix(b"command=") {
        Some(command) => COMMANDS.contains(&command),
        None => line.starts_with(b"want "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, step: usize) -> Result<(), FetchError> {
        let mut framing = FetchFraming::default();
        text.as_bytes().chunks(step).try_for_each(|piece| framing.feed(piece))?;
        framing.finish()
    }

    #[test]
    fn tells_requests_from_what_is_none() {
        let want = format!("0032want {}\n", "a".repeat(40));
        for step in [1, 3, 1000] {
            for good in [
                "0000".to_owned(),
                "0014command=ls-refs\n0000".to_owned(),
                "0012command=fetch\n00010000".to_owned(),
                format!("{want}00000009done\n"),
                format!("{want}0000"),
            ] {
                assert_eq!(check(&good, step), Ok(()), "{good}");
            }
            for (bad, error) in [
                (String::new(), FetchError::Truncated),
                ("zzzz".to_owned(), FetchError::Pkt(crate::pkt::PktError)),
                ("fff".to_owned(), FetchError::Truncated),
                (want[..20].to_owned(), FetchError::Truncated),
                (want.clone(), FetchError::Truncated),
                ("0014command=evil-xx\n".to_owned(), FetchError::Line { line: 1 }),
                ("0009have\n0000".to_owned(), FetchError::Line { line: 1 }),
            ] {
                assert_eq!(check(&bad, step), Err(error), "{bad}");
            }
        }
    }
}
