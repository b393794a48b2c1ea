//! Entries on their way to the index: a bounded queue, sent in batches, by a task that tries again.
//!
//! While the control plane is away, and when the process ends meanwhile, they are kept in a file and sent after the
//! next start. The recording is the truth, so that when the queue is full the oldest entry goes: what happens now is
//! what people search for.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lockgate_core::index::Entry;
use lockgate_proto::v1::{self, session_service_client::SessionServiceClient};
use prost::Message;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

use super::{backlog::Backlog, backoff::Backoff};
use crate::{call::CallError, convert::IntoProto};

/// What waits at most.
const MAX_ENTRIES: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;
/// What is sent at once, at most; an entry that is larger is cut.
const BATCH_ENTRIES: usize = 500;
const BATCH_BYTES: usize = 1 << 20;
/// How long entries are gathered before they are sent, so that a busy proxy does not make the index write for each:
/// a write there costs more than a call.
const GATHERED_FOR: Duration = Duration::from_millis(250);
/// How long a batch may take.
const SENT_WITHIN: Duration = Duration::from_secs(10);

/// The queue and the task that empties it.
#[derive(Debug)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// How many entries are waiting or on their way.
    pending: watch::Sender<usize>,
    /// Whether somebody waits until nothing is.
    hurried: watch::Sender<bool>,
    dropped: AtomicU64,
    backlog: Option<Backlog>,
    /// Held while the backlog is written.
    writing: tokio::sync::Mutex<()>,
}

/// Whoever hands an entry over must not wait long: nothing that grows with what an entry holds is done while this is
/// locked.
#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Measured>,
    bytes: usize,
    /// The batch that is on its way.
    sending: Arc<Vec<Arc<v1::Entry>>>,
    /// Dropped since the last that was sent.
    dropped: u64,
    /// Whether the file holds all that is waiting or on its way; `None` while there is no file.
    kept: Option<bool>,
}

/// An entry, and how long it is when it is sent.
#[derive(Debug)]
struct Measured {
    entry: Arc<v1::Entry>,
    bytes: usize,
}

