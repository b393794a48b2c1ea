//! What an approver is shown of a push: which files each update changes and how, compared with what the
//! upstream has. Made of the same bytes that go upstream, of objects that hash to their names.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use lockgate_core::protocol::Context;

use super::{
    InspectError, Inspector, Packs, ROUNDS,
    diff::Diff,
    history::{self, Tip},
    render::{Changed, Room, Side},
    supply::Supplier,
    update::{Needs, Update},
};
use crate::{
    ancestry::{Pushed, Spooled},
    config::InspectConfig,
    facts::Wanted,
    oid::Oid,
    pack::{self, Budget, Kind, Objects, Source},
};

/// Updates that are shown, and files of each.
const UPDATES: usize = 20;
const FILES: usize = 200;
/// How long it may take: the client waits, and is not kept alive yet.
const TIME: Duration = Duration::from_secs(20);

/// What one look yields.
enum Step {
    Needs(Needs),
    Text(String),
}

impl Inspector {
    /// Shows what a push changes, as text for people; secrets in it are masked.
    ///
    /// The pack is read once more. What is known of it from its arrival takes tens of megabytes where it is large, and
    /// would have to be kept for every push until that has gone upstream, for the few that people are asked about; and
    /// those wait for people.
    ///
    /// # Errors
    /// [`InspectError`] where it can't be found out.
    pub(crate) async fn show(
        &self,
        context: Context<'_>,
        pushed: &Pushed<'_>,
    ) -> Result<String, InspectError> {
        let wanted = Wanted { paths: true, ..Wanted::default() };
        let budget = Budget { until: Instant::now() + TIME.min(self.config.time), ..self.budget() };
        let pass = self.pass(pushed.format, wanted, true, &budget);
        let source = Spooled { spool: pushed.spool.clone(), start: pushed.pack };
        let read = move |budget: &Budget| Ok::<_, InspectError>(pack::pass(&source, pass, budget)?);
        let (index, look) = self.workshop.run(&budget, read).await?;
        let mut supplier = Supplier::new(self, context, pushed, wanted, budget);
        let mut packs = supplier.pushed(index, look).await?;
        let (mut room, mut text) = (Room::default(), String::new());
        let brings = || pushed.commands.iter().enumerate().filter(|(_, command)| !command.new.is_null());
        for (number, command) in brings().take(UPDATES) {
            let update = Update::of(command, number, &mut supplier).await?;
            let shown;
            (packs, room, shown) = self.show_update(update, packs, room, &mut supplier).await?;
            text.push_str(&format!("{} {shown}", command.name));
        }
        if let more @ 1.. = brings().count().saturating_sub(UPDATES) {
            text.push_str(&format!("and {more} more refs, which are not shown\n"));
        }
        Ok(text)
    }

    async fn show_update(
        &self,
        mut update: Update,
        mut packs: Packs,
        mut room: Room,
        supplier: &mut Supplier<'_>,
    ) -> Result<(Packs, Room, String), InspectError> {
        let mut fetched = false;
        for _ in 0..ROUNDS {
            let config = Arc::clone(&self.config);
            let step;
            (packs, room, update, step) = self
                .workshop
                .run(&supplier.budget, move |budget| {
                    let objects = &mut packs.objects;
                    let step = Viewer { objects, config: &config, budget, update: &update, fetched }
                        .look(&mut room)?;
                    Ok::<_, InspectError>((packs, room, update, step))
                })
                .await?;
            match step {
                Step::Text(text) => return Ok((packs, room, text)),
                Step::Needs(needs) => {
                    fetched |= !needs.blobs.is_empty();
                    packs = supplier.supply(packs, &mut update, &needs).await?;
                }
            }
        }
        Err(InspectError::Missing)
    }
}

/// Looks at one update, within the packs that are there.
struct Viewer<'a, S> {
    objects: &'a mut Objects<S>,
    config: &'a InspectConfig,
    budget: &'a Budget,
    update: &'a Update,
    /// Whether the files that were missing were asked for already.
    fetched: bool,
}

impl<S: Source> Viewer<'_, S> {
    fn look(&mut self, room: &mut Room) -> Result<Step, InspectError> {
        let mut needs = Needs::default();
        let new = self.tree(self.update.new, &mut needs)?;
        let base = self.base()?;
        let old = match base {
            Some(base) => self.tree(base, &mut needs)?,
            None => None,
        };
        if needs != Needs::default() {
            return Ok(Step::Needs(needs));
        }
        let mut changed = Vec::new();
        let (max, budget, path) = (self.config.paths, self.budget, self.config.path);
        let mut diff = Diff { objects: self.objects, seen: &[], budget, path, missing: BTreeSet::new() };
        diff.run(new, &[old], |path, new, olds| {
            let side = |entry: &super::tree::Entry<'_>| Side { mode: entry.mode, oid: entry.oid };
            let (old, new) = (olds.iter().flatten().next().map(side), new.as_ref().map(side));
            changed.push(Changed { path: String::from_utf8_lossy(path).into_owned(), old, new });
            if changed.len() > max { Err(InspectError::TooLarge("paths in one update")) } else { Ok(()) }
        })?;
        needs.trees = diff.missing;
        changed.sort_by(|a, b| a.path.cmp(&b.path));
        let sides = changed.iter().take(FILES).flat_map(|changed| [changed.old, changed.new]).flatten();
        let blobs = sides.filter(|side| !side.is_gitlink()).map(|side| side.oid);
        if !self.fetched {
            needs.blobs = blobs.filter(|oid| self.objects.find(oid).is_none()).collect();
        }
        if needs != Needs::default() {
            return Ok(Step::Needs(needs));
        }
        let text = room.show(self.objects, self.config, self.budget, base, &changed, FILES)?;
        Ok(Step::Text(text))
    }

    /// What the new tip is compared with: the old one; for a new ref where it leaves what the upstream has.
    fn base(&mut self) -> Result<Option<Oid>, InspectError> {
        if let Some(old) = self.update.old {
            return Ok(Some(old));
        }
        let (_, Tip::Commit(tip) | Tip::Missing(tip)) =
            history::peel(self.objects, self.update.new, self.budget)?
        else {
            return Ok(None);
        };
        let (mut seen, mut open, mut ends) = (HashSet::new(), vec![tip], BTreeSet::new());
        while let Some(oid) = open.pop() {
            self.budget.check()?;
            if seen.insert(oid) {
                match history::parents(self.objects, self.update.number, &oid) {
                    Some(parents) => open.extend(parents),
                    None => drop(ends.insert(oid)),
                }
            }
        }
        Ok(if ends.len() > 1 { self.update.base } else { ends.pop_first() })
    }

    /// The tree of whatever a ref points at; nothing for a file.
    fn tree(&mut self, oid: Oid, needs: &mut Needs) -> Result<Option<Oid>, InspectError> {
        match history::peel(self.objects, oid, self.budget)?.1 {
            Tip::Commit(commit) => {
                let Some((at, Kind::Commit)) = self.objects.find(&commit) else { return Ok(None) };
                let tree = self.objects.index(at.pack).commits().tree(&commit);
                tree.map(Some).ok_or(InspectError::malformed("commit", commit, "has no tree"))
            }
            Tip::Tree(tree) => Ok(Some(tree)),
            Tip::Blob(_) => Ok(None),
            Tip::Missing(oid) => {
                needs.ground.insert(oid);
                Ok(None)
            }
        }
    }
}
