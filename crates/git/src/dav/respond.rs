//! How clients of WebDAV are answered. git http-push shows the status of a refusal alone; its reason is in the
//! answer and the recording.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use http::{Response, header, response};
use lockgate_core::{
    body::{self, Body},
    protocol::{Content, Dialect, HoldStyle, Probe},
    refusal::{Refusal, RefusalKind},
};

use super::{
    files::{Files, Packed, Seen},
    href::Names,
    refs::InfoRefs,
};
use crate::{config::DavConfig, respond::plain, service::broken};

pub(super) struct DavDialect {
    pub(super) names: Names,
    /// The repository's path.
    pub(super) path: String,
    /// What refs named when the request was judged.
    pub(super) seen: Vec<Seen>,
    pub(super) packed: Packed,
    /// What the list of refs said, where another is to be written.
    pub(super) listed: Option<InfoRefs>,
    pub(super) wait: Duration,
    pub(super) limits: DavConfig,
}

impl Dialect for DavDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        plain(refusal)
    }

    fn stands<'a>(&'a self, probe: &'a dyn Probe) -> BoxFuture<'a, Result<(), Refusal>> {
        async move {
            let files = Files { probe, path: &self.path, limits: &self.limits };
            let names: Vec<&str> = self.seen.iter().map(|seen| &*seen.name).collect();
            let mut stands = true;
            if !names.is_empty() {
                let now = files.look(&names, self.packed).await?;
                stands = self.seen.iter().zip(&now).all(|(seen, now)| seen.stands(now, self.packed));
            }
            if let Some(listed) = &self.listed {
                stands &= files.info_refs().await? == *listed;
            }
            let meanwhile =
                || Refusal::new(RefusalKind::Denied, "somebody else pushed meanwhile: push again");
            if stands { Ok(()) } else { Err(meanwhile()) }
        }
        .boxed()
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        self.answered(response).boxed()
    }

    fn content(&self, _: &response::Parts) -> Content {
        Content::Opaque
    }
}

impl DavDialect {
    /// The answer, with no address of the upstream's: those in XML become the client's own.
    async fn answered(&self, response: Response<Body>) -> Result<Response<Body>, Refusal> {
        let (mut head, body) = response.into_parts();
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            head.headers.remove(name);
        }
        let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|media_type| media_type.split(';').next()).unwrap_or_default();
        if !["text/xml", "application/xml"].contains(&essence.trim()) {
            return Ok(Response::from_parts(head, body));
        }
        let invalid = |reason| Refusal::new(RefusalKind::UpstreamInvalid, reason);
        let xml = body::read(body, self.limits.answer).await.map_err(broken)?;
        let xml = xml.ok_or_else(|| invalid("the upstream's answer is too long"))?;
        let xml = std::str::from_utf8(&xml).map_err(|_| invalid("the upstream's answer is not UTF-8"))?;
        head.headers.remove(header::CONTENT_LENGTH);
        Ok(Response::from_parts(head, body::full(self.names.rewrite(xml))))
    }
}
