//! The writer thread: takes events from the queue in batches, puts them into the journal, answers those who wait
//! for the disk.
//!
//! What was accepted is written, in order, however long the disk is in trouble: it waits in the backlog, which
//! the bound of the queue bounds. Who waits for durability while the disk fails is told so at once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    board::Board,
    exchange::Location,
    journal::{Journal, Trouble},
    live::Live,
};
use crate::{
    convert::{self, Payload},
    error::RecordError,
    event::{Closed, Outcome},
    generated::v1::{self, record},
};

/// How long a full spool or disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// The same, while the store takes bundles out of the spool.
const CONGESTED_RETRY: Duration = Duration::from_millis(10);
/// How many commands are taken before the disk is looked after.
const BATCH: usize = 4096;

/// The answer to one who waits.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, RecordError>>;

/// What comes through the queue.
pub(crate) enum Command {
    Work(Work),
    Shutdown(Reply<()>),
}

/// What the writer is asked to do.
pub(crate) enum Work {
    Open { exchange: Uuid, opened: v1::Opened, cost: u32 },
    Event { exchange: Uuid, at_micros: u64, payload: Payload, cost: u32 },
    Close { exchange: Uuid, at_micros: u64, end: End, reply: Option<Reply<Location>> },
    Sync(Reply<()>),
    Flush(Reply<()>),
}

/// How an exchange is ended.
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// Events of it were refused.
    pub(crate) interrupted: bool,
}

/// Someone to be answered after the next commit.
enum Waiter {
    Sync(Reply<()>),
    Close(Reply<Location>, Location),
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
    journal: Journal,
    linger: Duration,
    mode: Mode,
    /// When the journal is to be tried again.
    retry_at: Instant,
    live: HashMap<Uuid, Live>,
    backlog: VecDeque<Work>,
    waiters: Vec<Waiter>,
    /// How many were answered by the last commit: as many may come again.
    answered: usize,
}

