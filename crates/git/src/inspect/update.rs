//! What one update brings, out of the packs that are there; or what is missing to say so.

use std::collections::{self, BTreeSet};

use hashbrown::HashSet;

use super::{
    InspectError,
    content::{Hit, Seen},
    history::{self, History, Tip},
};
use crate::{
    config::InspectConfig,
    facts::{Facts, Found, TagKind, Wanted},
    oid::Oid,
    pack::{Budget, Details, Kind, Objects, Place, Source},
};

/// An update to be looked into.
pub(super) struct Update {
    /// Its place among the commands.
    pub(super) number: usize,
    pub(super) new: Oid,
    /// The old tip, if there is one.
    pub(super) old: Option<Oid>,
    /// What is not new: the old tip, or the upstream's default branch.
    pub(super) base: Option<Oid>,
    pub(super) tag: bool,
    /// Commits that the upstream was asked for, and said that the base reaches them.
    pub(super) settled: HashSet<Oid>,
}

/// Objects that none of the packs holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Whatever these reach and the base does not.
    pub(super) lacking: Vec<Oid>,
    /// These commits and their trees.
    pub(super) ground: BTreeSet<Oid>,
    /// These trees and all below them.
    pub(super) trees: BTreeSet<Oid>,
    /// These files.
    pub(super) blobs: BTreeSet<Oid>,
}

/// What was found out.
pub(super) enum Outcome {
    /// The facts, and what is left for those of other updates.
    Facts(Box<Facts>, Allowance),
    Needs(Needs),
}

/// Bytes that the facts of one push may still take. Each update brings what it brings, whatever others bring
/// as well: a few objects and thousands of refs make facts without end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance(usize);

/// Bytes that a text takes besides its own, about.
const TEXT: usize = 48;

impl Allowance {
    pub(super) fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Takes what some texts need.
    pub(super) fn take(&mut self, texts: &[&str]) -> Result<(), InspectError> {
        let size = texts.iter().map(|text| text.len() + TEXT).sum();
        let left = self.0.checked_sub(size);
        self.0 =
            left.ok_or(InspectError::TooLarge("facts about all its updates: push fewer refs at once"))?;
        Ok(())
    }
}

/// Looks into one update.
pub(super) struct Inquiry<'a, S> {
    pub(super) objects: &'a mut Objects<S>,
    /// What was seen of each pack.
    pub(super) seen: &'a [Seen],
    pub(super) config: &'a InspectConfig,
    pub(super) wanted: Wanted,
    pub(super) budget: &'a Budget,
    pub(super) update: &'a Update,
    pub(super) allowance: Allowance,
    /// Objects with secrets that are accounted for.
    pub(super) reached: &'a mut HashSet<Place>,
}

/// What is gathered on the way.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) facts: Facts,
    /// As they are written: whoever pushes chooses every byte of them, so by a hash that is made for that.
    pub(super) paths: collections::HashSet<Vec<u8>>,
    pub(super) needs: Needs,
    /// Files with secrets, and where they were seen first.
    pub(super) placed: Vec<(Place, Option<Oid>, String)>,
    pub(super) seen: HashSet<Place>,
    /// The trees that the update stands on.
    pub(super) ground: Vec<Oid>,
    /// Secrets in the names of files.
    pub(super) named: HashSet<(std::sync::Arc<str>, Option<lockgate_detect::Tag>)>,
}

