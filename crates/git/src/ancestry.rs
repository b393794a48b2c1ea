//! Whether the new tip of a ref descends from the old one: proven, or not said.
//!
//! The chain of commits from the new tip is followed through the pushed pack and, where it leaves the
//! pack before the old tip is met, through what the upstream has between the two. Every commit on the
//! way is known by the hash of its content, so neither the client nor the upstream can make a forced
//! update look like another. What is not proven, for whatever reason, counts as forced.

mod ask;
mod walk;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use lockgate_core::{
    protocol::Context,
    spool::{Spool, SpoolReader},
};
use tokio::sync::Semaphore;

use crate::{
    classify::{Ancestry, needs_ancestry},
    config::AncestryConfig,
    oid::{ObjectFormat, Oid},
    pack::{self, Budget, Commits, Event, PackError, Source},
    route::Route,
};
use ask::{Asker, Question};
use walk::{Walk, walk};

/// Finds out how updates relate to the history.
#[derive(Debug)]
pub(crate) struct Prover {
    config: AncestryConfig,
    scans: Arc<Semaphore>,
}

/// A push, as far as its history matters.
pub(crate) struct Pushed<'a> {
    pub(crate) route: &'a Route,
    pub(crate) format: ObjectFormat,
    pub(crate) commands: &'a [crate::parse::Command],
    pub(crate) spool: &'a Spool,
    /// Where in the spool the pack begins.
    pub(crate) pack: u64,
}

/// One update: its new and its old tip.
#[derive(Debug, Clone, Copy)]
struct Update {
    new: Oid,
    old: Oid,
}

impl Prover {
    pub(crate) fn new(config: AncestryConfig) -> Self {
        let scans = Arc::new(Semaphore::new(config.scans.max(1)));
        Self { config, scans }
    }

    /// The ancestry of each command, in their order; [`Ancestry::Unknown`] for those that need none.
    pub(crate) async fn prove(&self, context: Context<'_>, pushed: &Pushed<'_>) -> Vec<Ancestry> {
        let mut found = vec![Ancestry::Unknown; pushed.commands.len()];
        let places: Vec<usize> =
            (0..found.len()).filter(|place| needs_ancestry(&pushed.commands[*place])).collect();
        let updates = places.iter().map(|place| &pushed.commands[*place]);
        let updates: Vec<Update> =
            updates.map(|command| Update { new: command.new, old: command.old }).collect();
        if updates.is_empty() {
            return found;
        }
        let mut answers = vec![Ancestry::Unknown; updates.len()];
        if let Err(error) = self.through_all(context, pushed, &updates, &mut answers).await {
            tracing::info!(error = %chain(&error), "the pushed pack can't be followed: forced");
        }
        for (place, answer) in places.into_iter().zip(answers) {
            found[place] = answer;
        }
        found
    }

    async fn through_all(
        &self,
        context: Context<'_>,
        pushed: &Pushed<'_>,
        updates: &[Update],
        answers: &mut [Ancestry],
    ) -> Result<(), PackError> {
        let source = Spooled { spool: pushed.spool.clone(), start: pushed.pack };
        let (format, asked) = (pushed.format, updates.to_owned());
        let (commits, walks) =
            self.blocking(move |budget| through_pack(&source, format, &asked, &budget)).await?;
        let mut open = Vec::new();
        for ((walk, answer), update) in walks.into_iter().zip(answers).zip(updates) {
            match walk {
                Walk::Reached => *answer = Ancestry::FastForward,
                Walk::Apart => *answer = Ancestry::Diverged,
                Walk::Missing(wants) => open.push((answer, *update, wants)),
                Walk::TooMany => {}
            }
        }
        let commits = Arc::new(commits);
        let mut asker = Asker::new(context, pushed.route, format, &self.config);
        let asking = async {
            for (answer, update, wants) in open.into_iter().take(self.config.questions) {
                *answer = self.through_upstream(&mut asker, &commits, update, wants).await;
            }
        };
        if tokio::time::timeout(self.config.answer_time, asking).await.is_err() {
            tracing::info!("the upstream took too long to say how commits relate: forced");
        }
        Ok(())
    }

    async fn through_upstream(
        &self,
        asker: &mut Asker<'_>,
        commits: &Arc<Commits>,
        update: Update,
        wants: Vec<Oid>,
    ) -> Ancestry {
        let answer = match asker.ask(&Question { wants, have: update.old }).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(error = %chain(&error), "the upstream did not say how two commits relate");
                return Ancestry::Unknown;
            }
        };
        let (commits, format) = (Arc::clone(commits), update.new.format());
        let followed = self.blocking(move |budget| {
            let source = Spooled { spool: answer, start: 0 };
            let between = pack::scan(&source, format, &budget, |_| ControlFlow::Continue(()))?;
            walk(&[&commits, &between], update.new, update.old, &budget)
        });
        match followed.await {
            Ok(Walk::Reached) => Ancestry::FastForward,
            // What is missing now the upstream left out because the old tip reaches it.
            Ok(Walk::Apart | Walk::Missing(_) | Walk::TooMany) => Ancestry::Diverged,
            Err(error) => {
                tracing::info!(error = %chain(&error), "the upstream's answer can't be followed");
                Ancestry::Unknown
            }
        }
    }

    /// Runs blocking work within the limits; it stops when this future is dropped.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Budget) -> Result<T, PackError> + Send + 'static,
    ) -> Result<T, PackError> {
        let permit = Arc::clone(&self.scans).acquire_owned().await.map_err(|_| PackError::Stopped)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        let until = Instant::now() + self.config.scan_time;
        let budget = Budget { commits: self.config.commits, until, cancelled };
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(budget)
        });
        done.await.unwrap_or_else(|error| Err(PackError::Io(std::io::Error::other(error))))
    }
}

/// Follows the updates through the pushed pack; ends as soon as all are proven.
fn through_pack(
    source: &impl Source,
    format: ObjectFormat,
    updates: &[Update],
    budget: &Budget,
) -> Result<(Commits, Vec<Walk>), PackError> {
    let walk_all = |commits: &Commits| -> Result<Vec<Walk>, PackError> {
        updates.iter().map(|update| walk(&[commits], update.new, update.old, budget)).collect()
    };
    let mut tried = false;
    let commits = pack::scan(source, format, budget, |event| match event {
        // Tried once only: a pack in another order than git's must not cost a walk per object.
        Event::Run(commits) if !std::mem::replace(&mut tried, true) => match walk_all(commits) {
            Ok(walks) if walks.iter().all(|walk| *walk == Walk::Reached) => ControlFlow::Break(()),
            Ok(_) | Err(_) => ControlFlow::Continue(()),
        },
        Event::Run(_) | Event::Commit(..) => ControlFlow::Continue(()),
    })?;
    let walks = walk_all(&commits)?;
    Ok((commits, walks))
}

/// A pack within a spool.
struct Spooled {
    spool: Spool,
    start: u64,
}

impl Source for Spooled {
    fn reader(&self, offset: u64) -> impl std::io::Read {
        let reader: SpoolReader = self.spool.reader(self.start.saturating_add(offset));
        reader
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
