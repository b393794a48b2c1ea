//! Uploads under way: each has an id of this gateway's own, which is good for who began it, in the repository in which
//! it was begun. Where it goes on at the upstream stays here.

mod progress;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lockgate_core::principal::Principal;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

pub(crate) use self::progress::Progress;

/// How long what looks through an upload waits for the next part of it: others need its place.
const REST: Duration = Duration::from_secs(60);

/// Whose an upload is, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    issuer: String,
    subject: String,
    upstream: String,
    repository: String,
}

impl Owner {
    pub(crate) fn new(principal: &Principal, upstream: &str, repository: &str) -> Self {
        Self {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            upstream: upstream.to_owned(),
            repository: repository.to_owned(),
        }
    }

    /// Whether both are the same caller's.
    fn is_of(&self, other: &Self) -> bool {
        (&self.issuer, &self.subject) == (&other.issuer, &other.subject)
    }
}

/// Why an upload can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unclaimed {
    /// There is none, or it is somebody else's.
    Unknown,
    /// Another request for it is under way.
    Busy,
}

/// All uploads.
pub(crate) struct Uploads {
    max: usize,
    /// Of one caller's.
    max_of_one: usize,
    idle: Duration,
    held: Mutex<HashMap<String, Upload>>,
}

struct Upload {
    owner: Owner,
    location: Url,
    /// None where it is no longer known what arrived.
    progress: Option<Progress>,
    /// Whether it never will be.
    is_lost: bool,
    /// Whether nothing was sent of it yet.
    is_new: bool,
    is_claimed: bool,
    touched: Instant,
}

impl Uploads {
    pub(crate) fn new(max: usize, max_of_one: usize, idle: Duration) -> Self {
        Self { max: max.max(1), max_of_one: max_of_one.max(1), idle, held: Mutex::default() }
    }

    /// Whether a caller may begin another: its share of them is not under way.
    pub(crate) fn may_begin(&self, owner: &Owner) -> bool {
        let held = self.held();
        let under_way = held.values().filter(|upload| upload.is_claimed && upload.owner.is_of(owner));
        under_way.count() < self.max_of_one
    }

