//! Turns what happens in the open exchanges into records of the journal.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    exchange::Location,
    journal::{COMMIT_AGE, Journal, Trouble},
    live::Live,
    repeats::{HELD_MAX, Held, Known, LEAST, Place, SEGMENT},
};
use crate::{
    convert::{self, Payload, Stream},
    event::{Closed, Direction, Outcome},
    generated::v1::{self, record},
    sha256::Sha256,
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
    known: Known,
    /// Of how many exchanges something is held back.
    held: usize,
    /// Since when something is held back of which exchange, in order; some of it may be written since.
    holding: VecDeque<(Instant, Uuid)>,
}

impl Scribe {
    pub(crate) fn new(journal: Journal, known: Known) -> Self {
        Self { journal, live: HashMap::new(), known, held: 0, holding: VecDeque::new() }
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
        let of = match &payload {
            Payload::Octets { stream: Stream::Body(direction), .. } => Some(*direction),
            Payload::Octets { stream: Stream::Channel(..), .. }
            | Payload::Whole(_)
            | Payload::Text { .. } => None,
        };
        let held = self.live.get(&exchange).and_then(|live| live.held.as_ref()).map(|held| held.direction);
        if held.is_some() && held != of {
            self.settle(bundle, exchange, is_end(&payload));
        }
        match payload {
            Payload::Whole(event) => {
                self.put(bundle, exchange, at_micros, *event);
                None
            }
            Payload::Octets { stream: Stream::Body(direction), data } => {
                let rest = self.body(bundle, exchange, at_micros, direction, data);
                rest.map(|data| Payload::Octets { stream: Stream::Body(direction), data })
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

    /// Octets of a body: held back up to the end of a segment, where they may be. Gives back what is left of them.
    fn body(
        &mut self,
        bundle: Uuid,
        exchange: Uuid,
        at_micros: u64,
        direction: Direction,
        mut data: Bytes,
    ) -> Option<Bytes> {
        let live = self.live.get_mut(&exchange).filter(|_| !data.is_empty())?;
        let left = SEGMENT - live.digests.length(direction) % SEGMENT;
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
        let is_whole = length as u64 == left;
        let is_held =
            live.held.is_some() || !(live.is_torn(direction) || self.known.is_off() || self.held >= HELD_MAX);
        if is_held {
            let piece = data.split_to(length);
            live.digests.update_by(direction, &piece, |sha256| self.journal.digest(sha256, &piece));
            let (count, holding) = (&mut self.held, &mut self.holding);
            let held = live.held.get_or_insert_with(|| {
                let now = Instant::now();
                *count += 1;
                holding.push_back((now, exchange));
                Held::new(direction, now)
            });
            held.push(at_micros, piece);
            if is_whole {
                self.settle(bundle, exchange, true);
            }
        } else {
            let length = self.journal.piece(length);
            let piece = data.split_to(length);
            live.digests.update_by(direction, &piece, |sha256| self.journal.digest(sha256, &piece));
            live.set_torn(direction, length as u64 != left);
            self.put(bundle, exchange, at_micros, Stream::Body(direction).record(piece));
        }
        (!data.is_empty()).then_some(data)
    }

    /// Writes what is held back of an exchange: as a repeat, where it is known. Remembers it where a segment ends here.
    fn settle(&mut self, bundle: Uuid, exchange: Uuid, is_end: bool) {
        let Some(live) = self.live.get_mut(&exchange) else { return };
        let Some(Held { direction, pieces, length, since }) = live.held.take() else { return };
        self.held -= 1;
        live.set_torn(direction, !live.digests.length(direction).is_multiple_of(SEGMENT));
        let key = (length >= LEAST).then(|| live.digests.so_far(direction).sha256);
        if let Some(place) = key.and_then(|key| self.known.get(&key, bundle)) {
            let at_micros = pieces.last().map_or(0, |(at_micros, _)| *at_micros);
            let repeat = convert::repeat_to_proto(direction, place, length);
            self.put(bundle, exchange, at_micros, record::Event::Repeat(repeat));
            return self.journal.owe(since);
        }
        let mut first = None;
        for (at_micros, mut data) in pieces {
            while !data.is_empty() {
                let piece = self.piece(&mut data);
                let sequence = self.put(bundle, exchange, at_micros, Stream::Body(direction).record(piece));
                first = first.or(sequence);
            }
        }
        self.journal.owe(since);
        if let (Some(key), Some(sequence), true) = (key, first, is_end) {
            self.known.put(key, Place { bundle, exchange, sequence });
        }
    }

    /// Puts all of an exchange into the journal.
    pub(crate) fn release(&mut self, exchange: Uuid) -> Result<(), Trouble> {
        if self.live.get(&exchange).is_some_and(|live| live.held.is_some()) {
            let bundle = self.journal.ready()?;
            self.settle(bundle, exchange, false);
        }
        Ok(())
    }

    /// Puts everything into the journal that was held back since before then.
    pub(crate) fn release_since(&mut self, then: Instant) -> Result<(), Trouble> {
        while let Some((since, exchange)) = self.holding.front().copied() {
            let held = self.live.get(&exchange).and_then(|live| live.held.as_ref());
            if held.is_some_and(|held| held.since == since) {
                if since > then {
                    return Ok(());
                }
                self.release(exchange)?;
            }
            self.holding.pop_front();
        }
        Ok(())
    }

    /// Puts into the journal what must not wait any longer.
    pub(crate) fn release_due(&mut self) -> Result<(), Trouble> {
        match Instant::now().checked_sub(COMMIT_AGE) {
            Some(then) => self.release_since(then),
            None => Ok(()),
        }
    }

    /// What makes the digest of a body, after all that came of it; unless the exchange is not open.
    pub(crate) fn digest(&self, exchange: Uuid, direction: Direction) -> Option<Sha256> {
        self.live.get(&exchange).map(|live| live.digests.running_on(direction))
    }

    /// When something is to be done although nobody asks.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let held = self.holding.front().map(|(since, _)| *since + COMMIT_AGE);
        [held, self.journal.deadline()].into_iter().flatten().min()
    }

    /// An exchange ends. Gives where it lies, unless it was not open.
    pub(crate) fn close(
        &mut self,
        bundle: Uuid,
        exchange: Uuid,
        at_micros: u64,
        end: End,
    ) -> Option<Location> {
        self.settle(bundle, exchange, false);
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

    /// Puts a record into the bundle that the journal has made ready; gives its place in its exchange.
    fn put(&mut self, bundle: Uuid, exchange: Uuid, at_micros: u64, event: record::Event) -> Option<u64> {
        let live = self.live.get_mut(&exchange)?;
        if let Some(continued) = live.continue_in(bundle, at_micros) {
            self.journal.push(&continued);
        }
        let record = live.record(at_micros, event);
        self.journal.push(&record);
        Some(record.sequence)
    }
}

/// Whether a body ends.
fn is_end(payload: &Payload) -> bool {
    match payload {
        Payload::Whole(event) => {
            matches!(**event, record::Event::RequestEnd(_) | record::Event::ResponseEnd(_))
        }
        Payload::Octets { .. } | Payload::Text { .. } => false,
    }
}
