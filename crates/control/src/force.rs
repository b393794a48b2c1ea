//! The policy in force, as every watching proxy is to have it.

use std::sync::Arc;

use lockgate_core::{
    access::Schema,
    policy::{Policy, PolicyErrors},
    principal::Principal,
};
use tokio::sync::watch;

use crate::model::PublishedPolicy;

/// Compiles a document away from the threads that serve.
pub(crate) async fn load(text: String, schemas: Arc<[&'static Schema]>) -> Result<Policy, PolicyErrors> {
    let loading = tokio::task::spawn_blocking(move || Policy::load(&text, &schemas));
    match loading.await {
        Ok(result) => result,
        // Aborted only when the runtime ends; a panic goes on where it would have been.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => futures::future::pending().await,
        },
    }
}

/// The policy in force, for everyone who waits for the next.
#[derive(Debug, Clone)]
pub(crate) struct InForce(watch::Sender<Option<Arc<Current>>>);

/// A policy in force.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) published: PublishedPolicy,
    /// `None` where this version of lockgate can't load what an earlier one accepted.
    pub(crate) policy: Option<Policy>,
}

impl InForce {
    pub(crate) fn new(current: Option<Current>) -> Self {
        Self(watch::Sender::new(current.map(Arc::new)))
    }

    /// Puts a policy in force, unless a later publication was faster.
    pub(crate) fn set(&self, next: Current) {
        self.0.send_if_modified(|current| {
            let later = current.as_ref().is_none_or(|it| it.published.revision < next.published.revision);
            if later {
                *current = Some(Arc::new(next));
            }
            later
        });
    }

    /// Sees the policy in force and each that follows; only the latest counts.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Current>>> {
        self.0.subscribe()
    }

    /// The groups that somebody is in: their own, and those that the policy defines.
    pub(crate) fn groups(&self, principal: &Principal) -> Vec<String> {
        let current = self.0.borrow().clone();
        match current.as_ref().and_then(|current| current.policy.as_ref()) {
            Some(policy) => policy.groups(principal),
            None => principal.groups.clone(),
        }
    }
}
