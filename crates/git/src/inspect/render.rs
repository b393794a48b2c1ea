//! Changes of files as text for people: a list, and unified diffs as far as there is room.

use std::{fmt::Write as _, time::Duration};

use lockgate_detect::{KnownValues, MaskOptions, Masker};
use similar::{ChangeTag, TextDiff};

use super::InspectError;
use crate::{
    config::InspectConfig,
    oid::Oid,
    pack::{Budget, Kind, Objects, Source},
    refname::is_hidden,
};

/// Lines of diffs that are shown of one push, and of one file; characters of a line.
const LINES: usize = 2_000;
const OF_FILE: usize = 500;
const WIDTH: usize = 400;
/// Bytes of a file that is compared line by line, and how long that may take.
const LARGE: u64 = 1 << 20;
const TIME: Duration = Duration::from_secs(1);
/// Bytes at the beginning of a file by which git tells whether it is binary.
const BEGINNING: usize = 8_000;
/// Digits of a name that people read.
const SHORT: usize = 12;

const GITLINK: u32 = 0o160_000;

/// A file before or after.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) mode: u32,
    pub(super) oid: Oid,
}

impl Side {
    /// Whether it names a commit of another repository.
    pub(super) fn is_gitlink(self) -> bool {
        self.mode == GITLINK
    }
}

/// A file that an update adds, changes or removes.
pub(super) struct Changed {
    pub(super) path: String,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
}

/// How much more is shown.
pub(super) struct Room {
    lines: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { lines: LINES }
    }
}

/// What is said of one file: beside its path, and below.
struct Shown {
    beside: String,
    lines: Vec<String>,
}

impl Room {
    /// `compared with 1234, all commits together`, a line per file, their number, and diffs. Files behind `most` are only counted.
    pub(super) fn show<S: Source>(
        &mut self,
        objects: &mut Objects<S>,
        config: &InspectConfig,
        budget: &Budget,
        base: Option<Oid>,
        changed: &[Changed],
        most: usize,
    ) -> Result<String, InspectError> {
        let mut text = match base {
            Some(base) => format!("compared with {}, all commits together\n", short(base)),
            None => "compared with nothing: all of it is new\n".to_owned(),
        };
        let mut diffs = String::new();
        for file in changed.iter().take(most) {
            let Shown { beside, lines } = self.file(objects, config, budget, file)?;
            let path = visible(&masked(config, file.path.as_bytes()));
            let _ = writeln!(text, "  {} {path}  {beside}", file.letter());
            if !lines.is_empty() {
                let _ = writeln!(diffs, "\n--- {path}");
            }
            for line in lines {
                let _ = writeln!(diffs, "{line}");
            }
        }
        if let more @ 1.. = changed.len().saturating_sub(most) {
            let _ = writeln!(text, "  and {more} more, which are not shown");
        }
        let count = |letter| changed.iter().filter(|file| file.letter() == letter).count();
        let (added, modified, removed) = (count('A'), count('M'), count('D'));
        let _ = writeln!(text, "  {added} added, {modified} changed, {removed} removed");
        if self.lines == 0 {
            let _ = writeln!(diffs, "\ncut after {LINES} lines: the push changes more than is shown");
        }
        Ok(text + &diffs)
    }

