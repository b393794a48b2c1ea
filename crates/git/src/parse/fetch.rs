//! What a request to `git-upload-pack` asks for: refs to list, or objects to send.
//!
//! [`FetchParser`] is fed the decoded body in pieces. It understands what narrowing needs to understand,
//! in every version of the protocol, and refuses the rest: nothing that it does not know goes on. What it
//! read is written anew by [`FetchRequest::write`], so that nobody behind us reads more out of it.
//! Formats: gitprotocol-v2 ("ls-refs", "fetch") and gitprotocol-pack ("Packfile Negotiation").

use bytes::BufMut;

use crate::{
    oid::Oid,
    pkt::{self, Packet, Packets, PktError},
};

/// As deep as there is: what git sends to get the whole history, and treats apart.
pub const INFINITE: u32 = 0x7fff_ffff;

/// Capabilities that a client of version 2 may send.
const SENT: [&str; 4] = ["agent=", "object-format=", "server-option=", "session-id="];
/// Arguments of a fetch in version 2 that stand alone and say how objects are sent, not which.
const FLAGS: [&str; 6] =
    ["thin-pack", "no-progress", "include-tag", "ofs-delta", "wait-for-done", "sideband-all"];
/// Arguments of a listing.
const LIST_FLAGS: [&str; 3] = ["peel", "symrefs", "unborn"];
/// Capabilities before version 2 that say how objects are sent: what is offered of them may be chosen.
pub(crate) const SENDING: [&str; 11] = [
    "multi_ack",
    "multi_ack_detailed",
    "no-done",
    "thin-pack",
    "side-band",
    "side-band-64k",
    "ofs-delta",
    "shallow",
    "deepen-since",
    "deepen-not",
    "no-progress",
];
/// What a client may choose besides. Git says `filter` also where it is not offered, and then sends none.
const CHOSEN: [&str; 2] = ["include-tag", "filter"];

/// Why a request can't be understood: the client's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not a frame.
    #[error("the request is malformed")]
    Pkt(#[from] PktError),
    /// Larger than the limit.
    #[error("the request is larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// A line that does not belong there, or is not known here.
    #[error("line {line} of the request is not understood, or not served here")]
    Line {
        /// Counted from one.
        line: usize,
    },
    /// It ended too early.
    #[error("the request ends in its midst")]
    Truncated,
    /// Something follows its end.
    #[error("something follows the end of the request")]
    Trailing,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `command=ls-refs` of version 2.
    List,
    /// `command=fetch` of version 2.
    Fetch,
    /// A negotiation of the versions before.
    Old,
}

/// One line of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// An object to send.
    Want(Oid),
    /// A ref whose object is to be sent.
    WantRef(String),
    /// An object that the client has.
    Have(Oid),
    /// A commit where the client's history is cut off.
    Shallow(Oid),
    /// So many commits deep.
    Deepen(u32),
    /// No older than so many seconds since 1970.
    DeepenSince(u64),
    /// Without what this ref reaches.
    DeepenNot(String),
    /// Refs that begin so.
    RefPrefix(String),
    /// One of the words that stand alone.
    Flag(&'static str),
    /// Nothing more is to be negotiated.
    Done,
    /// The end of a part, before version 2.
    Flush,
}

/// A request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// What is asked for.
    pub form: Form,
    /// In version 2 the lines before the arguments, else what follows the first want.
    pub capabilities: Vec<String>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// Reads a request in pieces.
#[derive(Debug)]
pub struct FetchParser {
    packets: Packets,
    state: State,
    request: FetchRequest,
    line: usize,
    size: usize,
    max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// In version 2 before the delimiter.
    Capabilities,
    /// In version 2 behind it.
    Arguments,
    /// Before version 2, the wants.
    Wants,
    /// And what the client has.
    Haves,
    Done,
}

impl FetchParser {
    /// A parser with a limit on the bytes of the request.
    pub fn new(max: usize) -> Self {
        let request = FetchRequest { form: Form::Old, capabilities: Vec::new(), lines: Vec::new() };
        Self { packets: Packets::default(), state: State::Start, request, line: 0, size: 0, max }
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// [`FetchError`]; the parser is of no use afterwards.
    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), FetchError> {
        self.size += input.len();
        if self.size > self.max {
            return Err(FetchError::TooLarge { max: self.max });
        }
        let mut packets = std::mem::take(&mut self.packets);
        while let Some(packet) = packets.next(&mut input)? {
            self.line += 1;
            self.packet(packet)?;
        }
        self.packets = packets;
        Ok(())
    }

