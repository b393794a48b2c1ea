//! What a push brings: every object of its pack looked at, every commit of every update, every path.
//!
//! A pack is looked through while it arrives ([`Arrival`]); afterwards its deltas are made into objects and
//! each update is followed through the pack. What the push lacks because the upstream has it is fetched
//! from there and looked through likewise, so that nothing is passed by pushing it in two steps. What can't
//! be found out is an error, never a fact: only what was wanted is looked for.

mod alone;
mod arrival;
mod batch;
mod changes;
mod content;
mod diff;
mod error;
mod fuzz;
mod history;
mod paths;
mod render;
mod said;
mod show;
mod supply;
mod tree;
mod update;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

use hashbrown::HashSet;
use lockgate_core::protocol::Context;

#[doc(hidden)]
pub use alone::measure_pack;
pub(crate) use arrival::{Arrival, Arrived};
pub(crate) use error::InspectError;
#[doc(hidden)]
pub use fuzz::{fuzz_objects, fuzz_pack};

use crate::{
    ancestry::{Pushed, Spooled},
    ask::Asker,
    config::InspectConfig,
    facts::{Facts, Wanted},
    oid::{ObjectFormat, Oid},
    pack::{Budget, Limits, Objects, Origin, Pass, Place},
    parse::Command,
    route::Route,
    work::Workshop,
};
use content::{Look, Seen};
use supply::Supplier;
use update::{Allowance, Inquiry, Needs, Outcome, Update};

/// How often an update is looked into before what is still missing counts as not to be had.
const ROUNDS: usize = 8;

/// Finds out what pushes bring.
#[derive(Debug, Clone)]
pub(crate) struct Inspector {
    config: Arc<InspectConfig>,
    workshop: Workshop,
}

/// The packs of one push, and what was seen of each.
struct Packs {
    objects: Objects<Spooled>,
    seen: Vec<Seen>,
}

/// What the updates of one push share.
struct Shared {
    packs: Packs,
    /// Objects with secrets that are accounted for.
    reached: HashSet<Place>,
    allowance: Allowance,
}

impl Inspector {
    pub(crate) fn new(config: InspectConfig) -> Self {
        let workshop = Workshop::new(config.jobs);
        Self { config: Arc::new(config), workshop }
    }

    /// Takes a pack as it arrives; none is looked at where nothing is wanted.
    pub(crate) fn begin(&self, format: ObjectFormat, wanted: Wanted) -> Option<Arrival> {
        let budget = self.budget();
        let pass = wanted.any().then(|| self.pass(format, wanted, true, &budget))?;
        Some(Arrival::new(pass, budget, self.config.time, &self.workshop))
    }

    /// The upstream's default branch, with which new refs are compared; `None` where it could not be asked in time.
    pub(crate) async fn head(
        &self,
        context: Context<'_>,
        route: &Route,
        format: ObjectFormat,
    ) -> Option<Option<Oid>> {
        let mut asker = Asker::new(context, route, format, self.config.answer);
        tokio::time::timeout(self.config.time, asker.head()).await.ok()?.ok()
    }

    /// What each command brings, in their order. Nothing is said of deletions, or where nothing is wanted. `head` is
    /// the upstream's default branch, where that is known.
    ///
    /// # Errors
    /// [`InspectError`].
    pub(crate) async fn facts(
        &self,
        context: Context<'_>,
        pushed: &Pushed<'_>,
        arrived: Option<Arrived>,
        wanted: Wanted,
        head: Option<Option<Oid>>,
    ) -> Result<Vec<Facts>, InspectError> {
        let mut all = vec![Facts::default(); pushed.commands.len()];
        let Some(Arrived { index, look, budget }) = arrived else { return Ok(all) };
        let budget = Budget { until: Instant::now() + self.config.time, ..budget };
        let mut supplier = Supplier::new(self, context, pushed, wanted, budget.clone());
        supplier.head = head;
        let packs = supplier.pushed(index, look).await?;
        let mut shared =
            Shared { packs, reached: HashSet::new(), allowance: Allowance::new(self.config.facts) };
        for (number, command) in pushed.commands.iter().enumerate() {
            if !command.new.is_null() {
                let update = Update::of(command, number, &mut supplier).await?;
                (shared, all[number]) = self.update(update, shared, &mut supplier).await?;
            }
        }
        self.add_unreached(shared, pushed.commands, &mut all)?;
        Ok(all)
    }

    async fn update(
        &self,
        mut update: Update,
        mut shared: Shared,
        supplier: &mut Supplier<'_>,
    ) -> Result<(Shared, Facts), InspectError> {
        let mut needs = Needs::default();
        for _ in 0..ROUNDS {
            let (config, wanted) = (Arc::clone(&self.config), supplier.wanted);
            let outcome;
            (shared, update, outcome) = self
                .workshop
                .run(&supplier.budget, move |budget| {
                    let inquiry = Inquiry {
                        objects: &mut shared.packs.objects,
                        seen: &shared.packs.seen,
                        config: &config,
                        wanted,
                        budget,
                        update: &update,
                        allowance: shared.allowance,
                        reached: &mut shared.reached,
                    };
                    let outcome = inquiry.run()?;
                    Ok::<_, InspectError>((shared, update, outcome))
                })
                .await?;
            match outcome {
                Outcome::Facts(facts, allowance) => return Ok((Shared { allowance, ..shared }, *facts)),
                Outcome::Needs(again) if again == needs => break,
                Outcome::Needs(new) => {
                    shared.packs = supplier.supply(shared.packs, &mut update, &new).await?;
                    needs = new;
                }
            }
        }
        Err(InspectError::Missing)
    }

    /// Secrets in objects that no update reaches: they go upstream all the same.
    fn add_unreached(
        &self,
        shared: Shared,
        commands: &[Command],
        all: &mut [Facts],
    ) -> Result<(), InspectError> {
        let Shared { packs, reached, mut allowance } = shared;
        let Some(Seen { hits, .. }) = packs.seen.first() else { return Ok(()) };
        let brought = all.iter_mut().zip(commands).filter(|(_, command)| !command.new.is_null());
        for (facts, _) in brought {
            facts.further += hits.further;
            for (place, hits) in &hits.by_place {
                if !reached.contains(&Place { pack: 0, place: *place }) {
                    for hit in hits {
                        let unreached = update::found(None, "(blob)", hit);
                        update::add(facts, self.config.findings, unreached, &mut allowance)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn budget(&self) -> Budget {
        Budget {
            inflate: Arc::new(AtomicU64::new(self.config.inflated)),
            ..Budget::new(self.config.commits, Instant::now() + self.config.time)
        }
    }

    fn pass(&self, format: ObjectFormat, wanted: Wanted, strict: bool, budget: &Budget) -> Pass<Look> {
        let InspectConfig { objects, object, held, .. } = *self.config;
        let look = Look::new(&self.config, format, wanted, strict);
        Pass::new(format, Limits { objects, object, held }, budget, look)
    }
}

impl Packs {
    fn add(&mut self, source: Spooled, index: crate::pack::Index, origin: Origin) -> usize {
        self.seen.push(Seen::default());
        self.objects.add(source, index, origin)
    }
}

#[cfg(test)]
mod tests;
