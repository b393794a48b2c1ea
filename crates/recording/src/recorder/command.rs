//! What comes through the queue to the writer.

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{exchange::Location, scribe::End};
use crate::{convert::Payload, error::RecordError, event::Direction, generated::v1, sha256::Sha256};

/// The answer to one who waits.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, RecordError>>;

/// What comes through the queue.
pub(crate) enum Command {
    Work(Work),
    Shutdown(Reply<()>),
}

/// What the writer is asked to do.
pub(crate) enum Work {
    Record(Entry),
    /// All of an exchange is to be durable.
    Sync(Uuid, Reply<()>),
    /// What makes the digest of a body of an exchange, after all that is recorded of it.
    Digest(Uuid, Direction, Reply<Sha256>),
    Flush(Reply<()>),
}

/// Something to be recorded.
pub(crate) enum Entry {
    Open { exchange: Uuid, opened: Box<v1::Opened>, cost: u32 },
    Event { exchange: Uuid, at_micros: u64, payload: Payload, cost: u32 },
    Close { exchange: Uuid, at_micros: u64, end: End, closing: Closing },
}

/// Who wants to know that all of an exchange is on the disk, and how soon.
pub(crate) enum Closing {
    /// Nobody.
    Unheard,
    /// One who waits for it.
    Now(Reply<Location>),
    /// One who is told by a commit that others ask for, or that is due.
    Later(Told),
}

impl Closing {
    pub(crate) fn fail(self, error: RecordError) {
        match self {
            Self::Unheard => {}
            Self::Now(reply) => drop(reply.send(Err(error))),
            Self::Later(told) => told.tell(Err(error)),
        }
    }
}

/// What becomes known of an exchange that is closed.
type Outcome = Result<Location, RecordError>;

/// What is to be done when that is known, once, whatever it is: also where the recorder has ended before.
pub(crate) struct Told(Option<Box<dyn FnOnce(Outcome) + Send>>);

impl Told {
    pub(crate) fn new(told: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self(Some(Box::new(told)))
    }

    pub(crate) fn tell(mut self, outcome: Outcome) {
        if let Some(told) = self.0.take() {
            told(outcome);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            told(Err(RecordError::Closed));
        }
    }
}
