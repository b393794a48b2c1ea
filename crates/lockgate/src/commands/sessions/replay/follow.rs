//! Where the events of an exchange come from: a store that has all of them, or has more from time to time.

use std::time::Duration;

use anyhow::{Result, ensure};
use lockgate_recording::{ExchangeReader, Recorded};
use tokio::time::Instant;
use uuid::Uuid;

use crate::people::Person;

/// How often there is looked for more.
const LOOK: Duration = Duration::from_millis(500);
/// How long an exchange may say nothing before the index is asked whether it has ended. A recording takes less than
/// this to reach the store.
const QUIET: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct Source {
    reader: ExchangeReader,
    following: Option<Following>,
}

struct Following {
    person: Person,
    exchange: Uuid,
    /// Since when nothing was said, or the index was not asked.
    quiet: Instant,
    has_begun: bool,
    end: End,
}

/// What the index knows of the end of an exchange that says nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// None.
    Open,
    /// It has ended: the last of the recording may be on its way.
    Told,
    /// There is no more on its way.
    Over,
}

impl Source {
    /// What the store has.
    pub(super) fn stored(reader: ExchangeReader) -> Self {
        Self { reader, following: None }
    }

    /// What is there, and what comes, until the exchange has ended.
    pub(super) fn following(person: Person, exchange: Uuid) -> Result<Self> {
        // Where the recorder is on this machine, what waits for the store is read in its spool.
        let spool = person.spool();
        let reader = person.archive_here()?.follow(exchange, spool.as_deref());
        let quiet = Instant::now();
        let following = Following { person, exchange, quiet, has_begun: false, end: End::Open };
        Ok(Self { reader, following: Some(following) })
    }

    /// The next event; none after the last, or where the exchange was cut off.
    pub(super) async fn next(&mut self) -> Result<Option<Recorded>> {
        loop {
            if let Some(recorded) = self.reader.next().await? {
                return Ok(Some(recorded));
            }
            let Some(following) = &mut self.following else { return Ok(None) };
            if self.reader.is_complete() || following.end == End::Over {
                return Ok(None);
            }
            self.reader.look().await?;
            if let Some(recorded) = self.reader.next().await? {
                (following.quiet, following.has_begun) = (Instant::now(), true);
                return Ok(Some(recorded));
            }
            following.wait().await?;
        }
    }

    /// Whether the end was read.
    pub(super) fn is_complete(&self) -> bool {
        self.reader.is_complete()
    }
}

impl Following {
    /// Waits a little. Finds out whether more can come, where nothing came for long.
    async fn wait(&mut self) -> Result<()> {
        tokio::time::sleep(LOOK).await;
        if self.quiet.elapsed() < QUIET {
            return Ok(());
        }
        self.quiet = Instant::now();
        let is_known = self.person.client.entry(&self.exchange.to_string()).await.is_ok();
        self.end = match self.end {
            End::Open if is_known => End::Told,
            End::Told | End::Over => End::Over,
            // A control plane that is away knows no end either.
            End::Open => End::Open,
        };
        ensure!(self.has_begun || is_known, "its recording is not in the store");
        Ok(())
    }
}
