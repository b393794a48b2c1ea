//! What comes through the queue to the writer.

use std::panic::{AssertUnwindSafe, catch_unwind};

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
    Close { exchange: Uuid, at_micros: u64, end: End, hears: Hears },
}

/// Who hears when all of an exchange is on the disk, and how soon.
pub(crate) enum Hears {
    Nobody,
    /// One who waits for it.
    Waiter(Reply<Location>),
    /// One who is told by a commit that others ask for, or that is due.
    Later(Told),
}

impl Hears {
    pub(crate) fn fail(self, error: RecordError) {
        match self {
            Self::Nobody => {}
            Self::Waiter(reply) => drop(reply.send(Err(error))),
            Self::Later(told) => told.tell(Err(error)),
        }
    }
}

/// What is to be done when it is known where an exchange lies, or why it does not. It is done once, also where the
/// recorder has ended before.
pub(crate) struct Told(Option<Box<Telling>>);

type Telling = dyn FnOnce(Result<Location, RecordError>) + Send;

impl Told {
    pub(crate) fn new(told: impl FnOnce(Result<Location, RecordError>) + Send + 'static) -> Self {
        Self(Some(Box::new(told)))
    }

    pub(crate) fn tell(mut self, closed: Result<Location, RecordError>) {
        self.tell_once(closed);
    }

    fn tell_once(&mut self, closed: Result<Location, RecordError>) {
        let Some(told) = self.0.take() else { return };
        // All recording would end with this thread.
        if catch_unwind(AssertUnwindSafe(|| told(closed))).is_err() {
            tracing::error!("what was to be done at the end of an exchange has failed");
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tell_once(Err(RecordError::Closed));
    }
}
