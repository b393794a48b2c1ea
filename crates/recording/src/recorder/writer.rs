//! The writer thread: takes events from the queue in batches, puts them into the journal, answers those who wait
//! for the disk.
//!
//! What was accepted is written, in order, however long the disk is in trouble: it waits in the backlog, which
//! the bound of the queue bounds. Who waits for durability while the disk fails is told so at once.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    board::Board,
    command::{Command, Entry, Hears, Reply, Told, Work},
    exchange::Location,
    journal::{Journal, Trouble},
    queue::{Nothing, Receiver},
    repeats::Known,
    scribe::{End, Scribe},
};
use crate::{error::RecordError, event::Outcome};

/// How long a full spool or disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// The same, while the store takes bundles out of the spool.
const CONGESTED_RETRY: Duration = Duration::from_millis(10);
/// How many commands are taken before the disk is looked after.
const BATCH: usize = 4096;

/// Someone to be answered after the next commit.
enum Waiter {
    Sync(Reply<()>),
    Close(Reply<Location>, Location),
    Told(Told, Location),
}

#[derive(Clone)]
enum Mode {
    Running,
    /// The spool is full for the moment: everybody waits.
    Congested,
    /// The disk or the spool is full: everybody is refused.
    Failing(Arc<str>),
}

/// See the module.
pub(crate) struct Writer {
    queue: Receiver<Command>,
    board: Arc<Board>,
    scribe: Scribe,
    linger: Duration,
    mode: Mode,
    /// When the journal is to be tried again.
    retry_at: Instant,
    backlog: VecDeque<Work>,
    waiters: Vec<Waiter>,
    /// Those who are served by a commit that others ask for.
    patient: Vec<Waiter>,
    /// How many were answered by the last commit: as many may come again.
    answered: usize,
    /// How long the last commit took.
    took: Duration,
}

impl Writer {
    pub(crate) fn new(
        queue: Receiver<Command>,
        board: Arc<Board>,
        journal: Journal,
        known: Known,
        linger: Duration,
    ) -> Self {
        Self {
            queue,
            board,
            scribe: Scribe::new(journal, known),
            linger,
            mode: Mode::Running,
            retry_at: Instant::now(),
            backlog: VecDeque::new(),
            waiters: Vec::new(),
            patient: Vec::new(),
            answered: 0,
            took: Duration::ZERO,
        }
    }

    /// Runs until the recorder is closed or dropped.
    pub(crate) fn run(mut self) {
        let reply = loop {
            match self.round() {
                Ok(()) => {}
                Err(Stop(reply)) => break reply,
            }
        };
        let result = self.shut_down();
        self.board.set_closed();
        if let Some(reply) = reply {
            let _ = reply.send(result);
        }
    }

    fn round(&mut self) -> Result<(), Stop> {
        self.wait()?;
        self.drain()?;
        self.linger()?;
        self.settle();
        Ok(())
    }

    /// Waits for a command, or until something else is due.
    fn wait(&mut self) -> Result<(), Stop> {
        let due = match self.mode {
            Mode::Running => self.scribe.deadline(),
            Mode::Congested | Mode::Failing(_) => Some(self.retry_at),
        };
        match self.queue.recv_until(due) {
            Ok(command) => self.take(command),
            Err(Nothing::Timeout) => Ok(()),
            Err(Nothing::Disconnected) => Err(Stop(None)),
        }
    }

