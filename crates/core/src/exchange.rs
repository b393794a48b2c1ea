//! One exchange while it is under way: its recording, its entry in the index, how it ends.
//!
//! Every layer that learns something says it here, and whatever is said is in the recording before it has
//! an effect: [`Exchange::durable`] is the barrier. The exchange closes when its last handle is dropped,
//! so an outcome is recorded however it comes about.

mod answer;
mod barrier;
mod closing;
mod end;
mod unrecorded;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::{HeaderName, Uri, header, request};
use lockgate_recording::{
    Event, ExchangeOpened, ExchangeRecorder, Outcome, Principal as RecordedPrincipal, RecordError, Recorder,
    Redactor, RequestHead,
};
use serde::Serialize;
use serde_json::json;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};
use uuid::Uuid;

use self::end::now;
pub use self::{closing::Closing, unrecorded::Unrecorded};
use crate::{
    access::{Access, Schema},
    index::{Entry, EntryAccess, Index},
    principal::{Caller, Peer},
    refusal::{Refusal, RefusalKind},
    upstream::Upstream,
    verdict::{Grounds, Obligations, OnFailure, RecordTerms, Verdict},
};

/// Headers of any request that say how it travels, and no more.
const FRAMING: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
];

/// Where exchanges are recorded and indexed.
#[derive(Clone)]
pub struct Evidence {
    /// The recorder of this proxy.
    pub recorder: Recorder,
    /// The index.
    pub index: Arc<dyn Index>,
    /// Follows what still has to be written, so that a shutdown can wait for it.
    pub closing: Closing,
}

/// One exchange under way. Clones are handles to the same one.
#[derive(Clone)]
pub struct Exchange(Arc<Inner>);

struct Inner {
    id: Uuid,
    evidence: Evidence,
    recorder: Option<ExchangeRecorder>,
    mutates: AtomicBool,
    detached: AtomicBool,
    left: AtomicBool,
    on_its_way: CancellationToken,
    /// It went upstream, and nobody has waited yet until that is durable.
    unproven: AtomicBool,
    state: Mutex<State>,
    /// Dropped when the index has its entry.
    under_way: Option<TaskTrackerToken>,
}

struct State {
    entry: Entry,
    outcome: Option<Outcome>,
    terms: RecordTerms,
    gap: bool,
}

impl Exchange {
    /// Opens the exchange in the recording.
    ///
    /// # Errors
    /// [`Unrecorded`] where there is no place to record and `terms` are strict.
    pub async fn begin(
        evidence: &Evidence,
        terms: RecordTerms,
        caller: &Caller,
        upstream: &Upstream,
        peer: Option<Peer>,
    ) -> Result<Self, Unrecorded> {
        let (id, started) = (Uuid::now_v7(), now());
        let principal = &caller.principal;
        let opened = ExchangeOpened {
            exchange: id,
            session: caller.session.to_string(),
            principal: RecordedPrincipal {
                issuer: principal.issuer.clone(),
                subject: principal.subject.clone(),
                groups: principal.groups.clone(),
                name: principal.to_string(),
            },
            upstream: upstream.name.clone(),
            protocol: upstream.kind.clone(),
            peer: peer.map(|peer| peer.0.to_string()).unwrap_or_default(),
            started_micros: started.cast_signed(),
            action: None,
        };
        let recorder = match evidence.recorder.begin(opened).await {
            Ok(recorder) => Some(recorder),
            Err(error) if terms.on_failure == OnFailure::Strict => return Err(Unrecorded(error)),
            Err(error) => {
                tracing::warn!(exchange = %id, %error, "not recorded, as the policy allows");
                None
            }
        };
        let entry = Entry {
            exchange: id.to_string(),
            session: caller.session.to_string(),
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            upstream: upstream.name.clone(),
            protocol: upstream.kind.clone(),
            accesses: Vec::new(),
            verdict: "none".into(),
            rules: Vec::new(),
            approval: None,
            outcome: String::new(),
            status: 0,
            started,
            ended: 0,
            bytes_in: 0,
            bytes_out: 0,
            bundles: Vec::new(),
        };
        let state = Mutex::new(State { entry, outcome: None, terms, gap: recorder.is_none() });
        let under_way = Some(evidence.closing.exchange());
        Ok(Self(Arc::new(Inner {
            id,
            evidence: evidence.clone(),
            recorder,
            mutates: AtomicBool::new(false),
            detached: AtomicBool::new(false),
            left: AtomicBool::new(false),
            on_its_way: CancellationToken::new(),
            unproven: AtomicBool::new(false),
            state,
            under_way,
        })))
    }