    /// What was read.
    ///
    /// # Errors
    /// [`FetchError::Truncated`] where the request is not whole.
    pub fn finish(self) -> Result<FetchRequest, FetchError> {
        // A client may wait with what it has until it knows where the history is cut off.
        let whole = matches!(self.state, State::Haves | State::Done);
        if whole && self.packets.pending().is_empty() { Ok(self.request) } else { Err(FetchError::Truncated) }
    }

    fn packet(&mut self, packet: Packet<'_>) -> Result<(), FetchError> {
        let text = packet.line().map(|line| std::str::from_utf8(line).map_err(|_| self.fault()));
        match (self.state, packet, text.transpose()?) {
            // Some clients end twice.
            (State::Done, Packet::Flush, _) if self.request.form == Form::Old => {}
            (State::Done, ..) => return Err(FetchError::Trailing),
            (State::Start, _, Some("command=ls-refs")) => self.begin(Form::List),
            (State::Start, _, Some("command=fetch")) => self.begin(Form::Fetch),
            (State::Start, _, Some(line)) => {
                self.state = State::Wants;
                self.first_want(line)?;
            }
            (State::Start, Packet::Flush, _) => self.state = State::Done,
            (State::Capabilities, _, Some(line)) => {
                let known = SENT.iter().any(|name| line.starts_with(name));
                self.request.capabilities.push(plain(line).filter(|_| known).ok_or_else(|| self.fault())?);
            }
            (State::Capabilities, Packet::Delimiter, _) => self.state = State::Arguments,
            (State::Capabilities | State::Arguments, Packet::Flush, _) => self.state = State::Done,
            (State::Arguments, _, Some(line)) => {
                let read = if self.request.form == Form::List { listing(line) } else { argument(line) };
                self.push(read)?;
            }
            (State::Wants, _, Some(line)) => self.push(wanted(line))?,
            (State::Wants, Packet::Flush, _) => {
                self.state = State::Haves;
                self.request.lines.push(Line::Flush);
            }
            (State::Haves, Packet::Flush, _) => self.request.lines.push(Line::Flush),
            (State::Haves, _, Some("done")) => {
                self.state = State::Done;
                self.request.lines.push(Line::Done);
            }
            (State::Haves, _, Some(line)) => self.push(oid(line, "have ").map(Line::Have))?,
            (_, Packet::Delimiter | Packet::ResponseEnd | Packet::Data(_), None) => {
                return Err(self.fault());
            }
        }
        Ok(())
    }

    fn begin(&mut self, form: Form) {
        self.request.form = form;
        self.state = State::Capabilities;
    }

    /// `want <oid> <capability> ...`
    fn first_want(&mut self, line: &str) -> Result<(), FetchError> {
        let rest = line.strip_prefix("want ").ok_or_else(|| self.fault())?;
        let (want, words) = rest.split_once(' ').unwrap_or((rest, ""));
        self.push(Oid::from_hex(want.as_bytes()).map(Line::Want))?;
        for word in words.split(' ').filter(|word| !word.is_empty()) {
            let known = SENDING.contains(&word) || CHOSEN.contains(&word);
            let known = known || SENT.iter().any(|name| word.starts_with(name));
            self.request.capabilities.push(plain(word).filter(|_| known).ok_or_else(|| self.fault())?);
        }
        Ok(())
    }

    fn push(&mut self, line: Option<Line>) -> Result<(), FetchError> {
        let line = line.ok_or_else(|| self.fault())?;
        self.request.lines.push(line);
        Ok(())
    }

    fn fault(&self) -> FetchError {
        FetchError::Line { line: self.line }
    }
}

fn plain(text: &str) -> Option<String> {
    (!text.contains(char::is_control)).then(|| text.to_owned())
}

fn oid(line: &str, name: &str) -> Option<Oid> {
    Oid::from_hex(line.strip_prefix(name)?.as_bytes())
}

