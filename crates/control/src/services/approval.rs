//! Approvals: asked for by proxies, decided by people.

use jiff::Timestamp;
use lockgate_proto::v1::{self, approval_service_server::ApprovalService};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::{person, watch};
use crate::{
    convert::{self, Decide, FromProto, ListApprovals},
    model::{Approval, Decision},
    server::Shared,
};

/// The approvals' service.
pub(crate) struct Service(pub(crate) Shared);

impl Service {
    fn proto(&self, approval: Approval) -> Option<v1::Approval> {
        Some(convert::approval(approval, &self.0.links))
    }
}

#[async_trait]
impl ApprovalService for Service {
    async fn request_approval(
        &self,
        request: Request<v1::RequestApprovalRequest>,
    ) -> Result<Response<v1::RequestApprovalResponse>, Status> {
        let request = convert::inner(request.into_inner().request, "request")?;
        let approval = self.0.store.request_approval(request, Timestamp::now()).await?;
        Ok(Response::new(v1::RequestApprovalResponse { approval: self.proto(approval) }))
    }

    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        let id = convert::uuid(request.into_inner().id, "id")?;
        let approval = self.0.store.approval(&id, Timestamp::now()).await?;
        Ok(Response::new(v1::GetApprovalResponse { approval: self.proto(approval) }))
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        let ListApprovals { states, page } = ListApprovals::from_proto(request.into_inner())?;
        let page = self.0.store.approvals(&states, &page, Timestamp::now()).await?;
        let approvals = page.items.into_iter().map(|it| convert::approval(it, &self.0.links));
        Ok(Response::new(v1::ListApprovalsResponse {
            approvals: approvals.collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    type WatchApprovalStream = ReceiverStream<Result<v1::WatchApprovalResponse, Status>>;

    async fn watch_approval(
        &self,
        request: Request<v1::WatchApprovalRequest>,
    ) -> Result<Response<Self::WatchApprovalStream>, Status> {
        let id = convert::uuid(request.into_inner().id, "id")?;
        Ok(Response::new(watch::approval(self.0.clone(), id)))
    }

    async fn decide_approval(
        &self,
        request: Request<v1::DecideApprovalRequest>,
    ) -> Result<Response<v1::DecideApprovalResponse>, Status> {
        let by = person(&request)?;
        let Decide { id, answer, reason } = Decide::from_proto(request.into_inner())?;
        let decision = Decision { by, answer, reason, at: Timestamp::now() };
        let approval = self.0.decide(id, decision).await?;
        Ok(Response::new(v1::DecideApprovalResponse { approval: self.proto(approval) }))
    }

    async fn redeem_approval(
        &self,
        request: Request<v1::RedeemApprovalRequest>,
    ) -> Result<Response<v1::RedeemApprovalResponse>, Status> {
        let v1::RedeemApprovalRequest { id, exchange } = request.into_inner();
        let (id, exchange) = (convert::uuid(id, "id")?, convert::uuid(exchange, "exchange")?);
        let approval = self.0.redeem(id, exchange).await?;
        Ok(Response::new(v1::RedeemApprovalResponse { approval: self.proto(approval) }))
    }
}
