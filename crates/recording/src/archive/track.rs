//! Follows one exchange through its records, in whatever bundles they come: that none is missing, that it has a
//! beginning and an end, that its octets are those that were digested.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::{
    convert::{self, Decoded, TEXT_MAX, TextKind},
    digests::Digests,
    event::{Closed, Direction, What},
    generated::v1::{Record, record::Event},
};

/// What can be wrong with an exchange.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeFault {
    /// Records are missing, or stand in another order.
    #[error("record {found} stands where record {expected} should")]
    Sequence {
        /// Which should come.
        expected: u64,
        /// Which came.
        found: u64,
    },
    /// The exchange does not begin with its opening, or has a second one.
    #[error("the beginning is missing or repeated")]
    Opening,
    /// The bundle says that the exchange goes on from another bundle than it does.
    #[error("the records before are not in the bundle {0} that is named")]
    Continuation(Uuid),
    /// The octets of a direction are not those that were digested at the end.
    #[error("the {0} does not match its digest")]
    Digest(Direction),
    /// There are records after the end.
    #[error("records follow the end")]
    AfterEnd,
    /// Octets that another exchange repeats do not stand where they should.
    #[error("octets that are repeated elsewhere are missing")]
    NotRepeated,
    /// A record says something impossible.
    #[error("a record is malformed: {0}")]
    Malformed(&'static str),
}

/// See the module.
pub(crate) struct Track {
    exchange: Uuid,
    session: String,
    next: u64,
    digests: Digests,
    text: Option<(TextKind, BytesMut)>,
    bundles: Vec<Uuid>,
    /// Some of its octets stand elsewhere, and were not looked at.
    repeats: bool,
    closed: bool,
}

impl Track {
    pub(crate) fn new(exchange: Uuid) -> Self {
        Self {
            exchange,
            session: String::new(),
            next: 0,
            digests: Digests::default(),
            text: None,
            bundles: Vec::new(),
            repeats: false,
            closed: false,
        }
    }

    /// The bundle that held the last record.
    pub(crate) fn bundle(&self) -> Uuid {
        self.bundles.last().copied().unwrap_or_default()
    }

    /// The bundles, in order, of an exchange some of whose octets stand elsewhere and were not looked at.
    pub(crate) fn into_repeating(self) -> Option<Vec<Uuid>> {
        self.repeats.then_some(self.bundles)
    }

    /// The session, as the opening has it.
    pub(crate) fn into_session(self) -> String {
        self.session
    }

    /// Whether the end has come.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes in the next record, which stands in `bundle`; gives what it says, if that is something whole.
    pub(crate) fn take(&mut self, bundle: Uuid, record: Record) -> Result<Option<What>, ExchangeFault> {
        if self.closed {
            return Err(ExchangeFault::AfterEnd);
        }
        if record.sequence != self.next {
            return Err(ExchangeFault::Sequence { expected: self.next, found: record.sequence });
        }
        self.next += 1;
        self.check_place(bundle, &record)?;
        if bundle != self.bundle() || self.bundles.is_empty() {
            self.bundles.push(bundle);
        }
        let decoded = convert::decode(self.exchange, record.event).map_err(ExchangeFault::Malformed)?;
        self.decoded(decoded)
    }

    fn check_place(&self, bundle: Uuid, record: &Record) -> Result<(), ExchangeFault> {
        let is_opening = matches!(record.event, Some(Event::Opened(_)));
        if is_opening != (record.sequence == 0) {
            return Err(ExchangeFault::Opening);
        }
        let continued = match &record.event {
            Some(Event::Continued(continued)) => Some(&continued.previous_bundle[..]),
            Some(_) | None => None,
        };
        let last = self.bundle();
        let expected = (!is_opening && bundle != last).then_some(&last.as_bytes()[..]);
        match (continued, expected) {
            (None, None) => Ok(()),
            (Some(named), Some(actual)) if named == actual => Ok(()),
            (named, _) => Err(ExchangeFault::Continuation(
                named.and_then(|named| Uuid::from_slice(named).ok()).unwrap_or_default(),
            )),
        }
    }

    fn decoded(&mut self, decoded: Decoded) -> Result<Option<What>, ExchangeFault> {
        Ok(match decoded {
            Decoded::Opened(opened) => {
                self.session.clone_from(&opened.session);
                Some(What::Opened(opened))
            }
            Decoded::Event(event) => Some(What::Event(event)),
            Decoded::Octets(stream, data) => {
                self.digests.update(stream.direction(), &data);
                Some(What::Event(convert::octets_event(stream, data)))
            }
            Decoded::Text { kind, text, more } => self.text(kind, text, more)?,
            Decoded::Closed(closed) => {
                self.check_digests(&closed)?;
                self.closed = true;
                Some(What::Closed(closed))
            }
            Decoded::Repeat => {
                self.repeats = true;
                None
            }
            Decoded::Continued | Decoded::Unknown => None,
        })
    }

    /// Puts the pieces of a text together.
    fn text(&mut self, kind: TextKind, piece: Bytes, more: bool) -> Result<Option<What>, ExchangeFault> {
        let (known, mut text) = self.text.take().unwrap_or_else(|| (kind.clone(), BytesMut::new()));
        if known != kind || text.len() + piece.len() > TEXT_MAX {
            return Err(ExchangeFault::Malformed("pieces of a text that do not belong together"));
        }
        text.put(piece);
        if more {
            self.text = Some((kind, text));
            return Ok(None);
        }
        let text = String::from_utf8(text.into())
            .map_err(|_| ExchangeFault::Malformed("a text that is not UTF-8"))?;
        Ok(Some(What::Event(kind.event(text))))
    }

    fn check_digests(&self, closed: &Closed) -> Result<(), ExchangeFault> {
        if self.repeats {
            return Ok(());
        }
        let (request, response) = self.digests.finish();
        if closed.request != request {
            return Err(ExchangeFault::Digest(Direction::Request));
        }
        if closed.response != response {
            return Err(ExchangeFault::Digest(Direction::Response));
        }
        Ok(())
    }
}
