//! A pack looked through while it arrives.
//!
//! No thread waits for a slow client: what came is gathered, and a piece of work is made of it whenever
//! the one before is done. So reading, looking and what is between them go on side by side, and when the
//! last byte is there little is left to do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use lockgate_core::protocol::Gate;
use tokio::task::JoinHandle;

use super::{InspectError, content::Look};
use crate::{
    pack::{Budget, Index, PackError, Pass},
    work::Workshop,
};

/// Bytes for which a piece of work is begun.
const PIECE: usize = 256 * 1024;
/// Bytes that may wait for one to be done.
const WAITING: usize = 2 << 20;

/// Bytes of what was looked through that are kept back all the same.
const KEPT_BACK: u64 = 4 * 1024;

/// A way for what was looked through to go on.
#[derive(Clone)]
struct Onward {
    gate: Gate,
    /// Where the pack begins in what goes.
    pack: u64,
}

impl Onward {
    fn open(&self, pass: &Pass<Look>) {
        if let Some(bytes) = pass.unfinished().checked_sub(KEPT_BACK) {
            self.gate.open(self.pack + bytes);
        }
    }
}

/// A pack that is not there yet.
pub(crate) struct Arrival {
    state: State,
    waiting: Vec<Bytes>,
    size: usize,
    budget: Budget,
    /// How long one piece of work may take.
    time: Duration,
    workshop: Workshop,
    onward: Option<Onward>,
}

/// A pack that was looked through, but for its deltas.
pub(crate) struct Arrived {
    pub(crate) index: Index,
    pub(super) look: Look,
    pub(super) budget: Budget,
}

enum State {
    Idle(Box<Pass<Look>>),
    Busy(JoinHandle<Result<Box<Pass<Look>>, PackError>>),
}

impl Arrival {
    pub(super) fn new(pass: Pass<Look>, budget: Budget, time: Duration, workshop: &Workshop) -> Self {
        let workshop = workshop.clone();
        Self {
            state: State::Idle(pass.into()),
            waiting: Vec::new(),
            size: 0,
            budget,
            time,
            workshop,
            onward: None,
        }
    }

    /// Lets go on what was looked through, but for what makes it a pack; `pack` is where it begins in what goes.
    pub(crate) fn lead_on(&mut self, gate: Gate, pack: u64) {
        self.onward = Some(Onward { gate, pack });
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`InspectError::Pushed`] for what is no pack.
    pub(crate) async fn feed(self, bytes: Bytes) -> Result<Self, InspectError> {
        let mut arrival = self;
        arrival.size += bytes.len();
        arrival.waiting.push(bytes);
        let done = match &arrival.state {
            State::Idle(_) => true,
            State::Busy(work) => work.is_finished(),
        };
        if arrival.size >= WAITING || (done && arrival.size >= PIECE) {
            arrival = arrival.work().await?;
        }
        Ok(arrival)
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`InspectError::Pushed`] for what is no pack.
    pub(crate) async fn finish(self) -> Result<Arrived, InspectError> {
        let budget = self.budget.clone();
        let pass = self.work().await?.idle().await?;
        let (index, look) = pass.finish()?;
        Ok(Arrived { index, look, budget })
    }

    /// Begins to work on what waits, when what was begun is done.
    async fn work(self) -> Result<Self, InspectError> {
        let Self { state, waiting, budget, time, workshop, onward, .. } = self;
        let mut pass = idle(state).await?;
        // Nobody is hurried who sends slowly.
        let own = Budget { until: Instant::now() + time, ..budget.clone() };
        let (shop, on) = (workshop.clone(), onward.clone());
        let work = async move {
            let work = move |budget: &Budget| {
                for bytes in waiting {
                    pass.feed(&bytes, budget)?;
                }
                // Not for each of these: before any of it goes, the recording is made durable.
                if let Some(onward) = &on {
                    onward.open(&pass);
                }
                Ok(pass)
            };
            shop.run(&own, work).await
        };
        let state = State::Busy(tokio::spawn(work));
        Ok(Self { state, waiting: Vec::new(), size: 0, budget, time, workshop, onward })
    }

    async fn idle(self) -> Result<Box<Pass<Look>>, InspectError> {
        idle(self.state).await
    }
}

async fn idle(state: State) -> Result<Box<Pass<Look>>, InspectError> {
    match state {
        State::Idle(pass) => Ok(pass),
        State::Busy(work) => {
            let done = work.await.map_err(std::io::Error::other).map_err(PackError::Io)?;
            Ok(done?)
        }
    }
}
