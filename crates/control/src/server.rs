//! The control plane itself: the state, the policy in force, and everything that serves them.

use std::sync::Arc;

use jiff::Timestamp;
use lockgate_core::{access::Schema, authn::Authenticator, policy::PolicyErrors, principal::Principal};
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, transport::Channel};

use crate::{
    convert::Links,
    force::{self, Current, InForce},
    guard::{GuardLayer, People, Side},
    model::{Approval, Decision, PublishedPolicy},
    operator::Operator,
    roles::RoleGroups,
    services,
    status::refused_policy,
    store::{PolicyAct, Publication, Store, StoreError, Which},
    transport::{self, Listener, ServeError},
};

/// How many changes of approvals a watcher may be behind; one that is more looks again.
const CHANGES: usize = 256;

/// What a control plane needs to know besides its state.
#[derive(Clone, Default)]
pub struct Settings {
    /// What each protocol can say: a policy is checked against it.
    pub schemas: Vec<&'static Schema>,
    /// The URL below which people see approvals, `<approvals_url>/<id>`, where there is one.
    pub approvals_url: Option<String>,
    /// Whose tokens are taken from people.
    pub authenticator: Option<Authenticator>,
    /// The local operator, where there is one.
    pub operator: Option<Operator>,
    /// Which groups have which role.
    pub roles: RoleGroups,
}

/// A control plane. Clones are the same.
#[derive(Clone)]
pub struct Control {
    shared: Shared,
    people: Arc<People>,
}

/// What the services work on. Clones are the same.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) schemas: Arc<[&'static Schema]>,
    pub(crate) in_force: InForce,
    /// The ids of approvals that changed.
    pub(crate) approvals: broadcast::Sender<Arc<str>>,
    pub(crate) links: Links,
    pub(crate) stopped: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

/// Why a policy is not in force.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Whoever wrote it: it is no policy.
    #[error("the policy is refused")]
    Refused(#[source] PolicyErrors),
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PublishError> for Status {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Refused(errors) => refused_policy(&errors),
            PublishError::Store(error) => error.into(),
        }
    }
}

impl Control {
    /// A control plane on this state. Serves nobody yet.
    ///
    /// # Errors
    /// When the state can't be read.
    pub async fn open(store: Arc<dyn Store>, settings: Settings) -> Result<Self, StoreError> {
        let schemas: Arc<[_]> = settings.schemas.into();
        let in_force = InForce::new(current(&*store, &schemas).await?);
        let people = People {
            operator: settings.operator,
            authenticator: settings.authenticator,
            roles: settings.roles,
            in_force: in_force.clone(),
        };
        let shared = Shared {
            store,
            schemas,
            in_force,
            approvals: broadcast::Sender::new(CHANGES),
            links: Links { approvals_url: settings.approvals_url },
            stopped: CancellationToken::new(),
            tracker: TaskTracker::new(),
        };
        Ok(Self { shared, people: Arc::new(people) })
    }

    /// Publishes a policy on behalf of whoever runs this process, e.g. from its configuration. Publishing
    /// the text in force again changes nothing.
    ///
    /// # Errors
    /// When it is no policy, or can't be stored. The one before stays in force.
    pub async fn publish(
        &self,
        text: String,
        by: Principal,
        comment: String,
    ) -> Result<PublishedPolicy, PublishError> {
        let (at, act) = (Timestamp::now(), PolicyAct::Publish);
        let publication =
            Publication { version: String::new(), text, by, at, comment, if_current: None, act };
        self.shared.publish(publication).await
    }

    /// A channel for the proxy in this process, which speaks to the control plane as any other does.
    pub async fn in_memory(&self) -> Channel {
        let (channel, incoming) = transport::in_memory();
        let (guard, routes) = (GuardLayer(Side::InProcess), services::routes(&self.shared).await);
        let stopped = self.shared.stopped.clone();
        self.shared.tracker.spawn(async move {
            if let Err(error) = transport::serve_in_memory(incoming, guard, routes, stopped).await {
                tracing::error!(error = crate::status::chain(&error), "the control plane in memory ended");
            }
        });
        channel
    }

    /// Serves a listener until [`Control::shutdown`].
    ///
    /// # Errors
    /// When it can't be served at all.
    pub async fn serve(&self, listener: Listener) -> Result<(), ServeError> {
        let side = match listener.is_for_proxies() {
            true => Side::Proxies,
            false => Side::People(self.people.clone()),
        };
        let (guard, routes) = (GuardLayer(side), services::routes(&self.shared).await);
        let stopped = self.shared.stopped.clone();
        self.shared.tracker.track_future(transport::serve(listener, guard, routes, stopped)).await
    }

    /// Ends it: streams are told, calls in progress end, and what was answered is durable.
    pub async fn shutdown(&self) {
        self.shared.stopped.cancel();
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
        self.shared.store.close().await;
    }
}

impl Shared {
    /// Puts a text in force that loads; its version is what it says of itself.
    pub(crate) async fn publish(&self, publication: Publication) -> Result<PublishedPolicy, PublishError> {
        let policy = force::load(publication.text.clone(), self.schemas.clone()).await;
        let policy = policy.map_err(PublishError::Refused)?;
        let publication = Publication { version: policy.version().to_owned(), ..publication };
        let (store, in_force) = (self.store.clone(), self.in_force.clone());
        self.to_the_end(async move {
            let published = store.publish(publication).await?;
            in_force.set(Current { published: published.clone(), policy: Some(policy) });
            Ok(published)
        })
        .await
    }

    /// Takes a person's answer, and tells whoever waits for it.
    pub(crate) async fn decide(&self, id: String, decision: Decision) -> Result<Approval, StoreError> {
        let (store, changed) = (self.store.clone(), self.approvals.clone());
        self.to_the_end(async move {
            let approval = store.decide(&id, decision).await?;
            tell(&changed, &id);
            Ok(approval)
        })
        .await
    }

    /// Uses an approval up, and tells whoever watches it.
    pub(crate) async fn redeem(&self, id: String, exchange: String) -> Result<Approval, StoreError> {
        let (store, changed) = (self.store.clone(), self.approvals.clone());
        self.to_the_end(async move {
            let approval = store.redeem(&id, &exchange, Timestamp::now()).await?;
            tell(&changed, &id);
            Ok(approval)
        })
        .await
    }

    /// Does it also when the caller goes away in the middle: what became durable is told to everyone.
    async fn to_the_end<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.tracker.spawn(work).await {
            Ok(result) => result,
            // Never aborted but with the runtime; a panic goes on where it would have been.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        }
    }
}

fn tell(watchers: &broadcast::Sender<Arc<str>>, id: &str) {
    // Nobody may be watching.
    let _watching = watchers.send(id.into());
}

/// The policy in force when the control plane starts.
async fn current(store: &dyn Store, schemas: &Arc<[&'static Schema]>) -> Result<Option<Current>, StoreError> {
    let Some(published) = store.policy(Which::Current).await? else { return Ok(None) };
    let policy = match force::load(published.text.clone(), schemas.clone()).await {
        Ok(policy) => Some(policy),
        Err(errors) => {
            tracing::error!(
                version = published.version,
                errors = %errors,
                "the policy in force does not load any more: publish one that does"
            );
            None
        }
    };
    Ok(Some(Current { published, policy }))
}