impl Queue {
    /// With a backlog, begins with what that holds.
    pub(super) fn new(channel: Channel, backlog: Option<Backlog>) -> Self {
        let shared = Arc::new(Shared::new(backlog));
        shared.take_up();
        let task = tokio::spawn(send_all(shared.clone(), SessionServiceClient::new(channel)));
        Self { shared, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn put(&self, entry: Entry) {
        self.shared.put(cut(entry.into_proto()), MAX_ENTRIES, MAX_BYTES);
    }

    pub(super) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    pub(super) async fn flush(&self, within: Duration) -> bool {
        let mut pending = self.shared.pending.subscribe();
        self.shared.hurried.send_replace(true);
        let sent = tokio::time::timeout(within, pending.wait_for(|pending| *pending == 0)).await.is_ok();
        self.shared.hurried.send_replace(false);
        if !sent {
            let entries = *self.shared.pending.borrow();
            tracing::warn!(entries, "the index is away: entries will be sent when it is back");
            self.shared.keep().await;
        }
        sent
    }
}

impl Shared {
    fn new(backlog: Option<Backlog>) -> Self {
        Self {
            waiting: Mutex::default(),
            pending: watch::Sender::new(0),
            hurried: watch::Sender::new(false),
            dropped: AtomicU64::new(0),
            backlog,
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Takes up what an earlier process could not send.
    fn take_up(&self) {
        let Some(backlog) = &self.backlog else { return };
        // Twice as much: an entry takes some bytes more in the file.
        match backlog.load(2 * MAX_BYTES as u64) {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => {
                tracing::info!(entries = entries.len(), "index entries of before are sent now");
                entries.into_iter().for_each(|entry| self.put(entry, MAX_ENTRIES, MAX_BYTES));
                self.waiting().kept = Some(true);
            }
            Err(error) => {
                let help = "`lockgate sessions reindex` finds in the recordings what is missing";
                tracing::error!(%error, help, "index entries of before can't be read");
            }
        }
    }

    /// Writes down what is waiting or on its way.
    async fn keep(&self) {
        let Some(backlog) = self.backlog.clone() else { return };
        // Whoever comes while another writes goes on when that is done: what it says is kept then is kept.
        let _writing = self.writing.lock().await;
        let entries: Vec<_> = {
            let mut waiting = self.waiting();
            if waiting.kept.replace(true) == Some(true) {
                return;
            }
            let waits = waiting.entries.iter().map(|measured| &measured.entry);
            waiting.sending.iter().chain(waits).cloned().collect()
        };
        let saved = tokio::task::spawn_blocking(move || backlog.save(owned(&entries))).await;
        if let Err(error) = saved.map_err(io::Error::other).flatten() {
            self.waiting().kept = Some(false);
            tracing::error!(%error, "index entries can't be kept for the next start");
        }
    }

    /// Removes what was written down, when all of it was sent.
    async fn clear(&self) {
        let Some(backlog) = self.backlog.clone() else { return };
        let cleared = {
            let mut waiting = self.waiting();
            waiting.entries.is_empty() && waiting.sending.is_empty() && waiting.kept.take().is_some()
        };
        if cleared
            && let Err(error) =
                tokio::task::spawn_blocking(move || backlog.clear()).await.map_err(io::Error::other).flatten()
        {
            // They are sent once more after the next start, which changes nothing.
            tracing::warn!(%error, "index entries that were sent can't be removed");
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds the lock can leave it half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entry: v1::Entry, max_entries: usize, max_bytes: usize) {
        let measured = Measured { bytes: entry.encoded_len(), entry: Arc::new(entry) };
        let mut waiting = self.waiting();
        waiting.bytes += measured.bytes;
        waiting.entries.push_back(measured);
        waiting.kept = waiting.kept.map(|_| false);
        let mut dropped = 0;
        while waiting.entries.len() > max_entries || waiting.bytes > max_bytes {
            let Some(oldest) = waiting.entries.pop_front() else { break };
            waiting.bytes -= oldest.bytes;
            dropped += 1;
        }
        if dropped > 0 && waiting.dropped == 0 {
            tracing::warn!("the index is too far behind: the oldest entries are dropped");
        }
        waiting.dropped += dropped;
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.pending.send_if_modified(|pending| {
            *pending = *pending + 1 - dropped as usize;
            // Nobody is woken for what changes nothing for them.
            *pending == 1 || *pending >= BATCH_ENTRIES
        });
    }

    /// Waits until there is a batch worth sending: enough, old enough, or wanted. `None` when the queue ends.
    async fn gather(&self) -> Option<()> {
        let (mut pending, mut hurried) = (self.pending.subscribe(), self.hurried.subscribe());
        pending.wait_for(|pending| *pending > 0).await.ok()?;
        let enough = pending.wait_for(|pending| *pending >= BATCH_ENTRIES);
        let wanted = hurried.wait_for(|hurried| *hurried);
        tokio::select! {
            enough = enough => enough.map(drop).ok(),
            wanted = wanted => wanted.map(drop).ok(),
            () = tokio::time::sleep(GATHERED_FOR) => Some(()),
        }
    }

    /// The oldest entries, as many as go at once.
    fn batch(&self) -> Arc<Vec<Arc<v1::Entry>>> {
        let mut waiting = self.waiting();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = waiting.entries.front() {
            bytes += next.bytes;
            if batch.len() == BATCH_ENTRIES || (bytes > BATCH_BYTES && !batch.is_empty()) {
                break;
            }
            let Some(Measured { entry, bytes }) = waiting.entries.pop_front() else { break };
            waiting.bytes -= bytes;
            batch.push(entry);
        }
        waiting.sending = Arc::new(batch);
        waiting.sending.clone()
    }

    fn done(&self, entries: usize) {
        let dropped = {
            let mut waiting = self.waiting();
            waiting.sending = Arc::default();
            std::mem::take(&mut waiting.dropped)
        };
        if dropped > 0 {
            tracing::warn!(dropped, "entries are missing in the index; the recordings have them");
        }
        self.pending.send_modify(|pending| *pending -= entries);
    }
}

async fn send_all(shared: Arc<Shared>, mut client: SessionServiceClient<Channel>) {
    // It ends when the queue does.
    while shared.gather().await.is_some() {
        let entries = shared.batch();
        send(&shared, &mut client, &entries).await;
        shared.done(entries.len());
        shared.clear().await;
    }
}

/// Sends a batch, however long it takes. What can't be stored, ever, is given up.
async fn send(shared: &Shared, client: &mut SessionServiceClient<Channel>, entries: &[Arc<v1::Entry>]) {
    let mut backoff = Backoff::new();
    loop {
        let message = v1::PutEntriesRequest { entries: owned(entries) };
        let mut request = tonic::Request::new(message);
        request.set_timeout(SENT_WITHIN);
        match client.put_entries(request).await.map_err(CallError::from) {
            Ok(response) => return log_rejected(&response.into_inner().rejected),
            Err(CallError::Invalid(error)) => {
                return tracing::error!(error, entries = entries.len(), "entries can't be indexed");
            }
            Err(error) => {
                tracing::debug!(%error, "the index is away");
                shared.keep().await;
            }
        }
        backoff.wait().await;
    }
}

fn owned(entries: &[Arc<v1::Entry>]) -> Vec<v1::Entry> {
    entries.iter().map(|entry| (**entry).clone()).collect()
}

fn log_rejected(rejected: &[v1::RejectedEntry]) {
    for entry in rejected {
        tracing::error!(reason = entry.reason, "an entry can't be indexed");
    }
}

/// Makes an entry small enough to be sent: what is cut off can't be searched for, but is recorded.
pub(crate) fn cut(mut entry: v1::Entry) -> v1::Entry {
    while entry.encoded_len() > BATCH_BYTES && !entry.accesses.is_empty() {
        entry.accesses.truncate(entry.accesses.len() / 2);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        samples::{access, entry},
        transport::in_memory,
    };

    fn shared() -> Shared {
        Shared::new(None)
    }

    fn named(resource: &str) -> v1::Entry {
        entry(resource, "refs/heads/main", 0).into_proto()
    }

    fn names(batch: &[Arc<v1::Entry>]) -> Vec<&str> {
        batch.iter().map(|entry| &*entry.accesses[0].resource).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let shared = shared();
        for name in ["a", "b", "c", "d"] {
            shared.put(named(name), 3, usize::MAX);
        }
        assert_eq!((shared.dropped.load(Ordering::Relaxed), *shared.pending.borrow()), (1, 3));
        let batch = shared.batch();
        assert_eq!(names(&batch), ["b", "c", "d"]);
        shared.done(batch.len());
        assert_eq!(*shared.pending.borrow(), 0);
        assert!(shared.batch().is_empty());
    }

    #[test]
    fn the_oldest_goes_when_they_are_too_large() {
        let shared = shared();
        let bytes = named("a").encoded_len();
        for name in ["a", "b", "c", "d"] {
            shared.put(named(name), 100, 2 * bytes);
        }
        assert_eq!(names(&shared.batch()), ["c", "d"]);
        assert_eq!(shared.waiting().bytes, 0);
        shared.put(named("alone"), 100, 1);
        assert!(shared.batch().is_empty(), "larger than the queue");
        assert_eq!(*shared.pending.borrow(), 2, "those of the first batch are on their way");
    }

    #[test]
    fn a_batch_is_bounded_by_number_and_bytes() {
        let shared = shared();
        for _ in 0..BATCH_ENTRIES + 1 {
            shared.put(named("a"), MAX_ENTRIES, MAX_BYTES);
        }
        assert_eq!(shared.batch().len(), BATCH_ENTRIES);
        assert_eq!(shared.batch().len(), 1);
        let mut large = entry("a", "refs/heads/main", 0);
        large.accesses = vec![access("push", "a", "refs/heads/main"); 9000];
        for _ in 0..3 {
            shared.put(large.clone().into_proto(), MAX_ENTRIES, MAX_BYTES);
        }
        assert_eq!(shared.batch().len(), 1);
    }

    #[test]
    fn an_entry_is_cut_to_a_batch() {
        let mut huge = entry("a", "refs/heads/main", 0);
        huge.accesses = vec![access("push", "a", "refs/heads/main"); 100_000];
        let cut = cut(huge.into_proto());
        assert!(cut.encoded_len() <= BATCH_BYTES && !cut.accesses.is_empty());
    }

    #[tokio::test]
    async fn the_queue_outlives_a_control_plane_that_is_away() {
        let (channel, nobody) = in_memory();
        drop(nobody);
        let folder = tempfile::tempdir().unwrap();
        let backlog = Backlog::new(folder.path());
        let queue = Queue::new(channel, Some(backlog.clone()));
        queue.put(entry("a", "refs/heads/main", 0));
        assert!(!queue.flush(Duration::from_millis(10)).await);
        assert_eq!(queue.dropped(), 0);
        let names = |entries: Vec<v1::Entry>| -> Vec<String> {
            entries.into_iter().map(|entry| entry.accesses[0].resource.clone()).collect()
        };
        assert_eq!(names(backlog.load(1 << 20).unwrap()), ["a"]);
        queue.put(entry("b", "refs/heads/main", 0));
        assert!(!queue.flush(Duration::from_millis(10)).await);
        assert_eq!(names(backlog.load(1 << 20).unwrap()), ["a", "b"]);
        // The next process begins with them, and loses them no more than this one.
        drop(queue);
        let (channel, nobody) = in_memory();
        drop(nobody);
        let queue = Queue::new(channel, Some(backlog.clone()));
        queue.put(entry("c", "refs/heads/main", 0));
        assert!(!queue.flush(Duration::from_millis(10)).await);
        assert_eq!(names(backlog.load(1 << 20).unwrap()), ["a", "b", "c"]);
    }
}
