//! The audit, to be read: it is written by what it tells of.

use lockgate_proto::v1::{self, audit_service_server::AuditService};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    convert::{self, IntoProto},
    server::Shared,
};

/// The audit's service.
pub(crate) struct Service(pub(crate) Shared);

#[async_trait]
impl AuditService for Service {
    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        let v1::ListAuditEventsRequest { page_size, page_token } = request.into_inner();
        let page = self.0.store.audit(&convert::page(page_size, page_token)?).await?;
        Ok(Response::new(v1::ListAuditEventsResponse {
            events: page.items.into_iter().map(IntoProto::into_proto).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }
}
