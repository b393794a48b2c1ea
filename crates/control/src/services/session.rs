//! The session index.

use jiff::Timestamp;
use lockgate_core::index::Entry;
use lockgate_proto::v1::{self, session_service_server::SessionService};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    convert::{self, FromProto, IntoProto},
    guard::Person,
    model::EntryFilter,
    server::Shared,
};

/// The index's service.
pub(crate) struct Service(pub(crate) Shared);

#[async_trait]
impl SessionService for Service {
    async fn put_entries(
        &self,
        request: Request<v1::PutEntriesRequest>,
    ) -> Result<Response<v1::PutEntriesResponse>, Status> {
        let person = request.extensions().get::<Person>().cloned();
        let (mut entries, mut rejected) = (Vec::new(), Vec::new());
        for (index, entry) in (0..).zip(request.into_inner().entries) {
            match Entry::from_proto(entry) {
                Ok(entry) => entries.push(entry),
                Err(error) => rejected.push(v1::RejectedEntry { index, reason: error.to_string() }),
            }
        }
        match person {
            Some(Person(by)) => self.0.store.restore_entries(&entries, &by, Timestamp::now()).await?,
            None => self.0.store.put_entries(&entries).await?,
        }
        Ok(Response::new(v1::PutEntriesResponse { rejected }))
    }

    async fn search_entries(
        &self,
        request: Request<v1::SearchEntriesRequest>,
    ) -> Result<Response<v1::SearchEntriesResponse>, Status> {
        let v1::SearchEntriesRequest { filter, page_size, page_token } = request.into_inner();
        let filter = EntryFilter::from_proto(filter.unwrap_or_default())?;
        let page = self.0.store.search_entries(&filter, &convert::page(page_size, page_token)?).await?;
        Ok(Response::new(v1::SearchEntriesResponse {
            entries: page.items.into_iter().map(IntoProto::into_proto).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn search_sessions(
        &self,
        request: Request<v1::SearchSessionsRequest>,
    ) -> Result<Response<v1::SearchSessionsResponse>, Status> {
        let v1::SearchSessionsRequest { filter, page_size, page_token } = request.into_inner();
        let filter = EntryFilter::from_proto(filter.unwrap_or_default())?;
        let page = self.0.store.search_sessions(&filter, &convert::page(page_size, page_token)?).await?;
        Ok(Response::new(v1::SearchSessionsResponse {
            sessions: page.items.into_iter().map(IntoProto::into_proto).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn get_entry(
        &self,
        request: Request<v1::GetEntryRequest>,
    ) -> Result<Response<v1::GetEntryResponse>, Status> {
        let exchange = convert::uuid(request.into_inner().exchange, "exchange")?;
        let entry = self.0.store.entry(&exchange).await?;
        Ok(Response::new(v1::GetEntryResponse { entry: Some(entry.into_proto()) }))
    }
}
