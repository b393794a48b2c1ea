//! A person's side of the control plane: every call, in the domain's types.

use lockgate_core::{index::Entry, secret::Secret};
use lockgate_proto::v1::{
    self, approval_service_client::ApprovalServiceClient, audit_service_client::AuditServiceClient,
    policy_service_client::PolicyServiceClient, session_service_client::SessionServiceClient,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{
    call::CallError,
    client::cut,
    convert::{self, FromProto, IntoProto, WrongField},
    model::{
        Answer, Approval, AuditEvent, EntryFilter, Page, PageRequest, PolicyProblem, PublishedPolicy,
        Session, State,
    },
    transport::{self, CALL_WITHIN, ConnectError, Endpoint, MAX_ANSWER},
};

/// A person's connection to the control plane.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    bearer: Bearer,
}

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validated {
    /// A policy: it may be published.
    Loads {
        /// The version that it would have.
        version: String,
    },
    /// No policy.
    Refused(Vec<PolicyProblem>),
}

/// What a person publishes.
#[derive(Debug, Clone, Default)]
pub struct Publish {
    /// The document.
    pub text: String,
    /// Why.
    pub comment: String,
    /// Only while this version is in force.
    pub if_current: Option<String>,
}

/// Shows the token.
#[derive(Debug, Clone)]
struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        request.set_timeout(CALL_WITHIN);
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Bearer>;

impl Client {
    /// A client that shows this token. Connects at the first call.
    ///
    /// # Errors
    /// When the endpoint or the token can never work.
    pub fn connect(endpoint: &Endpoint, token: &Secret) -> Result<Self, ConnectError> {
        let bearer = MetadataValue::try_from(format!("Bearer {}", token.expose()));
        let mut bearer = bearer.map_err(|_| ConnectError::Token)?;
        bearer.set_sensitive(true);
        Ok(Self { channel: transport::connect(endpoint)?, bearer: Bearer(bearer) })
    }

