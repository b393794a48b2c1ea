//! What a recorded push was: its updates and commits from the request, and what became of each ref from
//! the response.
//!
//! For showing recordings, whose bytes may be cut short or refused ones: what can be read is returned.
//! Memory is bounded; a pack is kept in a temporary file while it is read.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, Read, Write as _},
    ops::ControlFlow,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use flate2::read::MultiGzDecoder;

use crate::{
    config::Config,
    oid::{ObjectFormat, Oid},
    pack::{self, Budget, Commit, Event, PackError, Source},
    parse::{Command, ParseError, Progress, PushParser, PushRequest},
    pkt::{Band, Packet, Packets, PktError},
    refname::printable,
};

/// Commits that are described of one push.
const COMMITS: usize = 1000;
/// How long a pack may be read for.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of a response that are kept.
const RESULT: usize = 16 << 20;
const PIECE: usize = 64 * 1024;
/// Bytes that a gzip-encoded request is decoded to. git encodes only what it holds in memory, a megabyte.
const GUNZIPPED: u64 = 256 << 20;

/// A push, from its request.
#[derive(Debug)]
pub struct PushDescription {
    /// The ref updates, options and capabilities.
    pub request: PushRequest,
    /// The commits of its pack, in the pack's order: the newest first, as git writes them.
    pub commits: Vec<Commit>,
    /// Why there may be more commits than those.
    pub incomplete: Option<PackError>,
}

/// What the updates of a push bring, as far as its pack tells.
#[derive(Debug, Default)]
pub struct Brought<'a> {
    /// Commits that an update leads to.
    pub commits: Vec<&'a Commit>,
    /// Commits that are in the pack, and that no update leads to.
    pub unreached: Vec<&'a Commit>,
    /// Updates whose new tip is no commit of the pack: the upstream has it already, or it is a tag.
    pub elsewhere: Vec<&'a Command>,
}

impl PushDescription {
    /// Follows the updates through the pack: what merely lies in it is not what they bring.
    pub fn brought(&self) -> Brought<'_> {
        let by_name: HashMap<Oid, &Commit> = self.commits.iter().map(|commit| (commit.oid, commit)).collect();
        let tips = self.request.commands.iter().filter(|command| !command.new.is_null());
        let (inside, elsewhere): (Vec<_>, Vec<_>) =
            tips.partition(|command| by_name.contains_key(&command.new));
        let mut next: Vec<Oid> = inside.iter().map(|command| command.new).collect();
        let mut reached = HashSet::new();
        while let Some(name) = next.pop() {
            if let Some(commit) = by_name.get(&name)
                && reached.insert(name)
            {
                next.extend(&commit.parents);
            }
        }
        let (commits, unreached) = self.commits.iter().partition(|commit| reached.contains(&commit.oid));
        Brought { commits, unreached, elsewhere }
    }
}

/// What became of a push, from its response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushResult {
    /// Whether the pack was taken: `ok`, or why it was not. Empty where nothing is said.
    pub unpack: String,
    /// What became of each ref.
    pub refs: Vec<RefResult>,
}

/// What became of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefResult {
    /// The ref.
    pub name: String,
    /// Why it was not updated; `None` where it was.
    pub refused: Option<String>,
}