impl<S: Source> Inquiry<'_, S> {
    /// # Errors
    /// [`InspectError`].
    pub(super) fn run(mut self) -> Result<Outcome, InspectError> {
        let (tags, tip) = history::peel(self.objects, self.update.new, self.budget)?;
        let mut olds: Vec<Oid> = self.update.base.into_iter().collect();
        if let Some(base) = self.update.base
            && let (_, Tip::Commit(commit)) = history::peel(self.objects, base, self.budget)?
        {
            olds.push(commit);
        }
        let history = match tip {
            Tip::Commit(new) | Tip::Missing(new) => {
                history::history(self.objects, self.update.number, new, &olds, self.budget)?
            }
            Tip::Tree(_) | Tip::Blob(_) => History::default(),
        };
        let mut missing = history.missing.clone();
        missing.retain(|oid| !self.update.settled.contains(oid));
        if !missing.is_empty() {
            return Ok(Outcome::Needs(Needs { lacking: missing, ..Needs::default() }));
        }
        let mut gathered = Gathered::default();
        self.metadata(&mut gathered, &history, &tags)?;
        if self.wanted.trees() {
            self.trees(&mut gathered, &history, &tags, tip)?;
        }
        if gathered.needs != Needs::default() {
            return Ok(Outcome::Needs(gathered.needs));
        }
        if self.wanted.content {
            self.findings(&mut gathered, &history, &tags)?;
        }
        let Gathered { mut facts, paths, .. } = gathered;
        let paths: BTreeSet<_> =
            paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        facts.paths = paths.into_iter().collect();
        Ok(Outcome::Facts(facts.into(), self.allowance))
    }

    /// Commits and tags themselves.
    fn metadata(
        &mut self,
        gathered: &mut Gathered,
        history: &History,
        tags: &[(Oid, Place)],
    ) -> Result<(), InspectError> {
        let facts = &mut gathered.facts;
        facts.commits = history.commits.len() as u64;
        if !self.wanted.history {
            return Ok(());
        }
        if self.update.tag {
            facts.tag = Some(match tags.first() {
                None if self.objects.find(&self.update.new).is_none() => {
                    gathered.needs.ground.insert(self.update.new);
                    return Ok(());
                }
                None => TagKind::Lightweight,
                Some((_, place)) if is_signed(&self.objects.content(*place, self.budget)?) => TagKind::Signed,
                Some(_) => TagKind::Annotated,
            });
        }
        let (mut authors, mut committers, mut size) = (BTreeSet::new(), BTreeSet::new(), 0);
        for oid in history.commits.iter().rev() {
            let details = self.details(*oid)?;
            size += details.message.len();
            if size > self.config.messages {
                return Err(InspectError::TooLarge("the commits' messages"));
            }
            self.allowance.take(&[&details.message])?;
            facts.unsigned += u64::from(!details.signed);
            facts.messages.push(details.message);
            for (people, person) in [(&mut authors, details.author), (&mut committers, details.committer)] {
                if !people.contains(&person) {
                    self.allowance.take(&[&person])?;
                    people.insert(person);
                }
            }
        }
        facts.authors = authors.into_iter().collect();
        facts.committers = committers.into_iter().collect();
        Ok(())
    }

    /// Secrets in what is reached.
    fn findings(
        &mut self,
        gathered: &mut Gathered,
        history: &History,
        tags: &[(Oid, Place)],
    ) -> Result<(), InspectError> {
        let commits: Vec<(Oid, Place)> = history
            .commits
            .iter()
            .filter_map(|oid| self.objects.find(oid).map(|(place, _)| (*oid, place)))
            .collect();
        for (oid, at) in commits.iter().chain(tags) {
            self.at(&mut gathered.facts, *at, Some(*oid), "")?;
        }
        for (at, commit, path) in std::mem::take(&mut gathered.placed) {
            self.at(&mut gathered.facts, at, commit, &path)?;
        }
        let old = history.old.iter().filter_map(|oid| self.objects.find(oid).map(|(place, _)| place));
        self.reached.extend(old);
        Ok(())
    }

    fn at(
        &mut self,
        facts: &mut Facts,
        at: Place,
        commit: Option<Oid>,
        path: &str,
    ) -> Result<(), InspectError> {
        self.reached.insert(at);
        let hits = self.seen.get(at.pack).and_then(|seen| seen.hits.by_place.get(&at.place));
        hits.into_iter().flatten().try_for_each(|hit| self.found(facts, commit, path, hit))
    }

    pub(super) fn found(
        &mut self,
        facts: &mut Facts,
        commit: Option<Oid>,
        path: &str,
        hit: &Hit,
    ) -> Result<(), InspectError> {
        add(facts, self.config.findings, found(commit, path, hit), &mut self.allowance)
    }

    fn details(&mut self, oid: Oid) -> Result<Details, InspectError> {
        let malformed = InspectError::malformed("commit", oid, "is malformed");
        let Some((place, Kind::Commit)) = self.objects.find(&oid) else { return Err(malformed) };
        if let Some(details) = self.seen.get(place.pack).and_then(|seen| seen.said.of(place.place)) {
            return Ok(details.clone());
        }
        let content = self.objects.content(place, self.budget)?;
        Details::parse(oid.format(), &content).ok_or(malformed)
    }
}

/// Lists a finding, or counts it.
pub(super) fn add(
    facts: &mut Facts,
    max: usize,
    found: Found,
    allowance: &mut Allowance,
) -> Result<(), InspectError> {
    if facts.findings.len() < max {
        allowance.take(&[&found.rule, &found.path, &found.tag])?;
        facts.findings.push(found);
    } else {
        facts.further += 1;
    }
    Ok(())
}

pub(super) fn found(commit: Option<Oid>, path: &str, hit: &Hit) -> Found {
    Found {
        rule: hit.rule.to_string(),
        commit,
        path: hit.part.unwrap_or(path).to_owned(),
        line: hit.line,
        tag: hit.tag.map(|tag| tag.to_string()).unwrap_or_default(),
    }
}

/// Whether a tag carries a signature: where git looks for one, at the beginning of a line of the message
/// (SHA-1), or in a header (SHA-256).
fn is_signed(tag: &[u8]) -> bool {
    tag.split(|byte| *byte == b'\n').any(|line| {
        let begins = |word: &str| line.starts_with(word.as_bytes());
        let armoured = ["PGP SIGNATURE", "PGP MESSAGE", "SSH SIGNATURE", "SIGNED MESSAGE"];
        begins("gpgsig ")
            || begins("gpgsig-sha256 ")
            || armoured.iter().any(|word| begins(&format!("-----BEGIN {word}-----")))
    })
}