    /// Takes in what is there.
    fn drain(&mut self) -> Result<(), Stop> {
        for _ in 0..BATCH {
            match self.queue.try_recv() {
                Some(command) => self.take(command)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Waits a little for those who may want the same commit: as many as the last one served, and no longer than
    /// that one took, or than configured. One who comes alone never waits.
    fn linger(&mut self) -> Result<(), Stop> {
        let limit = self.linger.min(self.took);
        for _ in 0..4 {
            if self.waiters.is_empty() || self.waiters.len() >= self.answered {
                break;
            }
            thread::sleep(limit / 4);
            self.drain()?;
        }
        Ok(())
    }

    /// Brings the disk up to date.
    fn settle(&mut self) {
        match self.mode {
            Mode::Running => {
                if !self.waiters.is_empty() {
                    self.commit();
                }
                match self.scribe.release_due().and_then(|()| self.scribe.journal.tick()) {
                    Ok(()) if self.scribe.journal.is_durable() => {
                        self.patient.drain(..).for_each(Waiter::succeed);
                    }
                    Ok(()) => {}
                    Err(trouble) => self.trouble(trouble),
                }
            }
            Mode::Congested | Mode::Failing(_) => {
                if Instant::now() >= self.retry_at {
                    self.resume();
                }
            }
        }
    }

    fn take(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::Work(work) => self.accept(work),
            Command::Shutdown(reply) => return Err(Stop(Some(reply))),
        }
        Ok(())
    }

    /// Takes in one piece of work, for now or, when the journal is in trouble, for later.
    fn accept(&mut self, work: Work) {
        match self.mode.clone() {
            Mode::Running => self.attempt(work),
            Mode::Congested => self.backlog.push_back(work),
            Mode::Failing(reason) => self.backlog.extend(refuse(work, &reason)),
        }
    }

    /// Does one piece of work as far as it goes; the rest comes first when the journal has recovered.
    fn attempt(&mut self, work: Work) {
        let failed = match work {
            Work::Record(entry) => self.record(entry).map(|(rest, trouble)| (Work::Record(rest), trouble)),
            Work::Sync(exchange, reply) => match self.scribe.release(exchange) {
                Ok(()) => {
                    self.waiters.push(Waiter::Sync(reply));
                    None
                }
                Err(trouble) => Some((Work::Sync(exchange, reply), trouble)),
            },
            Work::Digest(exchange, direction, reply) => {
                let digest = self.scribe.digest(exchange, direction);
                let _ = reply.send(digest.ok_or(RecordError::ExchangeClosed));
                None
            }
            Work::Flush(reply) => match self.seal() {
                Ok(()) => {
                    let _ = reply.send(Ok(()));
                    None
                }
                Err(trouble) => Some((Work::Flush(reply), trouble)),
            },
        };
        if let Some((rest, trouble)) = failed {
            self.backlog.push_front(rest);
            self.trouble(trouble);
        }
    }

    /// Records an entry, bundle by bundle. In trouble, gives back what of it is still to be recorded.
    fn record(&mut self, mut entry: Entry) -> Option<(Entry, Trouble)> {
        loop {
            let bundle = match self.scribe.journal.ready() {
                Ok(bundle) => bundle,
                Err(trouble) => return Some((entry, trouble)),
            };
            entry = self.put(bundle, entry)?;
        }
    }

    /// Puts into a bundle as much of an entry as goes into one record; gives back the rest.
    fn put(&mut self, bundle: Uuid, entry: Entry) -> Option<Entry> {
        match entry {
            Entry::Open { exchange, opened, cost } => {
                self.scribe.open(bundle, exchange, *opened);
                self.board.release(cost);
            }
            Entry::Event { exchange, at_micros, payload, cost } => {
                if let Some(payload) = self.scribe.event(bundle, exchange, at_micros, payload) {
                    return Some(Entry::Event { exchange, at_micros, payload, cost });
                }
                self.board.release(cost);
            }
            Entry::Close { exchange, at_micros, end, hears } => {
                match (hears, self.scribe.close(bundle, exchange, at_micros, end)) {
                    (Hears::Waiter(reply), Some(location)) => {
                        self.waiters.push(Waiter::Close(reply, location));
                    }
                    (Hears::Later(told), Some(location)) => {
                        self.patient.push(Waiter::Told(told, location));
                    }
                    (Hears::Nobody, _) | (Hears::Waiter(_) | Hears::Later(_), None) => {}
                }
            }
        }
        None
    }

    /// Ends the bundle, with everything that is accepted.
    fn seal(&mut self) -> Result<(), Trouble> {
        self.scribe.release_since(Instant::now())?;
        self.scribe.journal.seal()
    }

    /// Makes everything durable and answers those who wait for it.
    fn commit(&mut self) {
        let start = Instant::now();
        match self.scribe.journal.commit() {
            Ok(()) => {
                self.took = start.elapsed();
                self.answered = self.waiters.len();
                self.waiters.drain(..).chain(self.patient.drain(..)).for_each(Waiter::succeed);
            }
            Err(trouble) => self.trouble(trouble),
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Disk(error) => self.fail(error.to_string().into()),
            Trouble::SpoolFull(store) => {
                self.commit();
                self.fail(format!("the spool is full because of the store: {store}").into());
            }
            Trouble::Congested => {
                self.commit();
                self.board.set_writer_trouble(None);
                self.mode = Mode::Congested;
                self.retry_at = Instant::now() + CONGESTED_RETRY;
            }
        }
    }

    fn fail(&mut self, reason: Arc<str>) {
        if !matches!(self.mode, Mode::Failing(_)) {
            tracing::error!(%reason, "nothing can be recorded");
        }
        self.board.set_writer_trouble(Some(reason.clone()));
        for waiter in self.waiters.drain(..).chain(self.patient.drain(..)) {
            waiter.fail(RecordError::Failing { reason: reason.clone() });
        }
        self.backlog = self.backlog.drain(..).filter_map(|work| refuse(work, &reason)).collect();
        self.mode = Mode::Failing(reason);
        self.retry_at = Instant::now() + RETRY;
    }

    /// Tries again what did not work, and then what has waited behind it.
    fn resume(&mut self) {
        if let Err(trouble) = self.scribe.journal.retry() {
            return self.trouble(trouble);
        }
        if matches!(self.mode, Mode::Failing(_)) {
            tracing::info!("recording goes on");
        }
        self.mode = Mode::Running;
        self.board.set_writer_trouble(None);
        while matches!(self.mode, Mode::Running)
            && let Some(work) = self.backlog.pop_front()
        {
            self.attempt(work);
        }
    }

    /// Writes all that was accepted, ends what is open, seals.
    fn shut_down(&mut self) -> Result<(), RecordError> {
        self.scribe.journal.lift_limit();
        while let Some(Command::Work(work)) = self.queue.try_recv() {
            self.accept(work);
        }
        if !matches!(self.mode, Mode::Running) {
            self.resume();
        }
        for (exchange, at_micros) in self.scribe.unfinished() {
            let end = End { outcome: Outcome::Abandoned, interrupted: false };
            let hears = Hears::Nobody;
            self.accept(Work::Record(Entry::Close { exchange, at_micros, end, hears }));
        }
        if matches!(self.mode, Mode::Running) {
            self.commit();
        }
        if matches!(self.mode, Mode::Running)
            && let Err(trouble) = self.scribe.journal.seal()
        {
            self.trouble(trouble);
        }
        match &self.mode {
            Mode::Running | Mode::Congested => Ok(()),
            Mode::Failing(reason) => Err(RecordError::Failing { reason: reason.clone() }),
        }
    }
}

/// Tells those who wait for this work that nothing can be recorded now. The work itself is kept, where there is
/// any.
fn refuse(work: Work, reason: &Arc<str>) -> Option<Work> {
    let failing = || RecordError::Failing { reason: reason.clone() };
    match work {
        Work::Sync(_, reply) | Work::Flush(reply) => {
            let _ = reply.send(Err(failing()));
            None
        }
        Work::Digest(_, _, reply) => {
            let _ = reply.send(Err(failing()));
            None
        }
        Work::Record(Entry::Close { exchange, at_micros, end, hears }) => {
            hears.fail(failing());
            Some(Work::Record(Entry::Close { exchange, at_micros, end, hears: Hears::Nobody }))
        }
        Work::Record(entry @ (Entry::Open { .. } | Entry::Event { .. })) => Some(Work::Record(entry)),
    }
}

/// The recorder was closed, or every handle of it is gone.
struct Stop(Option<Reply<()>>);

impl Waiter {
    fn succeed(self) {
        match self {
            Self::Sync(reply) => drop(reply.send(Ok(()))),
            Self::Close(reply, location) => drop(reply.send(Ok(location))),
            Self::Told(told, location) => told.tell(Ok(location)),
        }
    }

    fn fail(self, error: RecordError) {
        match self {
            Self::Sync(reply) => drop(reply.send(Err(error))),
            Self::Close(reply, _) => drop(reply.send(Err(error))),
            Self::Told(told, _) => told.tell(Err(error)),
        }
    }
}