/// Why a push can't be described.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The bytes, or the temporary file, can't be read or written.
    #[error("the push can't be read")]
    Io(#[from] io::Error),
    /// The client sent something else.
    #[error("the request is no push")]
    Request(#[from] ParseError),
    /// The upstream sent something else.
    #[error("the response is no report of a push")]
    Response(#[from] PktError),
    /// The client used another encoding.
    #[error("the request is encoded as {0}")]
    Encoding(String),
}

/// Describes a push from the body of its request, as the client sent it.
///
/// # Errors
/// [`ReportError`], where not even the ref updates can be read.
pub fn describe_push(
    body: impl Read,
    content_encoding: Option<&str>,
) -> Result<PushDescription, ReportError> {
    match content_encoding {
        None | Some("identity") => describe(body),
        Some("gzip" | "x-gzip") => describe(MultiGzDecoder::new(body).take(GUNZIPPED)),
        Some(other) => Err(ReportError::Encoding(other.to_owned())),
    }
}

/// Describes what became of a push from the body of its response.
///
/// # Errors
/// [`ReportError`].
pub fn describe_result(mut body: impl Read) -> Result<PushResult, ReportError> {
    let mut piece = vec![0; PIECE];
    let mut reader = ResultReader::default();
    let mut left = RESULT;
    loop {
        let read = body.read(&mut piece)?.min(left);
        if read == 0 {
            return Ok(reader.result);
        }
        left -= read;
        reader.feed(&piece[..read])?;
    }
}

fn describe(mut body: impl Read) -> Result<PushDescription, ReportError> {
    let limits = Config::default();
    let mut parser = PushParser::new(limits.commands, limits.section);
    let mut piece = vec![0; PIECE];
    let mut pack = None;
    loop {
        let read = body.read(&mut piece)?;
        if read == 0 {
            break;
        }
        let data = &piece[..read];
        match &mut pack {
            Some(file) => File::write_all(file, data)?,
            None => {
                if let Progress::Complete { consumed } = parser.feed(data)? {
                    let mut file = tempfile::tempfile()?;
                    file.write_all(&data[consumed..])?;
                    pack = Some(file);
                }
            }
        }
    }
    let request = parser.finish()?;
    let mut description = PushDescription { request, commits: Vec::new(), incomplete: None };
    if let (true, Some(file)) = (description.request.has_pack(), pack) {
        description.incomplete = description.read(&FilePack(file)).err();
    }
    Ok(description)
}

impl PushDescription {
    fn read(&mut self, pack: &FilePack) -> Result<(), PackError> {
        let format = self.request.format().unwrap_or(ObjectFormat::Sha1);
        let until = Instant::now() + TIME;
        // One more than is described, to know whether there are more.
        let budget = Budget::new(COMMITS + 1, until);
        let mut more = false;
        pack::scan(pack, format, &budget, |event| {
            if let Event::Commit(oid, content) = event {
                more = self.commits.len() == COMMITS;
                if more {
                    return ControlFlow::Break(());
                }
                self.commits.extend(Commit::parse(*oid, content));
            }
            ControlFlow::Continue(())
        })?;
        if more { Err(PackError::TooLarge("commits that are listed")) } else { Ok(()) }
    }
}

struct FilePack(File);

impl Source for FilePack {
    fn reader(&self, offset: u64) -> impl Read {
        FileReader { file: &self.0, offset }
    }
}

struct FileReader<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Reads a report, within the side-band or without.
#[derive(Default)]
struct ResultReader {
    outer: Packets,
    inner: Packets,
    result: PushResult,
}

impl ResultReader {
    fn feed(&mut self, data: &[u8]) -> Result<(), PktError> {
        let mut outer = std::mem::take(&mut self.outer);
        let mut rest = data;
        while let Some(packet) = outer.next(&mut rest)? {
            match packet {
                Packet::Data(data) => match Band::of(data) {
                    Some((Band::Data, report)) => self.banded(report)?,
                    Some((Band::Progress | Band::Error, _)) => {}
                    None => self.line(packet),
                },
                Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => {}
            }
        }
        self.outer = outer;
        Ok(())
    }

    fn banded(&mut self, report: &[u8]) -> Result<(), PktError> {
        let mut inner = std::mem::take(&mut self.inner);
        let mut rest = report;
        while let Some(packet) = inner.next(&mut rest)? {
            self.line(packet);
        }
        self.inner = inner;
        Ok(())
    }

    fn line(&mut self, packet: Packet<'_>) {
        let Some(line) = packet.line().map(|line| printable(&String::from_utf8_lossy(line))) else { return };
        match line.split_once(' ') {
            Some(("unpack", status)) => self.result.unpack = status.to_owned(),
            Some(("ok", name)) => self.result.refs.push(RefResult { name: name.to_owned(), refused: None }),
            Some(("ng", rest)) => {
                let (name, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                self.result.refs.push(RefResult { name: name.to_owned(), refused: Some(reason.to_owned()) });
            }
            // Options of report-status-v2 say how the ref above was really updated.
            Some(_) | None => {}
        }
    }
}

/// Reads anything as the two bodies of a push. For fuzzing.
#[doc(hidden)]
pub fn fuzz_report(bytes: &[u8]) {
    // Whether it is one does not matter here: only that reading ends, and without panic.
    let _ = describe_result(bytes);
    let _ = describe_push(bytes, None);
    let _ = describe_push(bytes, Some("gzip"));
}

#[cfg(test)]
mod tests;
