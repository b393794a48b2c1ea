//! The beginning of a push: what comes before the pack in a request to `git-receive-pack`.
//!
//! [`PushParser`] is fed the decoded body in pieces and says where the pack begins; it holds what it
//! understood and one unfinished frame, never the pack. It is stricter than git where git is lenient:
//! capabilities stand on the first line only, a ref occurs once, a certificate has one signature. So
//! nobody behind us can read another push out of the same bytes. Format: gitprotocol-pack, "Reference
//! Update Request and Packfile Transfer". What is asked for is made of it by [`crate::classify`].

mod certificate;
mod command;
pub mod fetch;
pub(crate) mod framing;

use std::collections::HashSet;

pub use command::{Capabilities, Command};

use crate::{
    oid::{ObjectFormat, Oid},
    pkt::{Packet, Packets, PktError},
};
use certificate::Certificate;

/// Why a push can't be understood: always the client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a frame.
    #[error("the push is malformed")]
    Pkt(#[from] PktError),
    /// Larger than the limit.
    #[error("the push lists more than {max} bytes of ref updates")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// More than the limit.
    #[error("the push updates more than {max} refs")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// A line that is none of those that may stand there.
    #[error("line {line} of the push is not {expected}")]
    Line {
        /// Counted from one.
        line: usize,
        /// What it should have been.
        expected: &'static str,
    },
    /// A name that no ref may have.
    #[error("line {line} of the push names a ref that can't be: {fault}")]
    Ref {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Two updates of one ref: which one counts is the reader's choice.
    #[error("the push updates {name} twice")]
    Duplicate {
        /// The ref.
        name: String,
    },
    /// The object names are not those of the format that the capabilities name.
    #[error("the push names objects in another format than its object-format")]
    Format,
    /// The body ended before the section did.
    #[error("the push ends in the midst of its ref updates")]
    Truncated,
    /// Objects are to be written, but nothing follows.
    #[error("the push has no pack")]
    NoPack,
    /// Only deletions, but something follows.
    #[error("the push holds something behind its ref updates that is not a pack of them")]
    Trailing,
}

/// What a push asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// Where the history of the client's repository is cut off.
    pub shallow: Vec<Oid>,
    /// The ref updates, in the client's order.
    pub commands: Vec<Command>,
    /// What the client can do and wants.
    pub capabilities: Capabilities,
    /// The push options, in the client's order.
    pub options: Vec<String>,
    /// Whether the updates are signed by a push certificate. Its signature is for the upstream to check.
    pub certificate: bool,
}

impl PushRequest {
    /// Whether a pack follows: unless all updates are deletions.
    pub fn has_pack(&self) -> bool {
        self.commands.iter().any(|command| !command.new.is_null())
    }

    /// The format of the object names.
    pub fn format(&self) -> Option<ObjectFormat> {
        self.capabilities.object_format()
    }
}

/// What the parser needs or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More input.
    Incomplete,
    /// Nothing more: the section ended.
    Complete {
        /// Bytes of the last input that belong to the section.
        consumed: usize,
    },
}

/// Reads the section before the pack, in pieces.
#[derive(Debug)]
pub struct PushParser {
    packets: Packets,
    state: State,
    request: PushRequest,
    line: usize,
    size: usize,
    max_commands: usize,
    max_size: usize,
}

#[derive(Debug)]
enum State {
    Updates,
    Certificate(Certificate),
    AfterCertificate,
    Options,
    Done,
}

impl PushParser {
    /// A parser with limits on the number of ref updates and on the bytes of the section.
    pub fn new(max_commands: usize, max_size: usize) -> Self {
        let request = PushRequest {
            shallow: Vec::new(),
            commands: Vec::new(),
            capabilities: Capabilities::default(),
            options: Vec::new(),
            certificate: false,
        };
        Self {
            packets: Packets::default(),
            state: State::Updates,
            request,
            line: 0,
            size: 0,
            max_commands,
            max_size,
        }
    }

    /// Reads a piece. After [`Progress::Complete`] nothing more is to be fed.
    ///
    /// # Errors
    /// [`ParseError`]; the parser is of no use afterwards.
    pub fn feed(&mut self, input: &[u8]) -> Result<Progress, ParseError> {
        let mut packets = std::mem::take(&mut self.packets);
        let mut rest = input;
        let mut seen = input.len();
        while !matches!(self.state, State::Done) {
            let Some(packet) = packets.next(&mut rest)? else {
                self.count(seen)?;
                self.packets = packets;
                return Ok(Progress::Incomplete);
            };
            self.packet(packet)?;
            self.count(seen - rest.len())?;
            seen = rest.len();
        }
        Ok(Progress::Complete { consumed: input.len() - rest.len() })
    }

