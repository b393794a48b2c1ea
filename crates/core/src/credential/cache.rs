//! Values that were fetched, one per scope: presented while they are fresh, renewed in the background
//! while they are valid, fetched by one request while the others wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use tokio::{sync::OwnedMutexGuard, time::Instant};

use super::{CredentialError, Fetch, known::Known};
use crate::secret::Secret;

/// Scopes at once; the one that was used least recently goes for another.
const MAX_SCOPES: usize = 512;
/// After a failure the next attempt is made so much later, twice that after each further one.
const RETRY: Duration = Duration::from_secs(1);
/// And at most so much later.
const MAX_RETRY: Duration = Duration::from_mins(1);
/// A value that the upstream refuses is fetched anew when it is at least so old.
const TRUSTED: Duration = Duration::from_secs(10);

type Presented = Option<HeaderValue>;

pub(super) struct Cache {
    source: Arc<dyn Fetch>,
    known: Arc<Known>,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    /// Held by who fetches.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    value: Option<Value>,
    failure: Option<Failure>,
    used: Option<Instant>,
}

struct Value {
    header: Presented,
    secret: Option<Secret>,
    since: Instant,
    fresh: Instant,
    valid: Instant,
}

struct Failure {
    error: Arc<CredentialError>,
    delay: Duration,
    until: Instant,
}

/// What a slot has.
enum Found {
    Fresh(Presented),
    /// Good, but another one should be fetched.
    Old(Presented),
    /// Not to be tried again yet.
    Failed(Arc<CredentialError>),
    Nothing,
}

impl Cache {
    pub(super) fn new(source: Arc<dyn Fetch>, known: Arc<Known>) -> Self {
        Self { source, known, slots: Mutex::default() }
    }

    pub(super) async fn get(&self, resource: &str) -> Result<Presented, Arc<CredentialError>> {
        let slot = self.slot(self.source.scope(resource)?);
        match slot.look() {
            Found::Fresh(header) => return Ok(header),
            Found::Failed(error) => return Err(error),
            Found::Old(header) => {
                if let Ok(turn) = Arc::clone(&slot.fetching).try_lock_owned() {
                    drop(self.fetch(&slot, resource, turn));
                }
                return Ok(header);
            }
            Found::Nothing => {}
        }
        let turn = Arc::clone(&slot.fetching).lock_owned().await;
        match slot.look() {
            Found::Fresh(header) | Found::Old(header) => Ok(header),
            Found::Failed(error) => Err(error),
            Found::Nothing => {
                let fetched = self.fetch(&slot, resource, turn).await;
                fetched.unwrap_or_else(|_| Err(Arc::new(CredentialError::Stopped)))
            }
        }
    }

    /// Fetches to the end, whoever waits for it or goes away.
    fn fetch(
        &self,
        slot: &Arc<Slot>,
        resource: &str,
        turn: OwnedMutexGuard<()>,
    ) -> tokio::task::JoinHandle<Result<Presented, Arc<CredentialError>>> {
        let (source, known) = (Arc::clone(&self.source), Arc::clone(&self.known));
        let (slot, resource) = (Arc::clone(slot), resource.to_owned());
        tokio::spawn(async move {
            let fetched = source.fetch(&resource).await.and_then(|fetched| {
                let now = Instant::now();
                let secret = fetched.credential.secret().cloned();
                let value = Value {
                    header: fetched.credential.header()?,
                    secret,
                    since: now,
                    fresh: now + fetched.fresh,
                    valid: now + fetched.valid.max(fetched.fresh),
                };
                let secret = value.secret.as_ref();
                secret.map_or(Ok(()), |secret| known.add(secret, Some(value.valid)))?;
                Ok(value)
            });
            let presented = slot.store(fetched);
            drop(turn);
            presented
        })
    }

    pub(super) fn refused(&self, resource: &str) {
        let Ok(scope) = self.source.scope(resource) else { return };
        let slot = self.slot(scope);
        let mut state = slot.state();
        let now = Instant::now();
        if state.value.as_ref().is_some_and(|value| value.since + TRUSTED <= now) {
            state.value = None;
        }
    }

    fn slot(&self, scope: String) -> Arc<Slot> {
        // Nothing in the lock can panic midway and leave it inconsistent.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_SCOPES && !slots.contains_key(&scope) {
            let idle = slots.iter().filter(|(_, slot)| Arc::strong_count(slot) == 1);
            let oldest = idle.min_by_key(|(_, slot)| slot.state().used);
            let oldest = oldest.map(|(scope, _)| scope.clone());
            if let Some(slot) = oldest.and_then(|scope| slots.remove(&scope)) {
                // So many more may come that there would be no room for values that nobody presents.
                let value = slot.state().value.take();
                value.and_then(|value| value.secret).iter().for_each(|secret| self.known.retire(secret));
            }
        }
        Arc::clone(slots.entry(scope).or_default())
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> Found {
        let (mut state, now) = (self.state(), Instant::now());
        state.used = Some(now);
        let failure = state.failure.as_ref().filter(|failure| now < failure.until);
        match (&state.value, failure) {
            (Some(value), _) if now < value.fresh => Found::Fresh(value.header.clone()),
            (Some(value), Some(_)) if now < value.valid => Found::Fresh(value.header.clone()),
            (Some(value), None) if now < value.valid => Found::Old(value.header.clone()),
            (_, Some(failure)) => Found::Failed(Arc::clone(&failure.error)),
            (_, None) => Found::Nothing,
        }
    }

    fn store(&self, fetched: Result<Value, CredentialError>) -> Result<Presented, Arc<CredentialError>> {
        let mut state = self.state();
        match fetched {
            Ok(value) => {
                let header = value.header.clone();
                state.failure = None;
                state.value = Some(value);
                Ok(header)
            }
            Err(error) => {
                let error = Arc::new(error);
                let last = state.failure.as_ref().map_or(Duration::ZERO, |failure| failure.delay);
                let delay = (last * 2).clamp(RETRY, MAX_RETRY);
                tracing::warn!(error = %chain(&error), retry_after = ?delay, "no credential for an upstream");
                let until = Instant::now() + delay;
                state.failure = Some(Failure { error: Arc::clone(&error), delay, until });
                Err(error)
            }
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