    /// Takes a new upload; gives its id.
    pub(crate) fn begin(&self, owner: Owner, location: Url, progress: Option<Progress>) -> String {
        let (id, now) = (Uuid::new_v4().simple().to_string(), Instant::now());
        let mut held = self.held();
        self.prune_held(&mut held);
        // A caller with many makes room among its own.
        let own = held.values().filter(|upload| upload.owner.is_of(&owner)).count() >= self.max_of_one;
        if own || held.len() >= self.max {
            let of = held.iter().filter(|(_, upload)| !own || upload.owner.is_of(&owner));
            let oldest = of.min_by_key(|(_, upload)| (upload.is_claimed, upload.touched));
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                held.remove(&id);
            }
        }
        held.insert(
            id.clone(),
            Upload {
                owner,
                location,
                progress,
                is_lost: false,
                is_new: true,
                is_claimed: false,
                touched: now,
            },
        );
        id
    }

    /// Where an upload is asked for at the upstream.
    pub(crate) fn location(&self, id: &str, owner: &Owner) -> Option<Url> {
        let held = self.held();
        let upload = held.get(id).filter(|upload| upload.owner == *owner && self.is_live(upload));
        upload.map(|upload| upload.location.clone())
    }

    /// Takes an upload for one request: it alone may change it.
    pub(crate) fn claim(self: &Arc<Self>, id: &str, owner: &Owner) -> Result<Claim, Unclaimed> {
        let mut held = self.held();
        self.prune_held(&mut held);
        let upload = held.get_mut(id).filter(|upload| upload.owner == *owner);
        let upload = upload.ok_or(Unclaimed::Unknown)?;
        if std::mem::replace(&mut upload.is_claimed, true) {
            return Err(Unclaimed::Busy);
        }
        upload.touched = Instant::now();
        let (id, location) = (id.to_owned(), upload.location.clone());
        Ok(Claim { uploads: Arc::clone(self), id, location, is_released: AtomicBool::new(false) })
    }

    /// Forgets what nobody goes on with, so that it keeps nothing from others.
    pub(crate) fn prune(&self) {
        self.prune_held(&mut self.held());
    }

    fn prune_held(&self, held: &mut HashMap<String, Upload>) {
        held.retain(|_, upload| self.is_live(upload));
        let now = Instant::now();
        for upload in held.values_mut().filter(|upload| !upload.is_claimed && upload.touched + REST <= now) {
            // What was looked through of it says nothing of the rest.
            if let Some(progress) = &mut upload.progress {
                progress.feed = None;
            }
        }
    }

    fn is_live(&self, upload: &Upload) -> bool {
        upload.is_claimed || upload.touched + self.idle > Instant::now()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        // Nothing in the lock can panic midway and leave it inconsistent.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that one request has for itself, until this is dropped.
pub(crate) struct Claim {
    uploads: Arc<Uploads>,
    id: String,
    location: Url,
    is_released: AtomicBool,
}

impl Claim {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where it went on when it was claimed.
    pub(crate) fn location(&self) -> &Url {
        &self.location
    }

    /// Whether nothing was sent of it yet.
    pub(crate) fn is_new(&self) -> bool {
        self.with(|upload| upload.is_new).unwrap_or_default()
    }

    /// Takes what is known of the content: it is known no more, unless it is put back.
    pub(crate) fn take_progress(&self) -> Option<Progress> {
        self.with(|upload| upload.progress.take()).flatten()
    }

    /// A part of it was sent.
    pub(crate) fn begun(&self) {
        self.with(|upload| upload.is_new = false);
    }

    pub(crate) fn put_progress(&self, progress: Progress) {
        self.with(|upload| upload.progress = Some(progress).filter(|_| !upload.is_lost));
    }

    /// Nobody but the upstream knows what it has of it.
    pub(crate) fn lose_progress(&self) {
        self.with(|upload| (upload.progress, upload.is_lost) = (None, true));
    }

    /// It goes on somewhere else.
    pub(crate) fn moved(&self, location: Url) {
        self.with(|upload| upload.location = location);
    }

    /// It is over.
    pub(crate) fn end(&self) {
        self.uploads.held().remove(&self.id);
    }

    /// Lets the next request have it.
    pub(crate) fn release(&self) {
        if self.is_released.swap(true, Ordering::Relaxed) {
            return;
        }
        self.with(|upload| {
            upload.is_claimed = false;
            upload.touched = Instant::now();
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Upload) -> T) -> Option<T> {
        self.uploads.held().get_mut(&self.id).map(change)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::name::Algorithm;
    use crate::scan::{ScanConfig, Scans};

    fn owner(subject: &str, repository: &str) -> Owner {
        Owner::new(&Principal::passthrough(Some(subject)), "hub", repository)
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn uploads(max: usize) -> Arc<Uploads> {
        Arc::new(Uploads::new(max, 9, Duration::from_secs(60)))
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_is_good_for_who_began_it_where_it_was_begun() {
        let uploads = uploads(9);
        let ada = owner("ada", "app");
        let progress = Some(Progress::begin(Algorithm::Sha256));
        let id = uploads.begin(ada.clone(), url("http://r/1"), progress);
        for other in [owner("eve", "app"), owner("ada", "other")] {
            assert_eq!(uploads.claim(&id, &other).err(), Some(Unclaimed::Unknown));
            assert_eq!(uploads.location(&id, &other), None);
        }
        let claim = uploads.claim(&id, &ada).unwrap();
        assert_eq!(uploads.claim(&id, &ada).err(), Some(Unclaimed::Busy));
        claim.moved(url("http://r/2"));
        let progress = claim.take_progress().unwrap();
        assert!(claim.take_progress().is_none());
        claim.put_progress(progress);
        drop(claim);
        let lost = uploads.begin(ada.clone(), url("http://r/1"), Some(Progress::begin(Algorithm::Sha256)));
        let lost = uploads.claim(&lost, &ada).unwrap();
        let progress = lost.take_progress().unwrap();
        lost.lose_progress();
        lost.put_progress(progress);
        assert!(lost.take_progress().is_none(), "what comes late does not count");
        assert_eq!(uploads.location(&id, &ada), Some(url("http://r/2")));
        let claim = uploads.claim(&id, &ada).unwrap();
        assert!(claim.take_progress().is_some());
        claim.end();
        drop(claim);
        assert_eq!(uploads.claim(&id, &ada).err(), Some(Unclaimed::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn what_rests_leaves_its_place_to_others() {
        let uploads = Arc::new(Uploads::new(9, 9, 3 * REST));
        let scans = Scans::new(ScanConfig { at_once: 1, ..ScanConfig::default() });
        let ada = owner("ada", "app");
        let begin = || uploads.begin(ada.clone(), url("http://r/"), Some(Progress::begin(Algorithm::Sha256)));
        let id = begin();
        let claim = uploads.claim(&id, &ada).unwrap();
        let mut progress = claim.take_progress().unwrap();
        progress.feed = scans.try_begin();
        progress.take(&bytes::Bytes::from_static(b"part")).await;
        claim.put_progress(progress);
        let has_feed = |claim: &Claim| claim.with(|upload| upload.progress.as_ref().unwrap().feed.is_some());
        tokio::time::advance(REST).await;
        uploads.prune();
        assert_eq!(has_feed(&claim), Some(true), "it is under way");
        drop(claim);
        tokio::time::advance(REST).await;
        let claim = uploads.claim(&id, &ada).unwrap();
        assert_eq!(has_feed(&claim), Some(false));
        assert!(claim.take_progress().unwrap().is_begun, "it is known still what arrived");
        drop(claim);
        tokio::time::advance(3 * REST).await;
        begin();
        assert_eq!(uploads.held().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_of_them() {
        let uploads = uploads(2);
        let ada = owner("ada", "app");
        let begin = || uploads.begin(ada.clone(), url("http://r/"), None);
        let first = begin();
        tokio::time::advance(Duration::from_secs(1)).await;
        let second = begin();
        let claim = uploads.claim(&first, &ada).unwrap();
        begin();
        assert!(uploads.location(&second, &ada).is_none(), "what rests goes before what is under way");
        assert!(uploads.location(&first, &ada).is_some());
        drop(claim);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(uploads.claim(&first, &ada).err(), Some(Unclaimed::Unknown));
        begin();
        assert_eq!(uploads.held().len(), 1, "what was forgotten takes no place");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_with_many_makes_room_among_its_own() {
        let uploads = Arc::new(Uploads::new(9, 2, Duration::from_secs(60)));
        let (ada, eve) = (owner("ada", "app"), owner("eve", "app"));
        let begin = |owner: &Owner| uploads.begin(owner.clone(), url("http://r/"), None);
        let (of_ada, first) = (begin(&ada), begin(&eve));
        tokio::time::advance(Duration::from_secs(1)).await;
        let elsewhere = begin(&owner("eve", "other"));
        let second = begin(&eve);
        assert!(uploads.location(&of_ada, &ada).is_some());
        assert!(uploads.location(&first, &eve).is_none() && uploads.location(&second, &eve).is_some());
        let claims = [
            uploads.claim(&second, &eve).unwrap(),
            uploads.claim(&elsewhere, &owner("eve", "other")).unwrap(),
        ];
        assert!(!uploads.may_begin(&eve) && uploads.may_begin(&ada));
        drop(claims);
        assert!(uploads.may_begin(&eve));
    }
}
