//! Locks: requests written anew from what was understood, answers as they are.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use http::{Method, Response, request, response};
use lockgate_core::{
    body::{self, Body},
    protocol::{Classified, Content, Context, Dialect, HoldStyle},
    refusal::{Refusal, RefusalKind},
};

use super::{
    Lfs, access, json_request, malformed,
    parse::{LockRequest, LocksVerification, Unlocking},
    respond,
    route::{Endpoint, LfsRoute},
    upstream_request,
};

impl Lfs {
    pub(super) async fn locks(
        &self,
        context: Context<'_>,
        route: &LfsRoute,
        head: &request::Parts,
        body: Body,
    ) -> Result<Classified, Refusal> {
        let (uri, repository, sent) = (route.uri(), &*route.repository, &head.headers);
        let (access, request) = match &route.endpoint {
            Endpoint::Locks(_) => {
                let request = upstream_request(Method::GET, &uri, sent, body::empty())?;
                (access::fetch(repository), request)
            }
            Endpoint::VerifyLocks => {
                let asked = LocksVerification::parse(&self.json(head, body).await?).map_err(malformed)?;
                (access::fetch(repository), json_request(&uri, sent, &asked)?)
            }
            Endpoint::Lock => {
                let asked = LockRequest::parse(&self.json(head, body).await?).map_err(malformed)?;
                let binding = format!("lfs lock {:?}", asked.path);
                (access::lock(repository, self.wanted(context), binding), json_request(&uri, sent, &asked)?)
            }
            Endpoint::Unlock(id) => {
                let asked = Unlocking::parse(&self.json(head, body).await?).map_err(malformed)?;
                let binding = format!("lfs unlock {id}{}", if asked.force { " by force" } else { "" });
                (access::lock(repository, self.wanted(context), binding), json_request(&uri, sent, &asked)?)
            }
            Endpoint::Batch | Endpoint::Transfer(..) => {
                return Err(Refusal::new(RefusalKind::Internal, "this is no request for locks"));
            }
        };
        let dialect = LocksDialect { wait: self.config.wait };
        Ok(Classified::Asks { accesses: vec![access], request, dialect: Arc::new(dialect) })
    }
}

struct LocksDialect {
    wait: std::time::Duration,
}

impl Dialect for LocksDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        respond::refuse(refusal)
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        async {
            if response.status().is_redirection() {
                let (head, body) = response.into_parts();
                return respond::failed(&head, body).await;
            }
            Ok(response)
        }
        .boxed()
    }

    fn content(&self, head: &response::Parts) -> Content {
        respond::content(&head.headers)
    }
}
