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
    Close { exchange: Uuid, at_micros: u64, end: End, reply: Option<(Reply<Location>, Haste)> },
}

/// How soon one who waits for the disk is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    /// Now.
    Now,
    /// By a commit that others ask for, or that is due.
    Later,
}
