//! What the writer, the uploader and the callers know of each other: health, room in the queue, room in the spool.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::error::RecordError;

/// How a recorder is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Everything is recorded and reaches the store.
    Ok,
    /// Everything is recorded, but bundles wait in the spool because of the store. Nothing is refused yet.
    Delayed {
        /// What the store said.
        reason: Arc<str>,
        /// The size of the bundles that wait.
        spool_bytes: u64,
    },
    /// Nothing can be recorded now; exchanges are refused. Passes by itself when the cause is gone.
    Failing {
        /// What is wrong.
        reason: Arc<str>,
    },
    /// The recorder was closed.
    Closed,
}

/// Health as its sources report it.
#[derive(Clone, Debug, Default)]
struct Health {
    writer: Option<Arc<str>>,
    store: Option<Arc<str>>,
    /// The size of the sealed bundles that are not in the store yet.
    spool_bytes: u64,
    /// How many bundles were ever sealed, and how many of them are in the store.
    sealed: u64,
    uploaded: u64,
    closed: bool,
}

/// Shared by all sides of one recorder.
pub(crate) struct Board {
    health: watch::Sender<Health>,
    queue: Semaphore,
    queue_bytes: usize,
    spool_max_bytes: u64,
}

/// What an event takes of the queue besides its octets.
const EVENT_COST: usize = 128;

impl Board {
    pub(crate) fn new(queue_bytes: usize, spool_max_bytes: u64) -> Self {
        let queue_bytes = queue_bytes.clamp(64 << 10, 1 << 30);
        Self {
            health: watch::Sender::new(Health::default()),
            queue: Semaphore::new(queue_bytes),
            queue_bytes,
            spool_max_bytes,
        }
    }

    pub(crate) fn status(&self) -> Status {
        let health = self.health.borrow();
        match (health.closed, &health.writer, &health.store) {
            (true, _, _) => Status::Closed,
            (false, Some(reason), _) => Status::Failing { reason: reason.clone() },
            (false, None, Some(reason)) => {
                Status::Delayed { reason: reason.clone(), spool_bytes: health.spool_bytes }
            }
            (false, None, None) => Status::Ok,
        }
    }

    /// Fails when nothing can be recorded.
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        check(&self.health.borrow())
    }

    /// Takes room for an event of this size in the queue; waits for it. Gives what is to be [released](Self::release).
    pub(crate) async fn acquire(&self, size: usize) -> Result<u32, RecordError> {
        self.check()?;
        let cost = (size + EVENT_COST).min(self.queue_bytes);
        let cost = u32::try_from(cost).expect("the queue is at most 1 GiB");
        if let Ok(permit) = self.queue.try_acquire_many(cost) {
            permit.forget();
            return Ok(cost);
        }
        let mut health = self.health.subscribe();
        let trouble =
            async { health.wait_for(|health| check(health).is_err()).await.map(|health| check(&health)) };
        tokio::select! {
            permit = self.queue.acquire_many(cost) => permit.map_err(|_| RecordError::Closed)?.forget(),
            trouble = trouble => trouble.unwrap_or(Err(RecordError::Closed))?,
        }
        Ok(cost)
    }

    /// Gives back room in the queue.
    pub(crate) fn release(&self, cost: u32) {
        self.queue.add_permits(cost as usize);
    }

    /// Whether more than half of the queue is taken: the writer falls behind.
    pub(crate) fn is_hurried(&self) -> bool {
        self.queue.available_permits() < self.queue_bytes / 2
    }

    pub(crate) fn set_writer_trouble(&self, reason: Option<Arc<str>>) {
        self.health.send_if_modified(|health| {
            let changed = health.writer != reason;
            health.writer = reason;
            changed
        });
    }

    pub(crate) fn set_store_trouble(&self, reason: Option<Arc<str>>) {
        self.health.send_if_modified(|health| {
            let changed = health.store != reason;
            health.store = reason;
            changed
        });
    }

    /// What the store said last, if it is in trouble.
    pub(crate) fn store_trouble(&self) -> Option<Arc<str>> {
        self.health.borrow().store.clone()
    }

    pub(crate) fn set_closed(&self) {
        self.health.send_modify(|health| health.closed = true);
    }

    /// Whether the spool has room for another bundle of this size.
    pub(crate) fn has_room(&self, bundle_bytes: u64) -> bool {
        self.health.borrow().spool_bytes.saturating_add(bundle_bytes) <= self.spool_max_bytes
    }

    /// A bundle of this size was sealed.
    pub(crate) fn spooled(&self, bytes: u64) {
        self.health.send_modify(|health| {
            health.spool_bytes += bytes;
            health.sealed += 1;
        });
    }

    /// A bundle of this size is in the store.
    pub(crate) fn uploaded(&self, bytes: u64) {
        self.health.send_modify(|health| {
            health.spool_bytes = health.spool_bytes.saturating_sub(bytes);
            health.uploaded += 1;
        });
    }

    /// Waits until the bundles sealed so far are in the store; fails when the store is in trouble.
    pub(crate) async fn wait_uploaded(&self) -> Result<(), RecordError> {
        let mut health = self.health.subscribe();
        let sealed = health.borrow().sealed;
        let settled = |health: &Health| health.uploaded >= sealed || health.store.is_some();
        let health = health.wait_for(settled).await.map_err(|_| RecordError::Closed)?;
        match &health.store {
            Some(reason) if health.uploaded < sealed => {
                Err(RecordError::NotUploaded { reason: reason.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn check(health: &Health) -> Result<(), RecordError> {
    match (&health.writer, health.closed) {
        (_, true) => Err(RecordError::Closed),
        (Some(reason), false) => Err(RecordError::Failing { reason: reason.clone() }),
        (None, false) => Ok(()),
    }
}
