//! Whether the new tip of a ref descends from the old one: proven, or not said.
//!
//! The chain of commits from the new tip is followed through the pushed pack and, where it leaves the
//! pack before the old tip is met, through what the upstream has between the two. Every commit on the
//! way is known by the hash of its content, so neither the client nor the upstream can make a forced
//! update look like another. What is not proven, for whatever reason, counts as forced.

mod walk;

use std::{ops::ControlFlow, sync::Arc, time::Instant};

use lockgate_core::{
    protocol::Context,
    spool::{Spool, SpoolReader},
};

use crate::{
    ask::{Asker, Omit, Question},
    classify::{Ancestry, needs_ancestry},
    config::AncestryConfig,
    oid::{ObjectFormat, Oid},
    pack::{self, Budget, Commits, Event, PackError, Source},
    route::Route,
    work::Workshop,
};
use walk::{Walk, walk};

/// Finds out how updates relate to the history.
#[derive(Debug)]
pub(crate) struct Prover {
    config: AncestryConfig,
    scans: Workshop,
}

/// A push, as far as its history matters.
pub(crate) struct Pushed<'a> {
    pub(crate) route: &'a Route,
    pub(crate) format: ObjectFormat,
    pub(crate) commands: &'a [crate::parse::Command],
    pub(crate) spool: &'a Spool,
    /// Where in the spool the pack begins.
    pub(crate) pack: u64,
    /// The pack's commits, where somebody looked through all of it already.
    pub(crate) known: Option<Arc<Commits>>,
}

/// One update: its new and its old tip.
#[derive(Debug, Clone, Copy)]
struct Update {
    new: Oid,
    old: Oid,
}

impl Prover {
    pub(crate) fn new(config: AncestryConfig) -> Self {
        let scans = Workshop::new(config.scans);
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
        let known = pushed.known.clone();
        let (commits, walks) = self
            .blocking(move |budget| match known {
                Some(commits) => walk_all(&commits, &asked, budget).map(|walks| (commits, walks)),
                None => through_pack(&source, format, &asked, budget),
            })
            .await?;
        let mut open = Vec::new();
        for ((walk, answer), update) in walks.into_iter().zip(answers).zip(updates) {
            match walk {
                Walk::Reached => *answer = Ancestry::FastForward,
                Walk::Apart => *answer = Ancestry::Diverged,
                Walk::Missing(wants) => open.push((answer, *update, wants)),
                Walk::TooMany => {}
            }
        }
        let mut asker = Asker::new(context, pushed.route, format, self.config.answer);
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
        let have = Some(update.old);
        let question = Question { wants, have, omit: Omit::BlobsAndTrees, shallow: false };
        let answer = match asker.ask(&question).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(error = %chain(&error), "the upstream did not say how two commits relate");
                return Ancestry::Unknown;
            }
        };
        let (commits, format) = (Arc::clone(commits), update.new.format());
        let followed = self.blocking(move |budget| {
            let source = Spooled { spool: answer, start: 0 };
            let between = pack::scan(&source, format, budget, |_| ControlFlow::Continue(()))?;
            walk(&[&commits, &between], update.new, update.old, budget)
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
        work: impl FnOnce(&Budget) -> Result<T, PackError> + Send + 'static,
    ) -> Result<T, PackError> {
        self.scans.run(&Budget::new(self.config.commits, Instant::now() + self.config.scan_time), work).await
    }
}

/// Follows the updates through the pushed pack; ends as soon as all are proven.
fn through_pack(
    source: &impl Source,
    format: ObjectFormat,
    updates: &[Update],
    budget: &Budget,
) -> Result<(Arc<Commits>, Vec<Walk>), PackError> {
    let mut tried = false;
    let commits = pack::scan(source, format, budget, |event| match event {
        // Tried once only: a pack in another order than git's must not cost a walk per object.
        Event::Run(commits) if !std::mem::replace(&mut tried, true) => {
            match walk_all(commits, updates, budget) {
                Ok(walks) if walks.iter().all(|walk| *walk == Walk::Reached) => ControlFlow::Break(()),
                Ok(_) | Err(_) => ControlFlow::Continue(()),
            }
        }
        Event::Run(_) | Event::Commit(..) => ControlFlow::Continue(()),
    })?;
    let walks = walk_all(&commits, updates, budget)?;
    Ok((Arc::new(commits), walks))
}

fn walk_all(commits: &Commits, updates: &[Update], budget: &Budget) -> Result<Vec<Walk>, PackError> {
    updates.iter().map(|update| walk(&[commits], update.new, update.old, budget)).collect()
}

/// A pack within a spool.
pub(crate) struct Spooled {
    pub(crate) spool: Spool,
    pub(crate) start: u64,
}

impl Source for Spooled {
    fn reader(&self, offset: u64) -> impl std::io::Read {
        let reader: SpoolReader = self.spool.reader(self.start.saturating_add(offset));
        reader
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
