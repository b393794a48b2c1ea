//! Secrets in blobs, found while they pass: layers are unpacked as they stream, and what is in them is looked through.
//!
//! Each blob has a thread of its own that is fed with its bytes and ends with a verdict; what feeds it waits for it.
//! What a blob is, its first bytes say, and not what anybody calls it. A blob that can't be looked through to its end
//! (it is damaged, or unpacks to more than is allowed) may hold anything, and its verdict says so.

mod content;
mod shares;
mod tar;

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
    thread,
};

use bytes::{Buf as _, Bytes};
use flate2::bufread::MultiGzDecoder;
use lockgate_core::access::Finding;
use lockgate_detect::{RuleSet, TagKey};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use self::{
    content::Look,
    shares::{Share, Shares},
};
use crate::{parse::name::Digest, recent::Recent};

/// Pieces of a blob that wait for its thread.
const WAITING: usize = 4;
/// Bytes that are unpacked at once.
const PIECE: usize = 64 << 10;
/// The window of zstd at most, as a power of two: 32 MiB.
const WINDOW: u32 = 25;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// The first of zstd's frames may be one to skip: any of sixteen.
const SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// What else engines unpack, and nothing here does: xz, bzip2, lz4 in frames and as it once was, lzip, 7z.
const OTHER: &[&[u8]] =
    &[b"\xfd7zX", b"BZh", b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18", b"LZIP", b"7z\xbc\xaf"];

/// What is looked for in blobs, and how far.
#[derive(Debug, Clone)]
pub struct ScanConfig {
    /// The rules. Default: the built-in ones.
    pub rules: RuleSet,
    /// The key of the tags.
    pub key: TagKey,
    /// Findings that are told of one blob; of more it is only said that there are. Default: 100.
    pub findings: usize,
    /// Bytes that one blob may unpack to. Default: 32 GiB.
    pub unpacked: u64,
    /// Bytes that one byte of a blob may unpack to, on average and once it has unpacked to [`ScanConfig::unpacked_freely`].
    /// Default: 200.
    pub expansion: u64,
    /// Bytes that any blob may unpack to, however short it is. Default: 1 GiB.
    pub unpacked_freely: u64,
    /// Blobs that are looked through at once. Default: 16.
    pub at_once: usize,
    /// And of those of one caller's. Default: 4.
    pub at_once_of_one: usize,
    /// Blobs whose verdicts are kept. Default: 20,000.
    pub verdicts: usize,
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            rules: RuleSet::builtin(),
            key: TagKey::new(b""),
            findings: 100,
            unpacked: 32 << 30,
            expansion: 200,
            unpacked_freely: 1 << 30,
            at_once: 16,
            at_once_of_one: 4,
            verdicts: 20_000,
        }
    }
}

/// What was found in a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The secrets.
    pub findings: Vec<Finding>,
    /// How many more there are or may be, at least: one where it could not be looked through.
    pub further: u64,
}

/// Looks through blobs, and remembers what it found.
#[derive(Debug, Clone)]
pub struct Scans {
    config: Arc<ScanConfig>,
    places: Arc<Semaphore>,
    /// Of blobs that are read for this: none of them can be left lying.
    read: Arc<Semaphore>,
    known: Arc<Recent<Digest, Arc<Verdict>>>,
    shares: Arc<Shares>,
    /// Of the caller that these are for.
    share: Option<Arc<Share>>,
}

/// A blob's place among those that are looked through, and in its caller's share of them.
struct Held {
    _place: OwnedSemaphorePermit,
    _own: Option<(OwnedSemaphorePermit, Arc<Share>)>,
}

/// A blob that is being looked through.
pub struct Feed {
    pieces: mpsc::Sender<Bytes>,
    verdict: oneshot::Receiver<Verdict>,
}

impl Scans {
    /// By these rules.
    pub fn new(config: ScanConfig) -> Self {
        let places = Arc::new(Semaphore::new(config.at_once));
        let read = Arc::new(Semaphore::new(config.at_once));
        let known = Arc::new(Recent::new(config.verdicts));
        let shares = Arc::new(Shares::new(config.at_once_of_one));
        Self { config: Arc::new(config), places, read, known, shares, share: None }
    }

    /// The same for one caller, who has no more than a share of the places.
    #[must_use]
    pub fn of(&self, caller: &str) -> Self {
        Self { share: Some(self.shares.of(caller)), ..self.clone() }
    }

    /// Begins with a blob that somebody sends, who may stop: if there is a place for it.
    pub fn try_begin(&self) -> Option<Feed> {
        let own = match &self.share {
            Some(share) => Some((Arc::clone(&share.places).try_acquire_owned().ok()?, Arc::clone(share))),
            None => None,
        };
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.start(Held { _place: place, _own: own })
    }

    /// Begins with a blob that is read for this, once there is a place for it.
    pub async fn begin(&self) -> Option<Feed> {
        // The own place first: who waits for that keeps nothing from others.
        let own = match &self.share {
            Some(share) => Some((Arc::clone(&share.read).acquire_owned().await.ok()?, Arc::clone(share))),
            None => None,
        };
        let place = Arc::clone(&self.read).acquire_owned().await.ok()?;
        self.start(Held { _place: place, _own: own })
    }

