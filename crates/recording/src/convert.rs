//! The one door between the domain and its protobuf form.

mod end;

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

pub(crate) use self::end::{closed_from_proto, closed_to_proto};
use self::end::{outcome_from_proto, outcome_to_proto};
use crate::{
    error::RecordError,
    event::{
        Closed, Direction, Event, ExchangeOpened, Field, FieldValue, Principal, RequestHead, ResponseHead,
    },
    format::{builder::PIECE_MAX, frame::CHUNK_MAX},
    generated::v1::{self, field::Value, record},
    recorder::repeats::Place,
};

/// The most that a text (an access, a verdict, a note) may hold.
pub(crate) const TEXT_MAX: usize = 16 << 20;

/// An event on its way to the writer: whole, or to be cut into pieces that fit a chunk.
#[derive(Debug)]
pub(crate) enum Payload {
    Whole(Box<record::Event>),
    Octets { stream: Stream, data: Bytes },
    Text { kind: TextKind, text: Bytes },
}

/// Which stream of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Body(Direction),
    Channel(u32, Direction),
}

impl Stream {
    pub(crate) fn direction(self) -> Direction {
        match self {
            Self::Body(direction) | Self::Channel(_, direction) => direction,
        }
    }

    pub(crate) fn record(self, data: Bytes) -> record::Event {
        match self {
            Self::Body(Direction::Request) => record::Event::RequestData(v1::Data { data }),
            Self::Body(Direction::Response) => record::Event::ResponseData(v1::Data { data }),
            Self::Channel(channel, direction) => record::Event::ChannelData(v1::ChannelData {
                channel,
                direction: direction_to_proto(direction).into(),
                data,
            }),
        }
    }
}

/// Which text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    Access,
    Verdict,
    Approval,
    Note(String),
}

impl TextKind {
    pub(crate) fn record(&self, text: Bytes, more: bool) -> record::Event {
        let text = v1::Text { text, more };
        match self {
            Self::Access => record::Event::Access(text),
            Self::Verdict => record::Event::Verdict(text),
            Self::Approval => record::Event::Approval(text),
            Self::Note(kind) => record::Event::Note(v1::Note { kind: kind.clone(), text: Some(text) }),
        }
    }

    /// The event that this text is, once it is whole.
    pub(crate) fn event(self, text: String) -> Event {
        match self {
            Self::Access => Event::Access(text),
            Self::Verdict => Event::Verdict(text),
            Self::Approval => Event::Approval(text),
            Self::Note(kind) => Event::Note { kind, text },
        }
    }
}

impl Payload {
    /// How much of the queue it takes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Whole(event) => event.encoded_len(),
            Self::Octets { data, .. } => data.len(),
            Self::Text { text, .. } => text.len(),
        }
    }
}

impl TryFrom<Event> for Payload {
    type Error = RecordError;

    fn try_from(event: Event) -> Result<Self, RecordError> {
        use record::Event as P;
        let octets = |stream, data| Ok(Self::Octets { stream, data });
        match event {
            Event::RequestHead(head) => whole("a request head", P::RequestHead(head.into())),
            Event::ResponseHead(head) => whole("a response head", P::ResponseHead(head.into())),
            Event::RequestData(data) => octets(Stream::Body(Direction::Request), data),
            Event::ResponseData(data) => octets(Stream::Body(Direction::Response), data),
            Event::RequestTrailers(fields) => whole("trailers", P::RequestTrailers(trailers(fields))),
            Event::ResponseTrailers(fields) => whole("trailers", P::ResponseTrailers(trailers(fields))),
            Event::RequestEnd => whole("a mark", P::RequestEnd(v1::Mark {})),
            Event::ResponseEnd { outcome } => {
                let (outcome, reason) = outcome_to_proto(outcome);
                whole(
                    "the end of a response",
                    P::ResponseEnd(v1::ResponseEnd { outcome: outcome.into(), reason }),
                )
            }
            Event::Access(json) => text(TextKind::Access, json),
            Event::Verdict(json) => text(TextKind::Verdict, json),
            Event::Approval(json) => text(TextKind::Approval, json),
            Event::Forwarded => whole("a mark", P::Forwarded(v1::Mark {})),
            Event::ChannelData { channel, direction, data } => {
                octets(Stream::Channel(channel, direction), data)
            }
            Event::Note { kind, text: note } => {
                limit("the kind of a note", kind.len(), 256)?;
                text(TextKind::Note(kind), note)
            }
            Event::Gap { reason } => whole("the reason of a gap", P::Gap(v1::Gap { reason })),
        }
    }
}

