//! Policies: nothing is published that does not load.

use jiff::Timestamp;
use lockgate_core::policy::PolicyErrors;
use lockgate_proto::v1::{self, policy_service_server::PolicyService};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{person, watch};
use crate::{
    convert::FromProto,
    convert::{self, IntoProto, Publish},
    force,
    guard::Proxy,
    model::PolicyProblem,
    server::Shared,
    store::{PolicyAct, Publication, Which},
};

/// How long a document may be.
const MAX_TEXT: usize = 1 << 20;

/// The policies' service.
pub(crate) struct Service(pub(crate) Shared);

#[async_trait]
impl PolicyService for Service {
    async fn validate_policy(
        &self,
        request: Request<v1::ValidatePolicyRequest>,
    ) -> Result<Response<v1::ValidatePolicyResponse>, Status> {
        let text = bounded(request.into_inner().text)?;
        let response = match force::load(text, self.0.schemas.clone()).await {
            Ok(policy) => {
                v1::ValidatePolicyResponse { version: policy.version().to_owned(), problems: Vec::new() }
            }
            Err(errors) => v1::ValidatePolicyResponse { version: String::new(), problems: problems(&errors) },
        };
        Ok(Response::new(response))
    }

    async fn publish_policy(
        &self,
        request: Request<v1::PublishPolicyRequest>,
    ) -> Result<Response<v1::PublishPolicyResponse>, Status> {
        let by = person(&request)?;
        let Publish { text, comment, if_current } = Publish::from_proto(request.into_inner())?;
        let publication = Publication {
            // Filled in by what the text says of itself.
            version: String::new(),
            text: bounded(text)?,
            by,
            at: Timestamp::now(),
            comment,
            if_current,
            act: PolicyAct::Publish,
        };
        let policy = self.0.publish(publication).await?;
        Ok(Response::new(v1::PublishPolicyResponse { policy: Some(policy.into_proto()) }))
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let version = request.into_inner().version;
        let which = if version.is_empty() { Which::Current } else { Which::Version(&version) };
        let policy = self.0.store.policy(which).await?;
        let policy = policy.ok_or_else(|| match which {
            Which::Version(_) => Status::not_found("that version was never published"),
            Which::Current | Which::Previous => Status::not_found("no policy was published yet"),
        })?;
        Ok(Response::new(v1::GetPolicyResponse { policy: Some(policy.into_proto()) }))
    }

    async fn list_policy_versions(
        &self,
        request: Request<v1::ListPolicyVersionsRequest>,
    ) -> Result<Response<v1::ListPolicyVersionsResponse>, Status> {
        let v1::ListPolicyVersionsRequest { page_size, page_token } = request.into_inner();
        let page = self.0.store.policies(&convert::page(page_size, page_token)?).await?;
        Ok(Response::new(v1::ListPolicyVersionsResponse {
            policies: page.items.into_iter().map(IntoProto::into_proto).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn roll_back_policy(
        &self,
        request: Request<v1::RollBackPolicyRequest>,
    ) -> Result<Response<v1::RollBackPolicyResponse>, Status> {
        let by = person(&request)?;
        let v1::RollBackPolicyRequest { version, comment } = request.into_inner();
        let current = self.0.store.policy(Which::Current).await?;
        let which = if version.is_empty() { Which::Previous } else { Which::Version(&version) };
        let wanted = self.0.store.policy(which).await?;
        let wanted = wanted.ok_or_else(|| Status::not_found("there is no such version to roll back to"))?;
        let publication = Publication {
            version: String::new(),
            text: wanted.text,
            by,
            at: Timestamp::now(),
            comment: convert::short(comment, "comment")?,
            // What was published between the two looks is not rolled back unseen.
            if_current: current.map(|policy| policy.version),
            act: PolicyAct::RollBack,
        };
        let policy = self.0.publish(publication).await?;
        Ok(Response::new(v1::RollBackPolicyResponse { policy: Some(policy.into_proto()) }))
    }

    type WatchPolicyStream = ReceiverStream<Result<v1::WatchPolicyResponse, Status>>;

    async fn watch_policy(
        &self,
        request: Request<Streaming<v1::WatchPolicyRequest>>,
    ) -> Result<Response<Self::WatchPolicyStream>, Status> {
        let proxy = request.extensions().get::<Proxy>();
        let Proxy(identity) = proxy.ok_or_else(|| Status::permission_denied("this is for proxies"))?;
        let identity = identity.clone();
        Ok(Response::new(watch::policy(self.0.clone(), identity, request.into_inner())))
    }
}

fn bounded(text: String) -> Result<String, Status> {
    if text.len() > MAX_TEXT {
        return Err(Status::invalid_argument("text: a policy is at most 1 MiB"));
    }
    Ok(text)
}

fn problems(errors: &PolicyErrors) -> Vec<v1::PolicyProblem> {
    let problems = errors.iter().map(|error| PolicyProblem {
        line: error.line,
        column: error.column,
        message: error.message.clone(),
    });
    problems.map(IntoProto::into_proto).collect()
}
