//! Tags that pushes move. Pushes through this gateway move one tag after the other, and each only where the tag still
//! stands for what it did when the push was judged, which may be long ago.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use lockgate_core::refusal::{Refusal, RefusalKind};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::Refused;
use crate::{parse::name::Digest, read::Reader, shared::Shared};

/// How long a push waits for another one of the same tag.
const WAIT: Duration = Duration::from_secs(60);

/// An upstream, a repository and a tag.
type Key = (String, String, String);

/// Whose turn it is.
pub(crate) type Tags = Shared<Key, Turn<()>>;

/// The tags that one push moves.
pub(crate) struct Moves {
    tags: Arc<Tags>,
    upstream: String,
    repository: String,
    /// What each stood for when that was looked at. In one order for all, so that no two wait for each other.
    before: BTreeMap<String, OnceLock<Option<Digest>>>,
    held: Mutex<Vec<OwnedMutexGuard<()>>>,
}

impl Moves {
    pub(super) fn new(tags: &Arc<Tags>, upstream: &str, repository: &str, moved: &[String]) -> Self {
        Self {
            tags: Arc::clone(tags),
            upstream: upstream.to_owned(),
            repository: repository.to_owned(),
            before: moved.iter().map(|tag| (tag.clone(), OnceLock::new())).collect(),
            held: Mutex::default(),
        }
    }

    /// All of them.
    pub(crate) fn list(&self) -> impl Iterator<Item = &str> {
        self.before.keys().map(String::as_str)
    }

    /// What a tag stands for: as it was looked at first.
    pub(crate) async fn before(&self, reader: &Reader<'_>, tag: &str) -> Result<Option<Digest>, Refused> {
        let known = self.before.get(tag);
        if let Some(before) = known.and_then(OnceLock::get) {
            return Ok(before.clone());
        }
        let before = reader.digest(tag).await?;
        Ok(known.map_or(before.clone(), |known| known.get_or_init(|| before).clone()))
    }

    /// Takes its turn of each, and sees that each still stands for what was looked at.
    pub(crate) async fn stand(&self, reader: &Reader<'_>) -> Result<(), Refused> {
        let too_long = |_| Refusal::new(RefusalKind::Timeout, "another push of this tag takes too long");
        for (tag, before) in &self.before {
            let key = (self.upstream.clone(), self.repository.clone(), tag.clone());
            let turn = self.tags.get(key, Turn::default).lock_owned();
            let turn = tokio::time::timeout(WAIT, turn).await.map_err(too_long)?;
            self.held.lock().unwrap_or_else(PoisonError::into_inner).push(turn);
            let Some(before) = before.get() else { continue };
            if reader.digest(tag).await? != *before {
                let reason = format!("{tag} was pushed by somebody else meanwhile: push again");
                return Err(Refusal::new(RefusalKind::Denied, reason).into());
            }
        }
        Ok(())
    }

    /// Lets others push.
    pub(crate) fn release(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
