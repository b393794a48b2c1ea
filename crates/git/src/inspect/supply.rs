//! Fetches from the upstream what a push lacks, and looks through it.

use std::collections::BTreeSet;

use hashbrown::HashSet;
use lockgate_core::{protocol::Context, spool::Spool};

use super::{
    InspectError, Inspector, Packs,
    content::Look,
    update::{Needs, Update},
};
use crate::{
    ancestry::{Pushed, Spooled},
    ask::{AskError, Asker, Omit, Question},
    classify,
    facts::Wanted,
    oid::{ObjectFormat, Oid},
    pack::{self, Budget, Index, Objects, Origin, PackError},
    parse::Command,
};

/// Objects that the upstream is asked for at once.
const WANTS: usize = 10_000;

pub(super) struct Supplier<'a> {
    inspector: &'a Inspector,
    asker: Asker<'a>,
    spool: Spooled,
    format: ObjectFormat,
    pub(super) wanted: Wanted,
    pub(super) budget: Budget,
    /// The upstream's default branch, once somebody asked.
    pub(super) head: Option<Option<Oid>>,
}

impl<'a> Supplier<'a> {
    pub(super) fn new(
        inspector: &'a Inspector,
        context: Context<'a>,
        pushed: &Pushed<'a>,
        wanted: Wanted,
        budget: Budget,
    ) -> Self {
        let format = pushed.format;
        Self {
            inspector,
            asker: Asker::new(context, pushed.route, format, inspector.config.answer),
            spool: Spooled { spool: pushed.spool.clone(), start: pushed.pack },
            format,
            wanted,
            budget,
            head: None,
        }
    }

    /// The pushed pack, all its deltas resolved; what they stand on is fetched.
    pub(super) async fn pushed(&mut self, index: Index, look: Look) -> Result<Packs, InspectError> {
        let objects = Objects::new(self.format, self.inspector.config.held);
        let mut packs = Packs { objects, seen: Vec::new() };
        let Spooled { spool, start } = &self.spool;
        let number = packs.add(Spooled { spool: spool.clone(), start: *start }, index, Origin::Pushed);
        let mut missing;
        (packs, missing) = self.resolve(packs, number, look, true).await?;
        // What they are is not known yet, and a filter lets pass either files or trees.
        for omit in [Omit::BlobsAndTrees, Omit::Nothing] {
            if missing.is_empty() {
                break;
            }
            let question = Question { wants: missing, have: None, omit, shallow: true };
            packs = self.fetch(packs, question, Origin::Known).await?;
            let look = self.look(true);
            (packs, missing) = self.resolve(packs, number, look, true).await?;
        }
        if missing.is_empty() { Ok(packs) } else { Err(InspectError::Missing) }
    }

    /// Adds what an update needs.
    pub(super) async fn supply(
        &mut self,
        packs: Packs,
        update: &mut Update,
        needs: &Needs,
    ) -> Result<Packs, InspectError> {
        let mut packs = packs;
        let number = update.number;
        let lacking = match self.wanted {
            Wanted { content: true, .. } => Omit::Nothing,
            Wanted { paths: true, .. } => Omit::Blobs,
            Wanted { .. } => Omit::BlobsAndTrees,
        };
        let wants = |oids: &BTreeSet<Oid>| oids.iter().copied().collect();
        let ask = |wants, have, omit, shallow| Question { wants, have, omit, shallow };
        let questions = [
            (ask(needs.lacking.clone(), update.base, lacking, false), Origin::Lacking(number)),
            (ask(wants(&needs.ground), None, Omit::Blobs, true), Origin::Known),
            (ask(wants(&needs.trees), None, Omit::Blobs, true), Origin::Known),
            (ask(wants(&needs.blobs), None, Omit::Nothing, true), Origin::Known),
        ];
        for (question, origin) in questions {
            if !question.wants.is_empty() {
                packs = self.fetch(packs, question, origin).await?;
            }
        }
        // What the answer does not hold now, the base reaches.
        update.settled.extend(&needs.lacking);
        Ok(packs)
    }

    /// The upstream's default branch.
    async fn head(&mut self) -> Result<Option<Oid>, InspectError> {
        if let Some(head) = self.head {
            return Ok(head);
        }
        let until = self.budget.until.into();
        let head = tokio::time::timeout_at(until, self.asker.head()).await;
        let head = head.map_err(|_| InspectError::Slow)?.map_err(InspectError::asked)?;
        self.head = Some(head);
        Ok(head)
    }

    async fn fetch(
        &mut self,
        packs: Packs,
        question: Question,
        origin: Origin,
    ) -> Result<Packs, InspectError> {
        if question.wants.len() > WANTS {
            return Err(InspectError::TooLarge("objects that the push lacks"));
        }
        let until = self.budget.until.into();
        let answer: Result<Spool, AskError> = tokio::time::timeout_at(until, self.asker.ask(&question))
            .await
            .map_err(|_| InspectError::Slow)?;
        let spool = answer.map_err(InspectError::asked)?;
        let pass = self.inspector.pass(self.format, self.wanted, false, &self.budget);
        let mut packs = packs;
        let work = move |budget: &Budget| {
            let source = Spooled { spool, start: 0 };
            let (index, look) = pack::pass(&source, pass, budget).map_err(InspectError::Answer)?;
            let number = packs.add(source, index, origin);
            Ok::<_, InspectError>((packs, number, look))
        };
        let (packs, number, look) = self.inspector.workshop.run(&self.budget, work).await?;
        let (packs, missing) = self.resolve(packs, number, look, false).await?;
        if missing.is_empty() {
            Ok(packs)
        } else {
            Err(InspectError::Answer(PackError::Malformed("a delta's base is missing")))
        }
    }

    /// Makes objects of a pack's deltas; adds what was found in it so far to what is found in them.
    async fn resolve(
        &self,
        packs: Packs,
        number: usize,
        look: Look,
        strict: bool,
    ) -> Result<(Packs, Vec<Oid>), InspectError> {
        let (mut packs, mut look, max) = (packs, look, self.inspector.config.findings);
        let work = move |budget: &Budget| {
            let missing = pack::resolve(&mut packs.objects, number, budget, &mut look);
            let missing = missing.and_then(|missing| look.settle().map(|()| missing));
            let missing = missing.map_err(|error| {
                if strict { InspectError::Pushed(error) } else { InspectError::Answer(error) }
            })?;
            packs.seen[number].append(max, look.seen);
            Ok((packs, missing))
        };
        self.inspector.workshop.run(&self.budget, work).await
    }

    fn look(&self, strict: bool) -> Look {
        Look::new(&self.inspector.config, self.format, self.wanted, strict)
    }
}

impl Update {
    /// The update that a command asks for.
    pub(super) async fn of(
        command: &Command,
        number: usize,
        supplier: &mut Supplier<'_>,
    ) -> Result<Self, InspectError> {
        let old = Some(command.old).filter(|old| !old.is_null());
        let base = match old {
            Some(old) => Some(old),
            None => supplier.head().await?,
        };
        let tag = classify::is_tag(command);
        Ok(Self { number, new: command.new, old, base, tag, settled: HashSet::new() })
    }
}
