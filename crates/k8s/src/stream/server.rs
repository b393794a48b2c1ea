//! The upstream's direction: as it is, or masked.

use std::collections::BTreeMap;

use bytes::Bytes;
use lockgate_detect::Masker;

use super::{
    Channel, Fault, Maskers, Purpose, StreamError, Upgrade,
    out::Out,
    reader::{Reader, Seen},
    streams::Shared,
};

/// How much of a channel is gathered before it is written.
const GATHERED: usize = 32 << 10;
/// From how many lines on those are looked for that are over: more than WebSocket has channels.
const MANY: usize = 512;

/// Reads what the upstream sends, and writes what the client may see of it.
#[derive(Debug)]
pub struct ServerHalf {
    reader: Reader,
    masking: Option<Masking>,
    out: Out,
}

impl ServerHalf {
    pub(super) fn new(reader: Reader, upgrade: &Upgrade, maskers: Option<Maskers>, shared: Shared) -> Self {
        let greets = matches!(upgrade.purpose, Purpose::Forward(_));
        let masking = maskers.map(|maskers| Masking::new(maskers, greets, shared));
        Self { reader, masking, out: Out::new(upgrade.transport) }
    }

    /// Takes the next bytes; what may be seen of them is there to [`ServerHalf::take`], also where they have a fault.
    ///
    /// # Errors
    /// [`StreamError`]; the stream is over.
    pub fn push(&mut self, input: &[u8]) -> Result<(), StreamError> {
        let out = &mut self.out;
        let read = match &mut self.masking {
            Some(masking) => {
                let read = self.reader.read(input, &mut |seen| {
                    masking.take(seen, out);
                    Ok(())
                });
                masking.pause(out);
                read
            }
            None => {
                let read = self.reader.read(input, &mut |_| Ok(()));
                if read.is_ok() {
                    out.pass(input);
                }
                read
            }
        };
        read.map_err(|fault| self.error(fault))
    }

    /// What is to be sent to the client next.
    pub fn take(&mut self) -> Option<Bytes> {
        self.out.take()
    }

    /// Whether bytes are held back because they could begin a secret.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.masking.as_ref().is_some_and(Masking::is_holding)
    }

    /// Lets go of what is held and not confirmed to be a secret: for when the upstream has been silent for a while,
    /// and a person may be waiting for the rest of a line.
    pub fn idle(&mut self) {
        if let Some(masking) = &mut self.masking {
            masking.idle(&mut self.out);
        }
    }

    /// The upstream has sent all; lets go of everything that is held.
    ///
    /// # Errors
    /// [`StreamError`] where that is within a frame.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        if let Some(masking) = &mut self.masking {
            masking.settle_all(&mut self.out);
        }
        self.reader.finish().map_err(|fault| self.error(fault))
    }

    /// How many secrets were masked.
    #[must_use]
    pub fn masked(&self) -> u64 {
        self.masking.as_ref().map_or(0, Masking::masked)
    }

    fn error(&self, fault: Fault) -> StreamError {
        StreamError { at_fault: self.reader.sender(), fault }
    }
}

/// The maskers of all channels, and the bytes that are on their way through them.
struct Masking {
    maskers: Maskers,
    /// Whether the first message of a channel is its port, which clients take apart.
    greets: bool,
    shared: Shared,
    lines: BTreeMap<u32, Line>,
    /// Of whom bytes were gathered.
    current: Option<u32>,
    gathered: Vec<u8>,
    /// The message that is being read, where messages keep their beginning and end.
    whole: Option<u32>,
    is_empty: bool,
    /// By maskers that are gone.
    masked: u64,
}

/// A channel or a stream.
struct Line {
    channel: Channel,
    masker: Option<Masker>,
    /// The message that is being read passes as it is.
    is_greeting: bool,
}

impl Line {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.masker {
            Some(masker) if !self.is_greeting => masker.push(bytes, out),
            Some(_) | None => out.extend_from_slice(bytes),
        }
    }

    fn holds(&self) -> bool {
        self.masker.as_ref().is_some_and(Masker::is_holding)
    }
}

impl Masking {
    fn new(maskers: Maskers, greets: bool, shared: Shared) -> Self {
        Self {
            maskers,
            greets,
            shared,
            lines: BTreeMap::new(),
            current: None,
            gathered: Vec::new(),
            whole: None,
            is_empty: false,
            masked: 0,
        }
    }

    fn take(&mut self, seen: Seen<'_>, out: &mut Out) {
        match seen {
            Seen::Begin { id, channel } => self.begin(id, channel, out),
            Seen::Bytes { id, channel, bytes } => self.bytes(id, channel, bytes, out),
            Seen::End { id, .. } => self.end(id, out),
            Seen::Finished { id, .. } => self.finished(id, out),
            Seen::Settle(Some(id)) => {
                self.pause(out);
                self.settle(id, out);
                self.forget(|line, _| line != id);
            }
            Seen::Settle(None) => self.settle_all(out),
            Seen::Carrier { opcode, payload } => {
                self.pause(out);
                out.carrier(opcode, payload);
            }
            Seen::Raw(frame) => {
                self.pause(out);
                out.raw(frame);
            }
            Seen::Empty => {
                self.pause(out);
                out.empty();
            }
            // Only clients open streams.
            Seen::Opened { .. } => {}
        }
    }