    /// Checks a document.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn validate_policy(&self, text: &str) -> Result<Validated, CallError> {
        let request = v1::ValidatePolicyRequest { text: text.to_owned() };
        let answer = self.policies_service().validate_policy(request).await?.into_inner();
        if answer.problems.is_empty() {
            return Ok(Validated::Loads { version: answer.version });
        }
        Ok(Validated::Refused(all(answer.problems)?))
    }

    /// Publishes a document.
    ///
    /// # Errors
    /// [`CallError::Policy`] with everything that is wrong with it; or when there is no answer.
    pub async fn publish_policy(&self, publish: Publish) -> Result<PublishedPolicy, CallError> {
        // First, because an error can't carry as much as an answer.
        if let Validated::Refused(problems) = self.validate_policy(&publish.text).await? {
            return Err(CallError::Policy(problems));
        }
        let Publish { text, comment, if_current } = publish;
        let if_current = if_current.unwrap_or_default();
        let request = v1::PublishPolicyRequest { text, comment, if_current };
        let answer = self.policies_service().publish_policy(request).await?;
        Ok(convert::inner(answer.into_inner().policy, "policy")?)
    }

    /// The policy in force, or an earlier version, with its text.
    ///
    /// # Errors
    /// When there is none, or no answer.
    pub async fn policy(&self, version: Option<&str>) -> Result<PublishedPolicy, CallError> {
        let request = v1::GetPolicyRequest { version: version.unwrap_or_default().to_owned() };
        let answer = self.policies_service().get_policy(request).await?;
        Ok(convert::inner(answer.into_inner().policy, "policy")?)
    }

    /// What was published, newest first, without texts.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn policies(&self, page: &PageRequest) -> Result<Page<PublishedPolicy>, CallError> {
        let (page_size, page_token) = asked(page);
        let request = v1::ListPolicyVersionsRequest { page_size, page_token };
        let answer = self.policies_service().list_policy_versions(request).await?.into_inner();
        given(answer.policies, answer.next_page_token)
    }

    /// Puts an earlier version in force; without one, that before the current.
    ///
    /// # Errors
    /// When there is no such version, it does not load any more, or there is no answer.
    pub async fn roll_back(
        &self,
        version: Option<&str>,
        comment: &str,
    ) -> Result<PublishedPolicy, CallError> {
        let version = version.unwrap_or_default().to_owned();
        let request = v1::RollBackPolicyRequest { version, comment: comment.to_owned() };
        let answer = self.policies_service().roll_back_policy(request).await?;
        Ok(convert::inner(answer.into_inner().policy, "policy")?)
    }

    /// Approvals in one of these states (none: in any), newest first.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn approvals(&self, states: &[State], page: &PageRequest) -> Result<Page<Approval>, CallError> {
        let (page_size, page_token) = asked(page);
        let states = states.iter().map(|state| convert::proto_state(*state).into()).collect();
        let request = v1::ListApprovalsRequest { states, page_size, page_token };
        let answer = self.approvals_service().list_approvals(request).await?.into_inner();
        given(answer.approvals, answer.next_page_token)
    }

    /// One approval.
    ///
    /// # Errors
    /// When there is none, or no answer.
    pub async fn approval(&self, id: &str) -> Result<Approval, CallError> {
        let request = v1::GetApprovalRequest { id: id.to_owned() };
        let answer = self.approvals_service().get_approval(request).await?;
        Ok(convert::inner(answer.into_inner().approval, "approval")?)
    }

    /// Approves or denies; a denial needs a reason.
    ///
    /// # Errors
    /// When it is not this person's to decide, or too late; or there is no answer.
    pub async fn decide(&self, id: &str, answer: Answer, reason: &str) -> Result<Approval, CallError> {
        let request = v1::DecideApprovalRequest {
            id: id.to_owned(),
            answer: answer.into_proto().into(),
            reason: reason.to_owned(),
        };
        let answer = self.approvals_service().decide_approval(request).await?;
        Ok(convert::inner(answer.into_inner().approval, "approval")?)
    }

    /// Exchanges, newest first.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn entries(&self, filter: &EntryFilter, page: &PageRequest) -> Result<Page<Entry>, CallError> {
        let (page_size, page_token) = asked(page);
        let filter = Some(filter.clone().into_proto());
        let request = v1::SearchEntriesRequest { filter, page_size, page_token };
        let answer = self.sessions_service().search_entries(request).await?.into_inner();
        given(answer.entries, answer.next_page_token)
    }

    /// Sessions that have matching exchanges, newest first.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn sessions(
        &self,
        filter: &EntryFilter,
        page: &PageRequest,
    ) -> Result<Page<Session>, CallError> {
        let (page_size, page_token) = asked(page);
        let filter = Some(filter.clone().into_proto());
        let request = v1::SearchSessionsRequest { filter, page_size, page_token };
        let answer = self.sessions_service().search_sessions(request).await?.into_inner();
        given(answer.sessions, answer.next_page_token)
    }

    /// One exchange.
    ///
    /// # Errors
    /// When there is none, or no answer.
    pub async fn entry(&self, exchange: &str) -> Result<Entry, CallError> {
        let request = v1::GetEntryRequest { exchange: exchange.to_owned() };
        let answer = self.sessions_service().get_entry(request).await?;
        Ok(convert::inner(answer.into_inner().entry, "entry")?)
    }

    /// Adds an entry read from a recording, unless the index has one of its exchange.
    ///
    /// # Errors
    /// When it is no entry, or there is no answer.
    pub async fn restore_entry(&self, entry: Entry) -> Result<(), CallError> {
        let request = v1::PutEntriesRequest { entries: vec![cut(entry.into_proto())] };
        let answer = self.sessions_service().put_entries(request).await?.into_inner();
        match answer.rejected.into_iter().next() {
            Some(rejected) => Err(CallError::Invalid(rejected.reason)),
            None => Ok(()),
        }
    }

    /// The audit, newest first.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn audit(&self, page: &PageRequest) -> Result<Page<AuditEvent>, CallError> {
        let (page_size, page_token) = asked(page);
        let request = v1::ListAuditEventsRequest { page_size, page_token };
        let mut client = AuditServiceClient::new(self.service()).max_decoding_message_size(MAX_ANSWER);
        let answer = client.list_audit_events(request).await?.into_inner();
        given(answer.events, answer.next_page_token)
    }

    fn service(&self) -> Service {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    fn policies_service(&self) -> PolicyServiceClient<Service> {
        PolicyServiceClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    fn approvals_service(&self) -> ApprovalServiceClient<Service> {
        ApprovalServiceClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }

    fn sessions_service(&self) -> SessionServiceClient<Service> {
        SessionServiceClient::new(self.service()).max_decoding_message_size(MAX_ANSWER)
    }
}

/// A page as it is asked for.
fn asked(page: &PageRequest) -> (u32, String) {
    (page.size, page.token.clone().unwrap_or_default())
}

/// A page as it is given.
fn given<M, T: FromProto<M>>(items: Vec<M>, next: String) -> Result<Page<T>, CallError> {
    Ok(Page { items: all(items)?, next: Some(next).filter(|token| !token.is_empty()) })
}

fn all<M, T: FromProto<M>>(items: Vec<M>) -> Result<Vec<T>, WrongField> {
    items.into_iter().map(T::from_proto).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_token_is_never_shown() {
        let endpoint = Endpoint::Unix("nowhere".into());
        let client = Client::connect(&endpoint, &Secret::new("hunter2")).unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
        let odd = Client::connect(&endpoint, &Secret::new("hunter2\n")).unwrap_err();
        assert!(matches!(&odd, ConnectError::Token), "{odd:?}");
        assert!(!odd.to_string().contains("hunter2"));
    }
}
