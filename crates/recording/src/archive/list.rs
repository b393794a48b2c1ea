//! Which bundles there are, day by day.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use futures::TryStreamExt;
use object_store::{ListResult, path::Path};
use uuid::Uuid;

use super::{Archive, ReadError};
use crate::{
    recorder::spool::SUFFIX,
    store::{bundle_path, bundles_folder, date_folders, id_millis},
};

/// A stretch of time. Both ends are included; an end that is `None` is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Not before this.
    pub from: Option<SystemTime>,
    /// Not after this.
    pub to: Option<SystemTime>,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { from: None, to: None };

    /// From this moment on.
    pub(crate) fn from_millis(millis: u64) -> Self {
        Self { from: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)), to: None }
    }

    /// The range in milliseconds of Unix time.
    pub(crate) fn millis(&self) -> RangeInclusive<u64> {
        let millis = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        };
        self.from.map_or(0, millis)..=self.to.map_or(u64::MAX, millis)
    }

    /// Whether what has this id, a bundle or an exchange, was begun in the range.
    pub(crate) fn contains(&self, id: Uuid) -> bool {
        self.millis().contains(&id_millis(id))
    }
}

/// A bundle in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleRef {
    /// Its id, by its name.
    pub bundle: Uuid,
    /// Its size in bytes.
    pub size: u64,
}

/// Something found under the folder of the bundles.
#[derive(Debug)]
pub(crate) enum Listed {
    Bundle(BundleRef),
    /// An object that has no business there.
    Stranger(Path),
}

/// Lists what is there, in the order of the ids. Holds the names of one day at a time.
pub(crate) struct Listing {
    archive: Archive,
    range: TimeRange,
    /// Folders still to be listed, and how deep they are; the next one last.
    folders: Vec<(Path, usize)>,
    found: VecDeque<Listed>,
}

/// The end of the year 9999: folders of later ones do not sort.
const LAST_MILLIS: u64 = 253_402_300_799_999;

/// A day folder is this deep under the folder of the bundles.
const DAY_DEPTH: usize = 3;

impl Archive {
    /// The bundles that were opened in the range, oldest first.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn bundles(&self, range: TimeRange) -> Result<Vec<BundleRef>, ReadError> {
        let mut listing = self.list(range);
        let mut bundles = Vec::new();
        while let Some(listed) = listing.next().await? {
            match listed {
                Listed::Bundle(bundle) => bundles.push(bundle),
                Listed::Stranger(_) => {}
            }
        }
        Ok(bundles)
    }

    pub(crate) fn list(&self, range: TimeRange) -> Listing {
        let folders = vec![(bundles_folder(&self.prefix), 0)];
        Listing { archive: self.clone(), range, folders, found: VecDeque::new() }
    }
}

impl Listing {
    pub(crate) async fn next(&mut self) -> Result<Option<Listed>, ReadError> {
        loop {
            if let Some(listed) = self.found.pop_front() {
                return Ok(Some(listed));
            }
            let Some((folder, depth)) = self.folders.pop() else { return Ok(None) };
            if depth == DAY_DEPTH { self.day(&folder).await? } else { self.folder(&folder, depth).await? }
        }
    }

    /// Lists a folder of years, months or days.
    async fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), ReadError> {
        let listed = self.archive.store.list_with_delimiter(Some(folder)).await?;
        let ListResult { mut common_prefixes, objects, .. } = listed;
        self.found.extend(objects.into_iter().map(|object| Listed::Stranger(object.location)));
        common_prefixes.sort();
        for folder in common_prefixes.into_iter().rev() {
            if !is_number(&folder) {
                self.found.push_back(Listed::Stranger(folder));
            } else if self.may_hold(&folder, depth + 1) {
                self.folders.push((folder, depth + 1));
            }
        }
        Ok(())
    }

    /// Lists everything in the folder of a day.
    async fn day(&mut self, folder: &Path) -> Result<(), ReadError> {
        let mut objects: Vec<_> = self.archive.store.list(Some(folder)).try_collect().await?;
        objects.sort_by(|a, b| a.location.cmp(&b.location));
        for object in objects {
            match self.archive.bundle_at(&object.location) {
                Some(bundle) if self.range.contains(bundle) => {
                    self.found.push_back(Listed::Bundle(BundleRef { bundle, size: object.size }));
                }
                Some(_) => {}
                None => self.found.push_back(Listed::Stranger(object.location)),
            }
        }
        Ok(())
    }

    /// Whether a folder so deep can hold bundles of the range: its name lies between those of the ends.
    fn may_hold(&self, folder: &Path, depth: usize) -> bool {
        let millis = self.range.millis();
        let above = bundles_folder(&self.archive.prefix).parts().count();
        let date: Vec<String> = folder.parts().skip(above).map(|part| part.as_ref().to_owned()).collect();
        let first = date_folders(*millis.start());
        let last = date_folders((*millis.end()).min(LAST_MILLIS));
        date[..] >= first[..depth] && date[..] <= last[..depth]
    }
}

fn is_number(folder: &Path) -> bool {
    folder.filename().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Archive {
    /// The bundle whose name this is.
    fn bundle_at(&self, path: &Path) -> Option<Uuid> {
        let stem = path.filename()?.strip_suffix(SUFFIX)?.strip_suffix('.')?;
        let bundle = Uuid::parse_str(stem).ok()?;
        (bundle_path(&self.prefix, bundle) == *path).then_some(bundle)
    }
}