    /// The exchange's id: a UUIDv7.
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// Records the request's head. Credentials are replaced by keyed tags, and so is every header that is
    /// not among those of the `protocol`: whoever sent it, nobody knows what it holds.
    pub async fn request_head(
        &self,
        head: &request::Parts,
        protocol: &[HeaderName],
    ) -> Result<(), Unrecorded> {
        // A password may stand before the host.
        let hosts = head.headers.get_all(header::HOST);
        let has_user = hosts.iter().any(|host| host.as_bytes().contains(&b'@'));
        let known = |name: &&HeaderName| {
            (protocol.contains(name) || FRAMING.contains(name)) && !(has_user && *name == header::HOST)
        };
        let unknown: Vec<_> = head.headers.keys().filter(|name| !known(name)).cloned().collect();
        let event = RequestHead {
            method: head.method.to_string(),
            target: without_user(&head.uri),
            version: format!("{:?}", head.version),
            fields: self.redactor().fields(&head.headers, &unknown),
        };
        self.append(Event::RequestHead(event)).await
    }

    /// Records body bytes from the client.
    pub async fn request_data(&self, data: Bytes) -> Result<(), Unrecorded> {
        self.state().entry.bytes_in += data.len() as u64;
        self.append(Event::RequestData(data)).await
    }

    /// Records that the request's body is whole.
    pub async fn request_end(&self) -> Result<(), Unrecorded> {
        self.append(Event::RequestEnd).await
    }

    /// Records what was understood of the request.
    pub async fn accesses(&self, schema: &Schema, accesses: &[Access]) -> Result<(), Unrecorded> {
        let mutates = |access: &Access| schema.action(access.action).is_none_or(|action| action.mutates);
        self.0.mutates.store(accesses.iter().any(mutates), Ordering::Release);
        self.state().entry.accesses = accesses.iter().map(EntryAccess::from).collect();
        self.append(Event::Access(text(&accesses))).await
    }

    /// Records the verdict; its terms of recording hold from here on.
    pub async fn verdict(&self, verdict: &Verdict) -> Result<(), Unrecorded> {
        let (grounds, obligations) = match verdict {
            Verdict::Permit(permit) => (permit.grounds(), Some(permit.obligations())),
            Verdict::Hold(hold) => (hold.grounds(), Some(hold.obligations())),
            Verdict::Denial(denial) => (denial.grounds(), None),
        };
        {
            let mut state = self.state();
            state.entry.verdict = verdict.word().into();
            for (access, ground) in state.entry.accesses.iter_mut().zip(&grounds.accesses) {
                access.effect = ground.effect.word().into();
            }
            let mut rules: Vec<_> = grounds.accesses.iter().flat_map(|ground| ground.rules.clone()).collect();
            rules.sort_unstable();
            rules.dedup();
            state.entry.rules = rules;
            if let Some(obligations) = obligations {
                state.terms = obligations.record;
            }
        }
        let said = Said { verdict: verdict.word(), grounds, obligations };
        self.append(Event::Verdict(text(&said))).await
    }

    /// Records how a request for approval stands.
    pub async fn approval(&self, id: &str, state: &str, by: &[String]) -> Result<(), Unrecorded> {
        self.state().entry.approval = Some(id.to_owned());
        self.append(Event::Approval(json!({ "id": id, "state": state, "by": by }).to_string())).await
    }

