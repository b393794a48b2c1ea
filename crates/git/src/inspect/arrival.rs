//! A pack looked through while it arrives.
//!
//! No thread waits for a slow client: what came is gathered, and a piece of work is made of it whenever
//! the one before is done. So reading, looking and what is between them go on side by side, and when the
//! last byte is there little is left to do.

use std::time::{Duration, Instant};

use bytes::Bytes;
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

/// A pack that is not there yet.
pub(crate) struct Arrival {
    state: State,
    waiting: Vec<Bytes>,
    size: usize,
    budget: Budget,
    /// How long one piece of work may take.
    time: Duration,
    workshop: Workshop,
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
        Self { state: State::Idle(pass.into()), waiting: Vec::new(), size: 0, budget, time, workshop }
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
        let Self { state, waiting, budget, time, workshop, .. } = self;
        let mut pass = idle(state).await?;
        // Nobody is hurried who sends slowly.
        let own = Budget { until: Instant::now() + time, ..budget.clone() };
        let shop = workshop.clone();
        let work = async move {
            let work = move |budget: &Budget| {
                for bytes in waiting {
                    pass.feed(&bytes, budget)?;
                }
                Ok(pass)
            };
            shop.run(&own, work).await
        };
        let state = State::Busy(tokio::spawn(work));
        Ok(Self { state, waiting: Vec::new(), size: 0, budget, time, workshop })
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