    /// What was read.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] before [`Progress::Complete`]; [`ParseError::Duplicate`] and
    /// [`ParseError::Format`] for what only shows at the end.
    pub fn finish(self) -> Result<PushRequest, ParseError> {
        if !matches!(self.state, State::Done) {
            return Err(ParseError::Truncated);
        }
        let mut names = HashSet::new();
        for Command { name, .. } in &self.request.commands {
            if !names.insert(name) {
                return Err(ParseError::Duplicate { name: name.clone() });
            }
        }
        let format = self.request.format().ok_or(ParseError::Format)?;
        let of_commands = self.request.commands.iter().flat_map(|command| [command.old, command.new]);
        // A shallow client that has nothing to push names no format either.
        let checked = if self.request.commands.is_empty() { &[][..] } else { &self.request.shallow };
        if checked.iter().copied().chain(of_commands).any(|oid| oid.format() != format) {
            return Err(ParseError::Format);
        }
        Ok(self.request)
    }

    fn count(&mut self, bytes: usize) -> Result<(), ParseError> {
        self.size += bytes;
        if self.size > self.max_size { Err(ParseError::TooLarge { max: self.max_size }) } else { Ok(()) }
    }

    fn packet(&mut self, packet: Packet<'_>) -> Result<(), ParseError> {
        self.line += 1;
        match (&mut self.state, packet) {
            (State::Updates, Packet::Data(data)) => self.update(data),
            (State::Certificate(certificate), Packet::Data(data)) => {
                let read = certificate.line(data).map_err(|expected| self.error(expected))?;
                if let Some(command) = read.command {
                    self.command(command)?;
                }
                if read.ended {
                    self.state = State::AfterCertificate;
                }
                Ok(())
            }
            (State::Updates | State::AfterCertificate, Packet::Flush) => {
                let options = self.request.capabilities.has("push-options");
                self.state = if options { State::Options } else { State::Done };
                Ok(())
            }
            (State::Options, Packet::Flush) => {
                self.state = State::Done;
                Ok(())
            }
            (State::Options, Packet::Data(data)) => {
                let option = command::text(data).ok_or_else(|| self.error("a push option of plain text"))?;
                self.request.options.push(option.to_owned());
                Ok(())
            }
            (State::AfterCertificate, Packet::Data(_)) => Err(self.error("the end of a signed push")),
            (State::Certificate(_), Packet::Flush) => Err(self.error("a line of a push certificate")),
            (State::Done, _) | (_, Packet::Delimiter | Packet::ResponseEnd) => {
                Err(self.error("one of a request to git-receive-pack"))
            }
        }
    }

    /// One line before the end of the updates: a shallow line, the beginning of a certificate, an update.
    fn update(&mut self, data: &[u8]) -> Result<(), ParseError> {
        let first = self.request.commands.is_empty();
        if first && let Some(oid) = data.strip_prefix(b"shallow ") {
            let oid = oid.strip_suffix(b"\n").unwrap_or(oid);
            let oid = Oid::from_hex(oid).ok_or_else(|| self.error("a shallow line with an object name"))?;
            self.request.shallow.push(oid);
            return Ok(());
        }
        let line = data.strip_suffix(b"\n").unwrap_or(data);
        let (line, capabilities) = match line.iter().position(|byte| *byte == 0) {
            Some(nul) => (&line[..nul], Some(&line[nul + 1..])),
            None => (line, None),
        };
        if let Some(capabilities) = capabilities {
            if !first {
                return Err(self.error("a ref update without capabilities: those stand on the first line"));
            }
            let parsed = Capabilities::parse(capabilities);
            self.request.capabilities =
                parsed.ok_or_else(|| self.error("one with capabilities of plain text"))?;
        }
        if first && line == b"push-cert" {
            self.request.certificate = true;
            self.state = State::Certificate(Certificate::default());
            return Ok(());
        }
        let command = Command::parse(line).ok_or_else(|| self.error("a ref update"))?;
        self.command(command)
    }

    fn command(&mut self, command: Command) -> Result<(), ParseError> {
        if let Some(fault) = crate::refname::fault(&command.name) {
            return Err(ParseError::Ref { line: self.line, fault });
        }
        if command.old.is_null() && command.new.is_null() {
            return Err(self.error("a ref update with an object to create, update or delete"));
        }
        if self.request.commands.len() == self.max_commands {
            return Err(ParseError::TooMany { max: self.max_commands });
        }
        self.request.commands.push(command);
        Ok(())
    }

    fn error(&self, expected: &'static str) -> ParseError {
        ParseError::Line { line: self.line, expected }
    }
}

/// Reads anything as a push, whole and in halves, which must come to the same. For fuzzing.
#[doc(hidden)]
pub fn fuzz_push(body: &[u8]) {
    let parse = |pieces: &[&[u8]]| {
        let mut parser = PushParser::new(100, 1 << 16);
        for piece in pieces {
            if matches!(parser.feed(piece)?, Progress::Complete { .. }) {
                break;
            }
        }
        parser.finish()
    };
    let (first, second) = body.split_at(body.len() / 2);
    assert_eq!(parse(&[body]).is_ok(), parse(&[first, second]).is_ok(), "a split changed the meaning");
}

#[cfg(test)]
mod tests;
