//! The recorder of one exchange.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    board::Board,
    command::{Command, Entry, Hears, Told, Work},
    queue::Sender,
    scribe::End,
};
use crate::{
    convert::Payload,
    error::RecordError,
    event::{Direction, Event, Outcome},
    sha256::Sha256,
};

/// The longest reason of a failed exchange, in bytes.
const REASON_MAX: usize = 4 << 10;

/// What the end of an exchange weighs in the queue.
const CLOSE_COST: u32 = 128;

/// Where an exchange lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The ids of the bundles, in order. See [`crate::bundle_path`].
    pub bundles: Vec<Uuid>,
}

/// Records the events of one exchange; its clones record the same one. When the last of them is dropped and none
/// was closed, the exchange is ended as [`Outcome::Abandoned`].
#[derive(Clone)]
pub struct ExchangeRecorder {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Uuid,
    started: Instant,
    queue: Sender<Command>,
    board: Arc<Board>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    interrupted: bool,
    appended: u64,
    durable: u64,
}

impl ExchangeRecorder {
    pub(crate) fn new(exchange: Uuid, started: Instant, queue: Sender<Command>, board: Arc<Board>) -> Self {
        let state = State { appended: 1, ..State::default() };
        Self { inner: Arc::new(Inner { exchange, started, queue, board, state: Mutex::new(state) }) }
    }

    /// The id of the exchange.
    pub fn id(&self) -> Uuid {
        self.inner.exchange
    }

    /// Records an event. Octets are not copied here. Waits while the queue is full.
    ///
    /// # Errors
    /// When nothing can be recorded, and from then on for every event of this exchange, so that what is recorded
    /// of it has no hole in the middle; when the exchange is closed; when the event is too large.
    pub async fn append(&self, event: Event) -> Result<(), RecordError> {
        let at_micros = self.at_micros();
        let payload = Payload::try_from(event)?;
        let cost = match self.inner.board.acquire(payload.size()).await {
            Ok(cost) => cost,
            Err(error) => {
                self.lock().interrupted = true;
                return Err(error);
            }
        };
        let mut state = self.lock();
        let sent = state.check().and_then(|()| {
            self.inner.note(Entry::Event { exchange: self.id(), at_micros, payload, cost }, cost)
        });
        match sent {
            Ok(()) => state.appended += 1,
            Err(_) => self.inner.board.release(cost),
        }
        sent
    }

    /// Resolves when every event appended so far is on the disk. Many who wait share one `fdatasync`.
    ///
    /// # Errors
    /// When nothing can be recorded. Events accepted before will still be written when that has passed.
    pub async fn durable(&self) -> Result<(), RecordError> {
        let (asked, answer) = {
            let state = self.lock();
            if state.durable >= state.appended {
                return Ok(());
            }
            let (reply, answer) = oneshot::channel();
            self.inner.send(Work::Sync(self.id(), reply))?;
            (state.appended, answer)
        };
        answer.await.unwrap_or(Err(RecordError::Closed))?;
        let mut state = self.lock();
        state.durable = state.durable.max(asked);
        Ok(())
    }

    /// What makes the SHA-256 of everything appended so far in one direction: the recording makes it anyway.
    ///
    /// # Errors
    /// When nothing can be recorded; when the exchange is closed.
    pub async fn digest(&self, direction: Direction) -> Result<Sha256, RecordError> {
        let (reply, answer) = oneshot::channel();
        {
            let state = self.lock();
            state.check()?;
            self.inner.send(Work::Digest(self.id(), direction, reply))?;
        }
        answer.await.unwrap_or(Err(RecordError::Closed))
    }

    /// Ends the exchange, and resolves when all of it is on the disk.
    ///
    /// # Errors
    /// When it was closed before; when nothing can be recorded. In the latter case the end is written when that
    /// has passed.
    pub async fn close(&self, outcome: Outcome) -> Result<Location, RecordError> {
        let (reply, answer) = oneshot::channel();
        self.end(outcome, Hears::Waiter(reply));
        answer.await.unwrap_or(Err(RecordError::Closed))
    }

    /// As [`close`](Self::close), and hurries nobody: `told` hears of it with the first commit that others ask for, or
    /// that comes by itself after 200 ms. It runs on the thread that writes, which it must not keep; where the exchange
    /// or the recorder is closed, at once.
    pub fn close_with_others(
        &self,
        outcome: Outcome,
        told: impl FnOnce(Result<Location, RecordError>) + Send + 'static,
    ) {
        self.end(outcome, Hears::Later(Told::new(told)));
    }

    fn end(&self, outcome: Outcome, hears: Hears) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return hears.fail(RecordError::ExchangeClosed);
        }
        state.closed = true;
        let end = End { outcome: bounded(outcome), interrupted: state.interrupted };
        let at_micros = self.at_micros();
        let waits = matches!(hears, Hears::Waiter(_));
        let entry = Entry::Close { exchange: self.id(), at_micros, end, hears };
        let (queue, command) = (&self.inner.queue, Command::Work(Work::Record(entry)));
        let sent = if waits { queue.send(command) } else { queue.send_lazily(command, CLOSE_COST as usize) };
        // Who hears of what was not taken hears it now, and may ask this recorder for more.
        drop(state);
        drop(sent);
    }

    fn at_micros(&self) -> u64 {
        self.inner.at_micros()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ExchangeRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ExchangeRecorder").field(&self.inner.exchange).finish()
    }
}

impl State {
    fn check(&self) -> Result<(), RecordError> {
        match (self.closed, self.interrupted) {
            (true, _) => Err(RecordError::ExchangeClosed),
            (false, true) => Err(RecordError::Interrupted),
            (false, false) => Ok(()),
        }
    }
}

impl Inner {
    fn at_micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Has an entry recorded for which nobody waits.
    fn note(&self, entry: Entry, cost: u32) -> Result<(), RecordError> {
        let command = Command::Work(Work::Record(entry));
        self.queue.send_lazily(command, cost as usize).map_err(|_| RecordError::Closed)
    }

    fn send(&self, work: Work) -> Result<(), RecordError> {
        self.queue.send(Command::Work(work)).map_err(|_| RecordError::Closed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let at_micros = self.at_micros();
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            let end = End { outcome: Outcome::Abandoned, interrupted: state.interrupted };
            // A recorder that is closed has ended all exchanges itself.
            let entry = Entry::Close { exchange: self.exchange, at_micros, end, hears: Hears::Nobody };
            let _ = self.note(entry, CLOSE_COST);
        }
    }
}

fn bounded(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(mut reason) => {
            reason.truncate(reason.floor_char_boundary(REASON_MAX));
            Outcome::Failed(reason)
        }
        Outcome::Complete
        | Outcome::Refused
        | Outcome::ClientGone
        | Outcome::UpstreamFailed
        | Outcome::Abandoned => outcome,
    }
}