    fn file<S: Source>(
        &mut self,
        objects: &mut Objects<S>,
        config: &InspectConfig,
        budget: &Budget,
        file: &Changed,
    ) -> Result<Shown, InspectError> {
        let only = |beside: String| Ok(Shown { beside, lines: Vec::new() });
        if let Some(link) = file.gitlink() {
            return only(link);
        }
        let (old, new) = (content(objects, budget, file.old)?, content(objects, budget, file.new)?);
        let (old, new) = match (old, new) {
            (Content::Text(old), Content::Text(new)) => (old, new),
            (Content::Missing, _) | (_, Content::Missing) => return only("not to be had".to_owned()),
            (Content::Large(size), _) | (_, Content::Large(size)) => {
                return only(format!("{size} bytes: too large to be shown"));
            }
        };
        let beside = file.mode();
        if is_binary(&old) || is_binary(&new) {
            return only(format!("binary, {} bytes, before {}{beside}", new.len(), old.len()));
        }
        let (old, new) = (masked(config, &old), masked(config, &new));
        let diff = TextDiff::configure().timeout(TIME).diff_lines(&*old, &*new);
        let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
        let beside = format!("+{} -{}{beside}", count(ChangeTag::Insert), count(ChangeTag::Delete));
        let mut lines = Vec::new();
        for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
            lines.push(hunk.header().to_string());
            for change in hunk.iter_changes() {
                lines.push(format!("{}{}", change.tag(), cut(change.value().trim_end_matches('\n'))));
                if change.missing_newline() {
                    lines.push("\\ no newline at its end".to_owned());
                }
            }
        }
        self.fit(&mut lines);
        Ok(Shown { beside, lines })
    }

    /// Cuts what there is no room for, and says so.
    fn fit(&mut self, lines: &mut Vec<String>) {
        let all = lines.len();
        let room = OF_FILE.min(self.lines);
        lines.truncate(room);
        self.lines -= lines.len();
        if all > room && room > 0 {
            lines.push(format!("[cut after {room} of {all} lines]"));
        }
    }
}

impl Changed {
    fn letter(&self) -> char {
        match (self.old, self.new) {
            (None, _) => 'A',
            (Some(_), Some(_)) => 'M',
            (Some(_), None) => 'D',
        }
    }

    /// What there is to say of a submodule.
    fn gitlink(&self) -> Option<String> {
        let link = |side: &Option<Side>| side.filter(|side| side.is_gitlink());
        if link(&self.old).is_none() && link(&self.new).is_none() {
            return None;
        }
        let name = |side: Option<Side>| match side {
            Some(side) if side.is_gitlink() => short(side.oid),
            Some(_) => "a file".to_owned(),
            None => "nothing".to_owned(),
        };
        Some(format!("submodule: {} becomes {}", name(self.old), name(self.new)))
    }

    /// What there is to say of modes: a link or a program is not any file.
    fn mode(&self) -> String {
        match (self.old, self.new) {
            (Some(old), Some(new)) if old.mode != new.mode => {
                format!(", mode {:o} becomes {:o}", old.mode, new.mode)
            }
            (None, Some(side)) | (Some(_), Some(side)) if side.mode != 0o100_644 => {
                format!(", mode {:o}", side.mode)
            }
            _ => String::new(),
        }
    }
}

enum Content {
    Text(Vec<u8>),
    Large(u64),
    Missing,
}

/// The content of a file; empty where there is none.
fn content<S: Source>(
    objects: &mut Objects<S>,
    budget: &Budget,
    side: Option<Side>,
) -> Result<Content, InspectError> {
    let Some(side) = side else { return Ok(Content::Text(Vec::new())) };
    let Some((place, Kind::Blob)) = objects.find(&side.oid) else { return Ok(Content::Missing) };
    match objects.index(place.pack).size(place.place) {
        size if size > LARGE => Ok(Content::Large(size)),
        _ => Ok(Content::Text(objects.content(place, budget)?.to_vec())),
    }
}

fn is_binary(content: &[u8]) -> bool {
    content.iter().take(BEGINNING).any(|byte| *byte == 0)
}

/// A file's text, its secrets masked: as a whole, so that none is seen because a diff shows its lines.
fn masked(config: &InspectConfig, content: &[u8]) -> String {
    let mut masker = Masker::new(&config.rules, &KnownValues::new(), &config.key, MaskOptions::exact());
    String::from_utf8_lossy(&masker.whole(content)).into_owned()
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{} [cut]", &line[..end]),
        None => line.to_owned(),
    }
}

/// A path on one line, with all that it holds.
fn visible(path: &str) -> String {
    let mut shown = String::new();
    for c in path.chars() {
        if is_hidden(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

fn short(oid: Oid) -> String {
    oid.to_string().chars().take(SHORT).collect()
}