fn whole(what: &'static str, event: record::Event) -> Result<Payload, RecordError> {
    limit(what, event.encoded_len(), PIECE_MAX)?;
    Ok(Payload::Whole(Box::new(event)))
}

fn text(kind: TextKind, text: String) -> Result<Payload, RecordError> {
    limit("a text", text.len(), TEXT_MAX)?;
    Ok(Payload::Text { kind, text: Bytes::from(text) })
}

fn limit(what: &'static str, size: usize, limit: usize) -> Result<(), RecordError> {
    if size <= limit { Ok(()) } else { Err(RecordError::TooLarge { what, size, limit }) }
}

/// The longest name of a session.
const SESSION_MAX: usize = 512;

/// Checks that an exchange can be opened like this.
pub(crate) fn opened_to_proto(opened: ExchangeOpened) -> Result<v1::Opened, RecordError> {
    limit("the id of a session", opened.session.len(), SESSION_MAX)?;
    let opened = v1::Opened {
        session: opened.session,
        principal: Some(v1::Principal {
            issuer: opened.principal.issuer,
            subject: opened.principal.subject,
            groups: opened.principal.groups,
            name: opened.principal.name,
        }),
        upstream: opened.upstream,
        protocol: opened.protocol,
        peer: opened.peer,
        started_micros: opened.started_micros,
        action: opened.action.unwrap_or_default(),
    };
    limit("the opening of an exchange", opened.encoded_len(), PIECE_MAX)?;
    Ok(opened)
}

pub(crate) fn opened_from_proto(exchange: Uuid, opened: v1::Opened) -> ExchangeOpened {
    let principal = opened.principal.unwrap_or_default();
    ExchangeOpened {
        exchange,
        session: opened.session,
        principal: Principal {
            issuer: principal.issuer,
            subject: principal.subject,
            groups: principal.groups,
            name: principal.name,
        },
        upstream: opened.upstream,
        protocol: opened.protocol,
        peer: opened.peer,
        started_micros: opened.started_micros,
        action: Some(opened.action).filter(|action| !action.is_empty()),
    }
}

/// What a record of an exchange says, on its way out.
#[derive(Debug)]
pub(crate) enum Decoded {
    Opened(ExchangeOpened),
    /// Only tells that the exchange was opened in an earlier bundle.
    Continued,
    Event(Event),
    Octets(Stream, Bytes),
    Text {
        kind: TextKind,
        text: Bytes,
        more: bool,
    },
    Closed(Closed),
    /// Octets that are to be found elsewhere.
    Repeat,
    /// Written by a newer version.
    Unknown,
}

/// Turns the event of a record of `exchange` into what it says.
pub(crate) fn decode(exchange: Uuid, event: Option<record::Event>) -> Result<Decoded, &'static str> {
    use record::Event as P;
    let Some(event) = event else { return Ok(Decoded::Unknown) };
    let text = |kind, text: v1::Text| Ok(Decoded::Text { kind, text: text.text, more: text.more });
    Ok(match event {
        P::Opened(opened) => Decoded::Opened(opened_from_proto(exchange, opened)),
        P::Continued(_) => Decoded::Continued,
        P::RequestHead(head) => Decoded::Event(Event::RequestHead(head.try_into()?)),
        P::ResponseHead(head) => Decoded::Event(Event::ResponseHead(head.try_into()?)),
        P::RequestData(data) => Decoded::Octets(Stream::Body(Direction::Request), data.data),
        P::ResponseData(data) => Decoded::Octets(Stream::Body(Direction::Response), data.data),
        P::RequestTrailers(trailers) => {
            Decoded::Event(Event::RequestTrailers(fields_from_proto(trailers.fields)?))
        }
        P::ResponseTrailers(trailers) => {
            Decoded::Event(Event::ResponseTrailers(fields_from_proto(trailers.fields)?))
        }
        P::RequestEnd(_) => Decoded::Event(Event::RequestEnd),
        P::ResponseEnd(end) => {
            let outcome = outcome_from_proto(end.outcome(), end.reason);
            Decoded::Event(Event::ResponseEnd { outcome })
        }
        P::Access(access) => return text(TextKind::Access, access),
        P::Verdict(verdict) => return text(TextKind::Verdict, verdict),
        P::Approval(approval) => return text(TextKind::Approval, approval),
        P::Forwarded(_) => Decoded::Event(Event::Forwarded),
        P::ChannelData(channel) => {
            let direction = direction_from_proto(channel.direction())?;
            Decoded::Octets(Stream::Channel(channel.channel, direction), channel.data)
        }
        P::Note(note) => return text(TextKind::Note(note.kind), note.text.unwrap_or_default()),
        P::Gap(gap) => Decoded::Event(Event::Gap { reason: gap.reason }),
        P::Closed(closed) => Decoded::Closed(closed_from_proto(closed)?),
        P::Sealed(_) => return Err("a seal inside an exchange"),
        P::Repeat(_) => Decoded::Repeat,
    })
}

