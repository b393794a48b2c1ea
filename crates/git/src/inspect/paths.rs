//! Which paths an update changes, and which files stand there.

use std::collections::BTreeSet;

use hashbrown::HashSet;

use super::{
    InspectError,
    content::{self, Hit},
    diff::Diff,
    history::{self, History, Tip},
    tree::{self, Entry},
    update::{Gathered, Inquiry, Needs},
};
use crate::{
    oid::Oid,
    pack::{Kind, Place, Source},
};

impl<S: Source> Inquiry<'_, S> {
    /// Compares the trees of all commits with those of their parents, and that of the new tip with the old.
    pub(super) fn trees(
        &mut self,
        gathered: &mut Gathered,
        history: &History,
        tags: &[(Oid, Place)],
        tip: Tip,
    ) -> Result<(), InspectError> {
        let (mut pairs, brought) = (Vec::new(), history.commits.iter().collect::<HashSet<_>>());
        for oid in &history.commits {
            let new = self.tree(*oid, &mut gathered.needs)?;
            let mut olds = Vec::new();
            let parents = history::parents(self.objects, self.update.number, oid);
            for parent in parents.into_iter().flatten().collect::<Vec<_>>() {
                let old = self.tree(parent, &mut gathered.needs)?;
                gathered.ground.extend(old.filter(|_| !brought.contains(&parent)));
                olds.push(old);
            }
            // The first commit is compared with nothing at all.
            if olds.is_empty() {
                olds.push(None);
            }
            pairs.push((Some(*oid), new, olds));
        }
        let new = match tip {
            Tip::Commit(oid) => self.tree(oid, &mut gathered.needs)?,
            Tip::Tree(oid) => Some(oid),
            Tip::Blob(_) => None,
            Tip::Missing(oid) if self.update.old.is_some() => self.tree(oid, &mut gathered.needs)?,
            Tip::Missing(_) => None,
        };
        let bringer = match tip {
            Tip::Commit(oid) | Tip::Missing(oid) => Some(oid),
            Tip::Tree(_) | Tip::Blob(_) => tags.first().map(|(tag, _)| *tag),
        };
        if let Some(old) = self.update.old {
            let old = self.old_tree(old, &mut gathered.needs)?;
            gathered.ground.extend(old);
            pairs.push((bringer, new, vec![old]));
        } else if let Tip::Tree(_) = tip {
            pairs.push((bringer, new, vec![None]));
        }
        if let Tip::Blob(blob) = tip {
            self.file(gathered, bringer, b"(blob)", blob)?;
        }
        if gathered.needs != Needs::default() {
            return Ok(());
        }
        for (commit, new, olds) in pairs {
            self.compare(gathered, commit, new, &olds)?;
        }
        if !gathered.needs.blobs.is_empty() || !gathered.placed.is_empty() {
            self.forget_what_is_not_new(gathered)?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        gathered: &mut Gathered,
        commit: Option<Oid>,
        new: Option<Oid>,
        olds: &[Option<Oid>],
    ) -> Result<(), InspectError> {
        let (mut changed, mut names) = (Vec::new(), Vec::new());
        let missing = BTreeSet::new();
        let (budget, path) = (self.budget, self.config.path);
        let mut diff = Diff { objects: self.objects, seen: self.seen, budget, path, missing };
        let (max, scans, allowance) = (self.config.paths, self.wanted.content, &mut self.allowance);
        diff.run(new, olds, |path, entry, _| {
            if scans && let Some(Entry { oid, .. }) = entry.filter(|entry| !entry.is_gitlink()) {
                changed.push((path.to_vec(), oid));
            }
            if !gathered.paths.contains(path) {
                allowance.take(&[&String::from_utf8_lossy(path)])?;
                gathered.paths.insert(path.to_vec());
                // Those that an earlier commit changed were looked at there.
                if scans {
                    names.extend_from_slice(path);
                    names.push(b'\n');
                }
            }
            if gathered.paths.len() > max || changed.len() > max {
                return Err(InspectError::TooLarge("paths in one update"));
            }
            Ok(())
        })?;
        gathered.needs.trees.append(&mut diff.missing);
        for (path, blob) in changed {
            self.file(gathered, commit, &path, blob)?;
        }
        if scans && !names.is_empty() {
            for finding in content::find(self.config, &names) {
                if gathered.named.insert((finding.rule.clone(), finding.tag)) {
                    let hit = Hit { rule: finding.rule, tag: finding.tag, part: Some("(path)"), line: 0 };
                    self.found(&mut gathered.facts, commit, "", &hit)?;
                }
            }
        }
        Ok(())
    }

    /// A file that was added or changed.
    fn file(
        &mut self,
        gathered: &mut Gathered,
        commit: Option<Oid>,
        path: &[u8],
        blob: Oid,
    ) -> Result<(), InspectError> {
        match self.objects.find(&blob) {
            Some((at, Kind::Blob)) => {
                let size = self.objects.index(at.pack).size(at.place);
                gathered.facts.largest = gathered.facts.largest.max(size);
                let hits = self.seen.get(at.pack);
                let hits = hits.is_some_and(|seen| seen.hits.by_place.contains_key(&at.place));
                if hits && gathered.seen.insert(at) {
                    let path = String::from_utf8_lossy(path).into_owned();
                    self.allowance.take(&[&path])?;
                    gathered.placed.push((at, commit, path));
                }
                Ok(())
            }
            Some((_, Kind::Commit | Kind::Tree | Kind::Tag)) => {
                Err(InspectError::malformed("object", blob, "is no file"))
            }
            None if self.wanted.content => {
                gathered.needs.blobs.insert(blob);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What stands in what the update stands on is neither fetched nor found again.
    fn forget_what_is_not_new(&mut self, gathered: &mut Gathered) -> Result<(), InspectError> {
        let name = |at: Place| self.objects.index(at.pack).name(at.place);
        let mut sought: HashSet<Oid> = gathered.placed.iter().filter_map(|(at, ..)| name(*at)).collect();
        sought.extend(&gathered.needs.blobs);
        let (mut old, mut seen, mut open) = (HashSet::new(), HashSet::new(), gathered.ground.clone());
        while let Some(tree) = open.pop() {
            let Some((at, Kind::Tree)) = self.objects.find(&tree) else { continue };
            if !seen.insert(tree) {
                continue;
            }
            let content = self.objects.content(at, self.budget)?;
            // What the upstream has is not refused for what it is: unread, it counts as new.
            let entries = tree::entries(&content, tree.format().width()).unwrap_or_default();
            open.extend(entries.iter().filter(|entry| entry.is_tree()).map(|entry| entry.oid));
            old.extend(entries.iter().map(|entry| entry.oid).filter(|oid| sought.contains(oid)));
        }
        gathered.needs.blobs.retain(|oid| !old.contains(oid));
        let name = |at: Place| self.objects.index(at.pack).name(at.place);
        gathered.placed.retain(|(at, ..)| {
            let forgotten = name(*at).is_some_and(|name| old.contains(&name));
            if forgotten {
                self.reached.insert(*at);
            }
            !forgotten
        });
        Ok(())
    }

    /// The tree of a commit; noted as missing where none of the packs holds the commit.
    fn tree(&mut self, oid: Oid, needs: &mut Needs) -> Result<Option<Oid>, InspectError> {
        if let Some(tree) = self.objects.packs().find_map(|(_, index)| index.commits().tree(&oid)) {
            return Ok(Some(tree));
        }
        match self.objects.find(&oid) {
            Some((_, Kind::Commit)) => Err(InspectError::malformed("commit", oid, "has no tree")),
            Some((_, Kind::Tree | Kind::Blob | Kind::Tag)) => {
                Err(InspectError::malformed("object", oid, "is no commit"))
            }
            None => {
                needs.ground.insert(oid);
                Ok(None)
            }
        }
    }

    /// The tree of the old tip, whatever that is.
    fn old_tree(&mut self, old: Oid, needs: &mut Needs) -> Result<Option<Oid>, InspectError> {
        match history::peel(self.objects, old, self.budget)?.1 {
            Tip::Commit(commit) => self.tree(commit, needs),
            Tip::Tree(tree) => Ok(Some(tree)),
            Tip::Blob(_) => Ok(None),
            Tip::Missing(oid) => {
                needs.ground.insert(oid);
                Ok(None)
            }
        }
    }
}