    /// Records a remark.
    pub async fn note(&self, kind: &str, text: impl Into<String>) -> Result<(), Unrecorded> {
        self.append(Event::Note { kind: kind.into(), text: text.into() }).await
    }

    /// Says how the exchange ends. The first to know is right.
    pub fn conclude(&self, outcome: Outcome) {
        self.state().outcome.get_or_insert(outcome);
    }

    /// Whether it was said how the exchange ends.
    pub fn is_concluded(&self) -> bool {
        self.state().outcome.is_some()
    }

    /// Says that the exchange was refused.
    pub fn refused(&self, refusal: &Refusal) {
        tracing::info!(
            exchange = %self.id(),
            kind = refusal.kind.word(),
            reason = refusal.reason,
            detail = refusal.detail,
            "refused"
        );
        self.conclude(match refusal.kind {
            RefusalKind::UpstreamUnavailable
            | RefusalKind::UpstreamTimeout
            | RefusalKind::UpstreamInvalid => Outcome::UpstreamFailed,
            RefusalKind::IssuerUnavailable
            | RefusalKind::RecordingUnavailable
            | RefusalKind::PolicyUnavailable
            | RefusalKind::Internal => Outcome::Failed(refusal.kind.word().into()),
            RefusalKind::Unauthenticated
            | RefusalKind::Denied
            | RefusalKind::ApprovalNeeded
            | RefusalKind::ApprovalDenied
            | RefusalKind::Invalid
            | RefusalKind::TooLarge
            | RefusalKind::NotFound
            | RefusalKind::Timeout => Outcome::Refused,
        });
    }

    /// From here on the exchange goes to its end also when the client is gone.
    pub fn detach(&self) {
        self.0.detached.store(true, Ordering::Release);
    }

    /// Whether [`Exchange::detach`] was called.
    pub fn is_detached(&self) -> bool {
        self.0.detached.load(Ordering::Acquire)
    }

    /// Says that the client has gone: what comes of the answer from here on is not delivered.
    pub(crate) fn leave(&self) {
        self.0.left.store(true, Ordering::Release);
    }

    /// Whether [`Exchange::leave`] was called.
    pub(crate) fn is_left(&self) -> bool {
        self.0.left.load(Ordering::Acquire)
    }

    /// Whether any of the accesses may change the upstream.
    pub fn mutates(&self) -> bool {
        self.0.mutates.load(Ordering::Acquire)
    }

    async fn append(&self, event: Event) -> Result<(), Unrecorded> {
        let Some(recorder) = self.recorder() else { return Ok(()) };
        let done = recorder.append(event).await;
        done.or_else(|error| self.tolerate(error))
    }

    /// The recorder, unless the recording already has a gap: what follows one would only seem whole.
    fn recorder(&self) -> Option<&ExchangeRecorder> {
        if self.state().gap { None } else { self.0.recorder.as_ref() }
    }

    fn tolerate(&self, error: RecordError) -> Result<(), Unrecorded> {
        let mut state = self.state();
        match state.terms.on_failure {
            OnFailure::Strict => Err(Unrecorded(error)),
            OnFailure::BestEffort => {
                tracing::warn!(exchange = %self.id(), %error, "recording stops, as the policy allows");
                state.gap = true;
                Ok(())
            }
        }
    }

    fn redactor(&self) -> &Redactor {
        self.0.evidence.recorder.redactor()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

/// A verdict as it is recorded.
#[derive(Serialize)]
struct Said<'a> {
    verdict: &'a str,
    grounds: &'a Grounds,
    obligations: Option<&'a Obligations>,
}

/// A request's target, without what stands before the host in it.
fn without_user(target: &Uri) -> String {
    let text = target.to_string();
    match target.authority().and_then(|authority| authority.as_str().rsplit_once('@')) {
        Some((user, _)) => text.replacen(&format!("{user}@"), "", 1),
        None => text,
    }
}

/// What is recorded as JSON.
fn text(said: &impl Serialize) -> String {
    serde_json::to_string(said).expect("plain data with text for keys is JSON")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Every critical section leaves the state whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