/// The event that a piece of octets is.
pub(crate) fn octets_event(stream: Stream, data: Bytes) -> Event {
    match stream {
        Stream::Body(Direction::Request) => Event::RequestData(data),
        Stream::Body(Direction::Response) => Event::ResponseData(data),
        Stream::Channel(channel, direction) => Event::ChannelData { channel, direction, data },
    }
}

impl From<RequestHead> for v1::RequestHead {
    fn from(head: RequestHead) -> Self {
        let fields = fields_to_proto(head.fields);
        Self { method: head.method, target: head.target, version: head.version, fields }
    }
}

impl TryFrom<v1::RequestHead> for RequestHead {
    type Error = &'static str;

    fn try_from(head: v1::RequestHead) -> Result<Self, Self::Error> {
        let fields = fields_from_proto(head.fields)?;
        Ok(Self { method: head.method, target: head.target, version: head.version, fields })
    }
}

impl From<ResponseHead> for v1::ResponseHead {
    fn from(head: ResponseHead) -> Self {
        Self { status: head.status.into(), version: head.version, fields: fields_to_proto(head.fields) }
    }
}

impl TryFrom<v1::ResponseHead> for ResponseHead {
    type Error = &'static str;

    fn try_from(head: v1::ResponseHead) -> Result<Self, Self::Error> {
        let status = head.status.try_into().map_err(|_| "a status that is no HTTP status")?;
        Ok(Self { status, version: head.version, fields: fields_from_proto(head.fields)? })
    }
}

fn trailers(fields: Vec<Field>) -> v1::Trailers {
    v1::Trailers { fields: fields_to_proto(fields) }
}

fn fields_to_proto(fields: Vec<Field>) -> Vec<v1::Field> {
    let value = |value| match value {
        FieldValue::Exact(value) => Value::Exact(value),
        FieldValue::Redacted { tag, length } => {
            Value::Redacted(v1::Redacted { tag: Bytes::copy_from_slice(&tag), length })
        }
    };
    fields.into_iter().map(|field| v1::Field { name: field.name, value: Some(value(field.value)) }).collect()
}

fn fields_from_proto(fields: Vec<v1::Field>) -> Result<Vec<Field>, &'static str> {
    let value = |value| match value {
        Some(Value::Exact(value)) => Ok(FieldValue::Exact(value)),
        Some(Value::Redacted(redacted)) => {
            let tag = redacted.tag[..].try_into().map_err(|_| "a tag of the wrong length")?;
            Ok(FieldValue::Redacted { tag, length: redacted.length })
        }
        None => Err("a field without a value"),
    };
    fields.into_iter().map(|field| Ok(Field { name: field.name, value: value(field.value)? })).collect()
}

/// A record of octets that stand elsewhere.
pub(crate) fn repeat_to_proto(direction: Direction, place: Place, length: u64) -> v1::Repeat {
    v1::Repeat {
        direction: direction_to_proto(direction).into(),
        bundle: Bytes::copy_from_slice(place.bundle.as_bytes()),
        exchange: Bytes::copy_from_slice(place.exchange.as_bytes()),
        sequence: place.sequence,
        length: u32::try_from(length).expect("a segment is far below 4 GiB"),
    }
}

/// Which octets stand where: their direction, their place, their length.
pub(crate) fn repeat_from_proto(repeat: &v1::Repeat) -> Result<(Direction, Place, usize), &'static str> {
    let id = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| "an id of the wrong length");
    let (bundle, exchange) = (id(&repeat.bundle)?, id(&repeat.exchange)?);
    let length = repeat.length as usize;
    if length == 0 || length > CHUNK_MAX {
        return Err("a repeat of an impossible length");
    }
    let place = Place { bundle, exchange, sequence: repeat.sequence };
    Ok((direction_from_proto(repeat.direction())?, place, length))
}

fn direction_to_proto(direction: Direction) -> v1::Direction {
    match direction {
        Direction::Request => v1::Direction::Request,
        Direction::Response => v1::Direction::Response,
    }
}

fn direction_from_proto(direction: v1::Direction) -> Result<Direction, &'static str> {
    match direction {
        v1::Direction::Request => Ok(Direction::Request),
        v1::Direction::Response => Ok(Direction::Response),
        v1::Direction::Unspecified => Err("a direction that does not exist"),
    }
}
