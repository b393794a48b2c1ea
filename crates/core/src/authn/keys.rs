//! The keys of one issuer over time: fetched when they are first needed, again when they are old or a
//! token names one that is not known, by one fetch at a time and never more often than configured, and
//! kept for a bounded time while the issuer is down.

use std::{
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{sync::watch, time::Instant};

use super::{
    Algorithm, AuthnConfigError, AuthnError, IssuerConfig, KeySource, KeysError,
    fetch::{Fetcher, Place},
    jwk::{Key, KeySet, Miss},
    token::Header,
};

/// The keys of one issuer.
pub(super) enum Keys {
    /// From the configuration.
    Fixed(KeySet),
    /// From the issuer.
    Published(Arc<Published>),
}

impl Keys {
    pub(super) fn new(config: &IssuerConfig) -> Result<Self, AuthnConfigError> {
        let published = |fetcher| Ok(Self::Published(Arc::new(Published::new(config, fetcher))));
        match &config.keys {
            KeySource::Discover => {
                let url = format!("{}/.well-known/openid-configuration", config.issuer.trim_end_matches('/'));
                published(Fetcher::new(config, &url, Place::Discovery)?)
            }
            KeySource::DiscoverAt(url) => published(Fetcher::new(config, url, Place::Discovery)?),
            KeySource::JwksAt(url) => published(Fetcher::new(config, url, Place::Jwks)?),
            KeySource::Fixed(document) => match KeySet::read(document, &config.algorithms, None) {
                Ok(set) => Ok(Self::Fixed(set)),
                Err(source) => Err(AuthnConfigError::Keys { issuer: config.name.clone(), source }),
            },
        }
    }

    /// The key that a token names.
    pub(super) async fn find(&self, header: &Header) -> Result<Arc<Key>, AuthnError> {
        match self {
            Self::Fixed(set) => set.find(header).map(Arc::clone).map_err(|miss| refuse(&miss)),
            Self::Published(published) => published.find(header).await,
        }
    }

    pub(super) async fn warm(&self) {
        match self {
            Self::Fixed(_) => {}
            // What fails is logged by the fetch itself.
            Self::Published(published) => drop(published.current().await),
        }
    }
}

/// Keys that are fetched.
pub(super) struct Published {
    name: String,
    algorithms: Vec<Algorithm>,
    refresh: Duration,
    max_stale: Duration,
    retry: Duration,
    fetcher: Fetcher,
    current: ArcSwapOption<Fetched>,
    /// The last fetch, under way or done, and when it began.
    last: Mutex<Option<(Flight, Instant)>>,
    /// Whether the last fetch that is done failed.
    down: AtomicBool,
}

struct Fetched {
    set: KeySet,
    at: Instant,
}

type Outcome = Result<Arc<Fetched>, Arc<KeysError>>;

/// A fetch that everyone who needs it waits for, and that goes on when they leave; `None` until it is done.
type Flight = watch::Receiver<Option<Outcome>>;

impl Published {
    fn new(config: &IssuerConfig, fetcher: Fetcher) -> Self {
        Self {
            name: config.name.clone(),
            algorithms: config.algorithms.clone(),
            refresh: config.refresh,
            max_stale: config.max_stale,
            retry: config.retry,
            fetcher,
            current: ArcSwapOption::empty(),
            last: Mutex::default(),
            down: AtomicBool::new(false),
        }
    }

    async fn find(self: &Arc<Self>, header: &Header) -> Result<Arc<Key>, AuthnError> {
        let current = self.current().await?;
        match current.set.find(header) {
            Ok(key) => return Ok(Arc::clone(key)),
            // Perhaps the issuer has a new key.
            Err(Miss::Unknown) => {}
            Err(miss) => return Err(refuse(&miss)),
        }
        let newest = self.newest().await?;
        newest.set.find(header).map(Arc::clone).map_err(|miss| refuse(&miss))
    }

    /// Keys that can be used now, fetched if they must be.
    async fn current(self: &Arc<Self>) -> Result<Arc<Fetched>, AuthnError> {
        let Some(current) = self.current.load_full() else { return self.newest().await };
        let age = current.at.elapsed();
        if age <= self.refresh {
            return Ok(current);
        }
        if age > self.max_stale {
            return self.newest().await;
        }
        let flight = self.fetch();
        // A little old, or the issuer is known to be down: nobody waits. Otherwise nobody came for long,
        // and keys may have been revoked meanwhile.
        if age <= self.refresh.saturating_mul(2) || self.down.load(Ordering::Relaxed) {
            return Ok(current);
        }
        Ok(outcome(flight).await.unwrap_or(current))
    }

    /// What the issuer publishes now, or published a moment ago.
    async fn newest(self: &Arc<Self>) -> Result<Arc<Fetched>, AuthnError> {
        let unavailable = |source| AuthnError::IssuerUnavailable { issuer: self.name.clone(), source };
        outcome(self.fetch()).await.map_err(unavailable)
    }

    /// The fetch under way, or the last one if it began only just, or a new one.
    fn fetch(self: &Arc<Self>) -> Flight {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((flight, began)) = &*last
            && (is_under_way(flight) || began.elapsed() < self.retry)
        {
            return flight.clone();
        }
        let (landing, flight) = watch::channel(None);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = this.fetch_now().await;
            landing.send_replace(Some(outcome));
        });
        *last = Some((flight.clone(), Instant::now()));
        flight
    }

    async fn fetch_now(&self) -> Outcome {
        let at = Instant::now();
        let before = self.current.load_full();
        let read = |document: Vec<u8>| {
            let before = before.as_ref().map(|before| &before.set);
            KeySet::read(&document, &self.algorithms, before).map_err(KeysError::from)
        };
        match self.fetcher.key_set().await.and_then(read) {
            Ok(set) => {
                let fetched = Arc::new(Fetched { set, at });
                self.current.store(Some(Arc::clone(&fetched)));
                self.down.store(false, Ordering::Relaxed);
                Ok(fetched)
            }
            Err(error) => {
                let cause = error.source();
                tracing::warn!(issuer = self.name, %error, cause, "an issuer's keys can't be fetched");
                self.down.store(true, Ordering::Relaxed);
                Err(Arc::new(error))
            }
        }
    }
}

async fn outcome(mut flight: Flight) -> Outcome {
    let done = flight.wait_for(Option::is_some).await;
    // The sender is gone without a word only where the runtime ends, or the fetch panicked.
    done.ok().and_then(|done| done.clone()).unwrap_or_else(|| Err(Arc::new(KeysError::Stopped)))
}

fn is_under_way(flight: &Flight) -> bool {
    flight.borrow().is_none() && flight.has_changed().is_ok()
}

fn refuse(miss: &Miss) -> AuthnError {
    AuthnError::Key(match miss {
        Miss::Unknown => "a key that its issuer does not publish",
        Miss::Unfit => "a key that is not for its algorithm",
        Miss::Ambiguous => "no key, and its issuer has several that fit",
    })
}
