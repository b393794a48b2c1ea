//! The streams of a SPDY connection: the client opens them and says by headers what each is for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Channel, Fault, Purpose, reader::Seen};
use crate::parse::{
    side::Side,
    spdy::{Control, Decoder, Event, Headers, Limits},
};

/// The streams of a connection, known to both of its directions.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    forwards: bool,
    /// The channels of a command that were opened so far.
    opened: Vec<Channel>,
    streams: BTreeMap<u32, Stream>,
    limit: usize,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    channel: Channel,
    client: State,
    server: State,
}

/// What a side may still say on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Finished,
    /// It has ended the stream, which the other side may not know yet.
    Reset,
}

impl Stream {
    fn state(&mut self, side: Side) -> &mut State {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn is_reset(&self) -> bool {
        self.client == State::Reset || self.server == State::Reset
    }
}

impl Shared {
    pub(super) fn new(purpose: &Purpose, limit: usize) -> Self {
        let forwards = matches!(purpose, Purpose::Forward(_));
        let table = Table { forwards, opened: Vec::new(), streams: BTreeMap::new(), limit };
        Self(Arc::new(Mutex::new(table)))
    }

    /// Whether a stream is one on which something may still come.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.table().streams.contains_key(&id)
    }

    /// Every change of the table is made whole.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn open(&mut self, id: u32, headers: &Headers) -> Result<Channel, Fault> {
        let channel = channel(self.forwards, headers).ok_or(Fault::Opening(id))?;
        if !self.forwards {
            // Which of two the server takes is anybody's guess.
            if self.opened.contains(&channel) {
                return Err(Fault::Opening(id));
            }
            self.opened.push(channel);
        }
        if self.streams.len() >= self.limit {
            // A side that was told of a reset sends no end: the oldest of these are over.
            let over = self.streams.iter().find(|(_, stream)| stream.is_reset()).map(|(id, _)| *id);
            self.streams.remove(&over.ok_or(Fault::TooMany)?);
        }
        self.streams.insert(id, Stream { channel, client: State::Open, server: State::Open });
        Ok(channel)
    }

    /// The channel of a stream on which this side has not finished yet.
    fn channel(&mut self, side: Side, id: u32) -> Result<Channel, Fault> {
        let stream = self.streams.get_mut(&id).ok_or(Fault::Stream(id))?;
        if *stream.state(side) == State::Open { Ok(stream.channel) } else { Err(Fault::Stream(id)) }
    }

    fn end(&mut self, side: Side, id: u32, state: State) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        *stream.state(side) = state;
        if *stream.state(side.other()) != State::Open {
            self.streams.remove(&id);
        }
    }
}

/// What a stream is for, as the API server and the kubelet read it.
fn channel(forwards: bool, headers: &Headers) -> Option<Channel> {
    let kind = headers.get("streamtype")?;
    if forwards {
        let port = port(headers.get("port")?)?;
        return match kind {
            b"data" => Some(Channel::Data { port }),
            b"error" => Some(Channel::DataError { port }),
            _ => None,
        };
    }
    match kind {
        b"stdin" => Some(Channel::Stdin),
        b"stdout" => Some(Channel::Stdout),
        b"stderr" => Some(Channel::Stderr),
        b"error" => Some(Channel::Error),
        b"resize" => Some(Channel::Resize),
        _ => None,
    }
}

fn port(text: &[u8]) -> Option<u16> {
    let text =
        std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok().filter(|port| *port != 0)
}

/// Reads one direction of a SPDY connection.
#[derive(Debug)]
pub(super) struct Streams {
    sender: Side,
    decoder: Decoder,
    shared: Shared,
}

impl Streams {
    pub(super) fn new(sender: Side, limits: Limits, shared: Shared) -> Self {
        Self { sender, decoder: Decoder::new(sender, limits), shared }
    }

    pub(super) fn is_at_boundary(&self) -> bool {
        self.decoder.is_at_boundary()
    }

    pub(super) fn read(
        &mut self,
        input: &[u8],
        tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (sender, shared) = (self.sender, &self.shared);
        self.decoder.read(input, &mut |event| match event {
            Event::Control { control, raw } => read_control(sender, shared, &control, raw, tell),
            Event::Data { stream, bytes, fin } => read_data(sender, shared, stream, bytes, fin, tell),
        })
    }
}

fn read_control(
    sender: Side,
    shared: &Shared,
    control: &Control,
    raw: &[u8],
    tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    match control {
        Control::SynStream { stream, fin, unidirectional, headers } => {
            if sender == Side::Server {
                return Err(Fault::Opening(*stream));
            }
            let channel = shared.table().open(*stream, headers)?;
            tell(Seen::Opened { id: *stream, channel })?;
            for (ends, side) in [(fin, Side::Client), (unidirectional, Side::Server)] {
                if *ends {
                    shared.table().end(side, *stream, State::Finished);
                }
            }
            tell(Seen::Raw(raw))?;
            if *fin { tell(Seen::Finished { id: *stream, channel }) } else { Ok(()) }
        }
        Control::SynReply { stream, fin, .. } | Control::Headers { stream, fin, .. } => {
            if *fin {
                tell(Seen::Settle(Some(*stream)))?;
                shared.table().end(sender, *stream, State::Finished);
            }
            tell(Seen::Raw(raw))
        }
        Control::RstStream { stream, .. } => {
            tell(Seen::Settle(Some(*stream)))?;
            shared.table().end(sender, *stream, State::Reset);
            tell(Seen::Raw(raw))
        }
        Control::GoAway { .. } => {
            tell(Seen::Settle(None))?;
            tell(Seen::Raw(raw))
        }
        Control::Settings | Control::Ping(_) | Control::WindowUpdate { .. } => tell(Seen::Raw(raw)),
    }
}

fn read_data(
    sender: Side,
    shared: &Shared,
    id: u32,
    bytes: &[u8],
    fin: bool,
    tell: &mut impl FnMut(Seen<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let channel = shared.table().channel(sender, id)?;
    if !bytes.is_empty() {
        if !channel.is_sent_by(sender) {
            return Err(Fault::Stream(id));
        }
        tell(Seen::Bytes { id, channel, bytes })?;
    }
    if fin {
        shared.table().end(sender, id, State::Finished);
        tell(Seen::Finished { id, channel })?;
    }
    Ok(())
}