    fn start(&self, place: Held) -> Option<Feed> {
        let (pieces, waiting) = mpsc::channel(WAITING);
        let (told, verdict) = oneshot::channel();
        let config = Arc::clone(&self.config);
        let scan = move || {
            let verdict = look(Pieces { waiting, current: Bytes::new() }, &config);
            drop(place);
            // Nobody may want to know any more.
            drop(told.send(verdict));
        };
        thread::Builder::new().name("scan".to_owned()).spawn(scan).ok()?;
        Some(Feed { pieces, verdict })
    }

    /// What was found in a blob, if that is known.
    pub fn known(&self, digest: &Digest) -> Option<Arc<Verdict>> {
        self.known.get(digest)
    }

    /// Remembers what was found in a blob, which must have this digest.
    pub fn remember(&self, digest: Digest, verdict: Verdict) -> Arc<Verdict> {
        let verdict = Arc::new(verdict);
        self.known.put(digest, Arc::clone(&verdict));
        verdict
    }

    /// Looks through a text that is all there.
    pub fn text(&self, bytes: &[u8]) -> Verdict {
        look(bytes, &self.config)
    }

    /// What is looked for.
    pub fn config(&self) -> &ScanConfig {
        &self.config
    }
}

impl Feed {
    /// Takes the next bytes; waits while there are too many.
    pub async fn push(&self, bytes: Bytes) {
        // A thread that ended early has its verdict.
        drop(self.pieces.send(bytes).await);
    }

    /// The verdict on all.
    pub async fn finish(self) -> Verdict {
        drop(self.pieces);
        self.verdict.await.unwrap_or_else(|_| Verdict::unknown())
    }
}

impl Verdict {
    /// Of what could not be looked through.
    pub fn unknown() -> Self {
        Self { findings: Vec::new(), further: 1 }
    }
}

/// The bytes of a blob as they come; for blocking code.
struct Pieces {
    waiting: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.waiting.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let length = self.current.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.current[..length]);
        self.current.advance(length);
        Ok(length)
    }
}

/// Looks through a blob to its end.
pub fn look(blob: impl Read, config: &ScanConfig) -> Verdict {
    let mut look = Look::new(config);
    let read = Cell::new(0);
    let mut blob = BufReader::with_capacity(PIECE, Counted { blob, read: &read });
    let limit = |unpacked: u64| {
        let expanded = read.get().saturating_mul(config.expansion).max(config.unpacked_freely);
        unpacked <= config.unpacked.min(expanded)
    };
    let through = unpack(&mut blob, limit, |bytes| look.push(bytes));
    // Whoever sends it is not kept waiting by what can't be read.
    let drained = io::copy(&mut blob, &mut io::sink());
    look.finish(through.is_ok() && drained.is_ok())
}

/// Counts the bytes of a blob as they are read.
struct Counted<'a, R> {
    blob: R,
    read: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.blob.read(buffer)?;
        self.read.set(self.read.get().saturating_add(length as u64));
        Ok(length)
    }
}

/// Unpacks a blob while `may` says that it may unpack to so many bytes.
fn unpack(blob: &mut impl BufRead, may: impl Fn(u64) -> bool, see: impl FnMut(&[u8])) -> io::Result<()> {
    let mut begin = [0; 4];
    let mut length = 0;
    while length < begin.len() {
        match blob.read(&mut begin[length..])? {
            0 => break,
            read => length += read,
        }
    }
    let begin = &begin[..length];
    let whole = Read::chain(begin, blob);
    if begin.starts_with(GZIP) {
        return through(MultiGzDecoder::new(whole), may, see);
    }
    let is_skippable = begin.first().is_some_and(|byte| byte & 0xf0 == 0x50) && begin.ends_with(SKIPPABLE);
    if begin == ZSTD || is_skippable {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
        decoder.window_log_max(WINDOW)?;
        return through(decoder, may, see);
    }
    if OTHER.iter().any(|other| begin.starts_with(other)) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    through(whole, may, see)
}

fn through(mut content: impl Read, may: impl Fn(u64) -> bool, mut see: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut buffer, mut unpacked) = (vec![0; PIECE], 0u64);
    loop {
        let length = content.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        unpacked = unpacked.saturating_add(length as u64);
        if !may(unpacked) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        see(&buffer[..length]);
    }
}

#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let config = ScanConfig { unpacked: 16 << 20, ..ScanConfig::default() };
    let (whole, slow) = (look(bytes, &config), look(Slowly(bytes), &config));
    assert_eq!(slow.further, whole.further, "what could not be looked at is known however it comes");
    // How much of a damaged one is unpacked before the damage is seen is up to its decoder.
    if whole.further == 0 {
        assert_eq!(slow, whole, "the same however it comes");
    }
}

/// A reader that gives few bytes at once.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.0.len().min(buffer.len()).min(7);
        self.0.read(&mut buffer[..length])
    }
}

#[cfg(test)]
mod tests;
