//! A push certificate: ref updates signed by the pusher, which the upstream checks and keeps.
//!
//! git joins all lines and looks for the last signature in them; here each frame must be one line and
//! only one signature may begin, so that the updates that are decided are those that are signed.

use super::Command;

/// Reads the lines of a certificate, from the one behind `push-cert` to `push-cert-end`.
#[derive(Debug, Default)]
pub(super) struct Certificate {
    part: Part,
}

#[derive(Debug, Default)]
enum Part {
    #[default]
    Version,
    Header,
    Updates,
    Signature,
}

/// What a line held.
pub(super) struct Read {
    pub(super) command: Option<Command>,
    pub(super) ended: bool,
}

impl Certificate {
    /// Reads a line; an error says what should have stood there.
    pub(super) fn line(&mut self, data: &[u8]) -> Result<Read, &'static str> {
        let whole = "a whole line of a push certificate";
        let line = data.strip_suffix(b"\n").ok_or(whole)?;
        if line.contains(&b'\n') || line.contains(&0) {
            return Err(whole);
        }
        let mut read = Read { command: None, ended: false };
        let signature = line.starts_with(b"-----BEGIN ");
        match self.part {
            Part::Version if line == b"certificate version 0.1" => self.part = Part::Header,
            Part::Version => return Err("the line certificate version 0.1"),
            Part::Header if line.is_empty() => self.part = Part::Updates,
            Part::Header if is_header(line) => {}
            Part::Header => return Err("a header of a push certificate"),
            Part::Updates if signature => self.part = Part::Signature,
            Part::Updates => {
                read.command = Some(Command::parse(line).ok_or("a ref update or a signature")?);
            }
            Part::Signature if line == b"push-cert-end" => read.ended = true,
            Part::Signature if signature => return Err("part of the only signature of a push certificate"),
            Part::Signature => {}
        }
        Ok(read)
    }
}

fn is_header(line: &[u8]) -> bool {
    [&b"pusher "[..], b"pushee ", b"nonce ", b"push-option "].iter().any(|name| line.starts_with(name))
}