    fn begin(&mut self, id: u32, channel: Channel, out: &mut Out) {
        self.turn_to(id, channel, out);
        let greets = self.greets;
        let is_new = !self.lines.contains_key(&id);
        let line = self.line(id, channel);
        line.is_greeting = greets && is_new;
        // Who reads a whole `Status`, or a port, of one message, must find it in one.
        let is_whole = line.masker.is_none() || line.is_greeting || channel.is_error();
        if is_whole {
            self.pause(out);
            self.whole = Some(id);
        }
        self.is_empty = true;
    }

    fn bytes(&mut self, id: u32, channel: Channel, bytes: &[u8], out: &mut Out) {
        self.turn_to(id, channel, out);
        self.is_empty = false;
        let mut gathered = std::mem::take(&mut self.gathered);
        self.line(id, channel).push(bytes, &mut gathered);
        self.gathered = gathered;
        if self.gathered.len() >= GATHERED {
            self.write(id, out);
        }
    }

    fn end(&mut self, id: u32, out: &mut Out) {
        if self.whole.take().is_some() {
            if let Some(masker) = self.lines.get_mut(&id).and_then(|line| line.masker.as_mut()) {
                masker.finish(&mut self.gathered);
            }
            out.frame(id, &self.gathered, true);
            self.gathered.clear();
            self.current = None;
        } else if self.is_empty {
            // As the API server sends one when a stream is there.
            self.pause(out);
            out.frame(id, &[], true);
        }
    }

    fn finished(&mut self, id: u32, out: &mut Out) {
        if self.current != Some(id) {
            self.pause(out);
        }
        if let Some(masker) = self.lines.get_mut(&id).and_then(|line| line.masker.as_mut()) {
            masker.finish(&mut self.gathered);
        }
        self.forget(|line, _| line != id);
        out.last(id, &self.gathered);
        self.gathered.clear();
        self.current = None;
    }

    /// What comes next is of this line: what was gathered of another goes before it, and if it says what became of
    /// others, all that is held of them.
    fn turn_to(&mut self, id: u32, channel: Channel, out: &mut Out) {
        if self.current != Some(id) {
            self.pause(out);
            self.current = Some(id);
        }
        if channel.is_error() {
            let others = self.lines.iter().filter(|(other, line)| {
                **other != id && line.holds() && line.channel.port() == channel.port()
            });
            let others: Vec<u32> = others.map(|(other, _)| *other).collect();
            others.into_iter().for_each(|other| self.settle(other, out));
        }
    }

    /// Writes what was gathered, so that other frames can follow.
    fn pause(&mut self, out: &mut Out) {
        let Some(id) = self.current.take() else { return };
        if let Some(masker) = self.lines.get_mut(&id).and_then(|line| line.masker.as_mut()) {
            masker.flush(&mut self.gathered);
        }
        self.write(id, out);
        self.current = self.whole;
    }

    fn write(&mut self, id: u32, out: &mut Out) {
        if self.gathered.is_empty() {
            return;
        }
        if self.whole.is_some() {
            out.frame(id, &self.gathered, false);
        } else {
            out.bytes(id, &self.gathered);
        }
        self.gathered.clear();
    }

    fn settle_all(&mut self, out: &mut Out) {
        self.pause(out);
        if let Some(id) = self.whole {
            // The message is cut off; what is held of others could not be sent within it.
            self.end(id, out);
        }
        let all: Vec<u32> = self.lines.keys().copied().collect();
        all.into_iter().for_each(|id| self.settle(id, out));
    }

    /// Writes all that is held of a line. Nothing is gathered now, and no message is open.
    fn settle(&mut self, id: u32, out: &mut Out) {
        if let Some(masker) = self.lines.get_mut(&id).and_then(|line| line.masker.as_mut()) {
            let mut rest = Vec::new();
            masker.finish(&mut rest);
            if !rest.is_empty() {
                out.bytes(id, &rest);
            }
        }
    }

    fn idle(&mut self, out: &mut Out) {
        self.pause(out);
        for (id, line) in &mut self.lines {
            // Within a message of another channel there is no place for these bytes.
            let is_free = self.whole.is_none_or(|whole| whole == *id);
            if is_free && let Some(masker) = &mut line.masker {
                let mut freed = Vec::new();
                masker.idle(&mut freed);
                if freed.is_empty() {
                    continue;
                }
                if self.whole.is_some() {
                    out.frame(*id, &freed, false);
                } else {
                    out.bytes(*id, &freed);
                }
            }
        }
    }

    fn is_holding(&self) -> bool {
        self.lines.values().any(Line::holds)
    }

    fn masked(&self) -> u64 {
        self.lines.values().filter_map(|line| line.masker.as_ref()).map(Masker::found).sum::<u64>()
            + self.masked
    }

    /// Drops the lines of which nothing comes any more.
    fn forget(&mut self, stays: impl Fn(u32, &Shared) -> bool) {
        let (shared, masked) = (&self.shared, &mut self.masked);
        self.lines.retain(|id, line| {
            let stays = stays(*id, shared);
            if !stays {
                *masked += line.masker.as_ref().map_or(0, Masker::found);
            }
            stays
        });
    }

    fn line(&mut self, id: u32, channel: Channel) -> &mut Line {
        // What the client has reset, the upstream may never end. Channels of WebSocket are fewer.
        if self.lines.len() >= MANY && !self.lines.contains_key(&id) {
            self.forget(|line, shared| shared.knows(line));
        }
        let maskers = &mut self.maskers;
        self.lines.entry(id).or_insert_with(|| Line { channel, masker: maskers(channel), is_greeting: false })
    }
}

impl std::fmt::Debug for Masking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masking").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}