fn flag(line: &str, known: &[&'static str]) -> Option<Line> {
    known.iter().find(|flag| **flag == line).map(|flag| Line::Flag(flag))
}

/// An argument of `ls-refs`.
fn listing(line: &str) -> Option<Line> {
    let prefix = || plain(line.strip_prefix("ref-prefix ")?).map(Line::RefPrefix);
    flag(line, &LIST_FLAGS).or_else(prefix)
}

/// An argument of `fetch`.
fn argument(line: &str) -> Option<Line> {
    match line.split_once(' ') {
        None if line == "done" => Some(Line::Done),
        None => flag(line, &FLAGS),
        Some(("have", _)) => oid(line, "have ").map(Line::Have),
        Some(("want-ref", name)) => plain(name).map(Line::WantRef),
        Some(_) => wanted(line),
    }
}

/// A line that stands among the wants in every version.
fn wanted(line: &str) -> Option<Line> {
    let (name, value) = line.split_once(' ')?;
    match name {
        "want" => oid(line, "want ").map(Line::Want),
        "shallow" => oid(line, "shallow ").map(Line::Shallow),
        "deepen" => {
            digits(value)?.parse().ok().filter(|depth| (1..=INFINITE).contains(depth)).map(Line::Deepen)
        }
        "deepen-since" => digits(value)?.parse().ok().map(Line::DeepenSince),
        "deepen-not" => plain(value).map(Line::DeepenNot),
        _ => None,
    }
}

/// `parse` would take a sign.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

impl FetchRequest {
    /// Writes it as it goes upstream.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.form {
            Form::List => self.write_command(&mut out, "ls-refs"),
            Form::Fetch => self.write_command(&mut out, "fetch"),
            Form::Old => self.write_old(&mut out),
        }
        out
    }

    fn write_command(&self, out: &mut Vec<u8>, name: &str) {
        write(out, &format!("command={name}"));
        for capability in &self.capabilities {
            write(out, capability);
        }
        out.put_slice(pkt::DELIMITER);
        for line in &self.lines {
            write(out, &line.text());
        }
        out.put_slice(pkt::FLUSH);
    }

    fn write_old(&self, out: &mut Vec<u8>) {
        if self.lines.is_empty() {
            out.put_slice(pkt::FLUSH);
        }
        for (place, line) in self.lines.iter().enumerate() {
            if *line == Line::Flush {
                out.put_slice(pkt::FLUSH);
            } else if place == 0 && !self.capabilities.is_empty() {
                // What is chosen stands behind the first want.
                write(out, &format!("{} {}", line.text(), self.capabilities.join(" ")));
            } else {
                write(out, &line.text());
            }
        }
    }
}

fn write(out: &mut Vec<u8>, line: &str) {
    // Every line was a frame before, and is no longer now but for its line feed.
    let line = if line.len() < pkt::MAX_DATA { &format!("{line}\n") } else { line };
    pkt::write(out, line.as_bytes());
}

impl Line {
    fn text(&self) -> String {
        match self {
            Self::Want(oid) => format!("want {oid}"),
            Self::WantRef(name) => format!("want-ref {name}"),
            Self::Have(oid) => format!("have {oid}"),
            Self::Shallow(oid) => format!("shallow {oid}"),
            Self::Deepen(depth) => format!("deepen {depth}"),
            Self::DeepenSince(time) => format!("deepen-since {time}"),
            Self::DeepenNot(name) => format!("deepen-not {name}"),
            Self::RefPrefix(prefix) => format!("ref-prefix {prefix}"),
            Self::Flag(word) => (*word).to_owned(),
            Self::Done => "done".to_owned(),
            Self::Flush => String::new(),
        }
    }
}

/// Reads anything as a request; what is understood must survive being written and read again.
#[doc(hidden)]
pub fn fuzz_fetch(data: &[u8]) {
    let read = |data: &[u8]| {
        let mut parser = FetchParser::new(1 << 20);
        parser.feed(data)?;
        parser.finish()
    };
    if let Ok(request) = read(data) {
        assert_eq!(read(&request.write()), Ok(request));
    }
}

#[cfg(test)]
mod tests;