impl Writer {
    pub(crate) fn new(
        queue: Receiver<Command>,
        board: Arc<Board>,
        journal: Journal,
        linger: Duration,
    ) -> Self {
        Self {
            queue,
            board,
            journal,
            linger,
            mode: Mode::Running,
            retry_at: Instant::now(),
            live: HashMap::new(),
            backlog: VecDeque::new(),
            waiters: Vec::new(),
            answered: 0,
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
            Mode::Running => self.journal.deadline(),
            Mode::Congested | Mode::Failing(_) => Some(self.retry_at),
        };
        let received = match due {
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => self.queue.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(command) => self.take(command),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Stop(None)),
        }
    }

    /// Takes in what is there.
    fn drain(&mut self) -> Result<(), Stop> {
        for _ in 0..BATCH {
            match self.queue.try_recv() {
                Ok(command) => self.take(command)?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Waits a little for those who may want the same commit: as many as the last one served, and no longer than
    /// configured. One who comes alone never waits.
    fn linger(&mut self) -> Result<(), Stop> {
        for _ in 0..4 {
            if self.waiters.is_empty() || self.waiters.len() >= self.answered {
                break;
            }
            thread::sleep(self.linger / 4);
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
                if let Err(trouble) = self.journal.tick() {
                    self.trouble(trouble);
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
        if let Err((rest, trouble)) = self.process(work) {
            self.backlog.push_front(rest);
            self.trouble(trouble);
        }
    }

    /// Does one piece of work. In trouble, gives back what of it is still to be done.
    fn process(&mut self, work: Work) -> Result<(), (Work, Trouble)> {
        match work {
            Work::Open { exchange, opened, cost } => {
                let bundle = match self.journal.ready() {
                    Ok(bundle) => bundle,
                    Err(trouble) => return Err((Work::Open { exchange, opened, cost }, trouble)),
                };
                self.open(exchange, bundle, opened);
                self.board.release(cost);
            }
            Work::Event { exchange, at_micros, payload, cost } => {
                self.event(exchange, at_micros, payload).map_err(|(payload, trouble)| {
                    (Work::Event { exchange, at_micros, payload, cost }, trouble)
                })?;
                self.board.release(cost);
            }
            Work::Close { exchange, at_micros, end, reply } => match self.journal.ready() {
                Ok(bundle) => self.close(exchange, bundle, at_micros, end, reply),
                Err(trouble) => return Err((Work::Close { exchange, at_micros, end, reply }, trouble)),
            },
            Work::Sync(reply) => self.waiters.push(Waiter::Sync(reply)),
            Work::Flush(reply) => match self.journal.seal() {
                Ok(()) => drop(reply.send(Ok(()))),
                Err(trouble) => return Err((Work::Flush(reply), trouble)),
            },
        }
        Ok(())
    }

    fn open(&mut self, exchange: Uuid, bundle: Uuid, opened: v1::Opened) {
        let live = Live::new(exchange, opened.session.clone(), opened.started_micros, bundle);
        self.live.insert(exchange, live);
        self.put(exchange, bundle, 0, record::Event::Opened(opened));
    }

    fn event(&mut self, exchange: Uuid, at_micros: u64, payload: Payload) -> Result<(), (Payload, Trouble)> {
        match payload {
            Payload::Whole(event) => match self.journal.ready() {
                Ok(bundle) => self.put(exchange, bundle, at_micros, event),
                Err(trouble) => return Err((Payload::Whole(event), trouble)),
            },
            Payload::Octets { stream, mut data } => {
                while !data.is_empty() {
                    let (bundle, piece) = match self.piece(&mut data) {
                        Ok(piece) => piece,
                        Err(trouble) => return Err((Payload::Octets { stream, data }, trouble)),
                    };
                    if let Some(live) = self.live.get_mut(&exchange) {
                        live.digests.update(stream.direction(), &piece);
                    }
                    self.put(exchange, bundle, at_micros, stream.record(piece));
                }
            }
            Payload::Text { kind, mut text } => loop {
                let (bundle, piece) = match self.piece(&mut text) {
                    Ok(piece) => piece,
                    Err(trouble) => return Err((Payload::Text { kind, text }, trouble)),
                };
                self.put(exchange, bundle, at_micros, kind.record(piece, !text.is_empty()));
                if text.is_empty() {
                    break;
                }
            },
        }
        Ok(())
    }

    /// Cuts off as much of `data` as the next record can hold.
    fn piece(&mut self, data: &mut Bytes) -> Result<(Uuid, Bytes), Trouble> {
        let bundle = self.journal.ready()?;
        let length = self.journal.piece(data.len());
        Ok((bundle, data.split_to(length)))
    }

    fn close(
        &mut self,
        exchange: Uuid,
        bundle: Uuid,
        at_micros: u64,
        end: End,
        reply: Option<Reply<Location>>,
    ) {
        if end.interrupted {
            let reason = "events were refused while nothing could be recorded".to_owned();
            self.put(exchange, bundle, at_micros, record::Event::Gap(v1::Gap { reason }));
        }
        let Some(live) = self.live.get(&exchange) else { return };
        let (request, response) = live.digests.finish();
        let closed = convert::closed_to_proto(Closed { outcome: end.outcome, request, response });
        self.put(exchange, bundle, at_micros, record::Event::Closed(closed));
        let Some(live) = self.live.remove(&exchange) else { return };
        if let Some(reply) = reply {
            self.waiters.push(Waiter::Close(reply, Location { bundles: live.into_bundles() }));
        }
    }

    /// Puts a record into the bundle that the journal has made ready.
    fn put(&mut self, exchange: Uuid, bundle: Uuid, at_micros: u64, event: record::Event) {
        let Some(live) = self.live.get_mut(&exchange) else { return };
        if let Some(continued) = live.continue_in(bundle, at_micros) {
            self.journal.push(&continued);
        }
        self.journal.push(&live.record(at_micros, event));
    }

    /// Makes everything durable and answers those who wait for it.
    fn commit(&mut self) {
        match self.journal.commit() {
            Ok(()) => {
                self.answered = self.waiters.len();
                self.waiters.drain(..).for_each(Waiter::succeed);
            }
            Err(trouble) => self.trouble(trouble),
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        let now = Instant::now();
        let reason: Arc<str> = match trouble {
            Trouble::Congested => {
                self.mode = Mode::Congested;
                self.retry_at = now + CONGESTED_RETRY;
                return;
            }
            Trouble::Disk(error) => error.to_string().into(),
            Trouble::SpoolFull(store) => format!("the spool is full because of the store: {store}").into(),
        };
        if !matches!(self.mode, Mode::Failing(_)) {
            tracing::error!(%reason, "nothing can be recorded");
        }
        self.retry_at = now + RETRY;
        self.board.set_writer_trouble(Some(reason.clone()));
        for waiter in self.waiters.drain(..) {
            waiter.fail(RecordError::Failing { reason: reason.clone() });
        }
        self.backlog = self.backlog.drain(..).filter_map(|work| refuse(work, &reason)).collect();
        self.mode = Mode::Failing(reason);
    }

    /// Tries again what did not work, and then what has waited behind it.
    fn resume(&mut self) {
        if let Err(trouble) = self.journal.retry() {
            return self.trouble(trouble);
        }
        if matches!(self.mode, Mode::Failing(_)) {
            tracing::info!("recording goes on");
        }
        self.mode = Mode::Running;
        self.board.set_writer_trouble(None);
        while let (Mode::Running, Some(work)) = (&self.mode, self.backlog.pop_front()) {
            self.attempt(work);
        }
    }

    /// Writes all that was accepted, ends what is open, seals.
    fn shut_down(&mut self) -> Result<(), RecordError> {
        self.journal.lift_limit();
        while let Ok(Command::Work(work)) = self.queue.try_recv() {
            self.accept(work);
        }
        if !matches!(self.mode, Mode::Running) {
            self.resume();
        }
        let open: Vec<(Uuid, u64)> = self.live.iter().map(|(id, live)| (*id, live.age_micros())).collect();
        for (exchange, at_micros) in open {
            let end = End { outcome: Outcome::Abandoned, interrupted: false };
            self.accept(Work::Close { exchange, at_micros, end, reply: None });
        }
        if matches!(self.mode, Mode::Running) {
            self.commit();
        }
        if matches!(self.mode, Mode::Running)
            && let Err(trouble) = self.journal.seal()
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
        Work::Sync(reply) | Work::Flush(reply) => {
            let _ = reply.send(Err(failing()));
            None
        }
        Work::Close { exchange, at_micros, end, reply } => {
            if let Some(reply) = reply {
                let _ = reply.send(Err(failing()));
            }
            Some(Work::Close { exchange, at_micros, end, reply: None })
        }
        work @ (Work::Open { .. } | Work::Event { .. }) => Some(work),
    }
}

/// The recorder was closed, or every handle of it is gone.
struct Stop(Option<Reply<()>>);

impl Waiter {
    fn succeed(self) {
        match self {
            Self::Sync(reply) => drop(reply.send(Ok(()))),
            Self::Close(reply, location) => drop(reply.send(Ok(location))),
        }
    }

    fn fail(self, error: RecordError) {
        match self {
            Self::Sync(reply) => drop(reply.send(Err(error))),
            Self::Close(reply, _) => drop(reply.send(Err(error))),
        }
    }
}
