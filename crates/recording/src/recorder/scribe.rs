//! Turns what happens in the open exchanges into records of the journal.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use super::{exchange::Location, journal::Journal, live::Live};
use crate::{
    convert::{self, Payload},
    event::{Closed, Outcome},
    generated::v1::{self, record},
};

/// How an exchange is ended.
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// Events of it were refused.
    pub(crate) interrupted: bool,
}

/// See the module.
pub(crate) struct Scribe {
    pub(crate) journal: Journal,
    live: HashMap<Uuid, Live>,
}

impl Scribe {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, live: HashMap::new() }
    }

    /// An exchange begins in this bundle, which the journal has made ready.
    pub(crate) fn open(&mut self, bundle: Uuid, exchange: Uuid, opened: v1::Opened) {
        let live = Live::new(exchange, opened.session.clone(), opened.started_micros, bundle);
        self.live.insert(exchange, live);
        self.put(bundle, exchange, 0, record::Event::Opened(opened));
    }

    /// Something happens in an exchange. Gives back what does not go into one record.
    pub(crate) fn event(
        &mut self,
        bundle: Uuid,
        exchange: Uuid,
        at_micros: u64,
        payload: Payload,
    ) -> Option<Payload> {
        match payload {
            Payload::Whole(event) => {
                self.put(bundle, exchange, at_micros, *event);
                None
            }
            Payload::Octets { stream, mut data } => {
                let piece = self.piece(&mut data);
                if let Some(live) = self.live.get_mut(&exchange) {
                    live.digests.update(stream.direction(), &piece);
                }
                if !piece.is_empty() {
                    self.put(bundle, exchange, at_micros, stream.record(piece));
                }
                (!data.is_empty()).then_some(Payload::Octets { stream, data })
            }
            Payload::Text { kind, mut text } => {
                let piece = self.piece(&mut text);
                self.put(bundle, exchange, at_micros, kind.record(piece, !text.is_empty()));
                (!text.is_empty()).then_some(Payload::Text { kind, text })
            }
        }
    }

    /// An exchange ends. Gives where it lies, unless it was not open.
    pub(crate) fn close(
        &mut self,
        bundle: Uuid,
        exchange: Uuid,
        at_micros: u64,
        end: End,
    ) -> Option<Location> {
        if end.interrupted {
            let reason = "events were refused while nothing could be recorded".to_owned();
            self.put(bundle, exchange, at_micros, record::Event::Gap(v1::Gap { reason }));
        }
        let (request, response) = self.live.get(&exchange)?.digests.finish();
        let closed = convert::closed_to_proto(Closed { outcome: end.outcome, request, response });
        self.put(bundle, exchange, at_micros, record::Event::Closed(closed));
        let live = self.live.remove(&exchange)?;
        Some(Location { bundles: live.into_bundles() })
    }

    /// The exchanges that are open, and for how many microseconds.
    pub(crate) fn unfinished(&self) -> Vec<(Uuid, u64)> {
        self.live.iter().map(|(exchange, live)| (*exchange, live.age_micros())).collect()
    }

    /// Cuts off as much of `data` as the next record can hold.
    fn piece(&mut self, data: &mut Bytes) -> Bytes {
        let length = self.journal.piece(data.len());
        data.split_to(length)
    }

    /// Puts a record into the bundle that the journal has made ready.
    fn put(&mut self, bundle: Uuid, exchange: Uuid, at_micros: u64, event: record::Event) {
        let Some(live) = self.live.get_mut(&exchange) else { return };
        if let Some(continued) = live.continue_in(bundle, at_micros) {
            self.journal.push(&continued);
        }
        self.journal.push(&live.record(at_micros, event));
    }
}
