//! Blobs that are in another repository already, and are not uploaded once more.
//!
//! What a client may read in a repository it may have in another. Where the policy does not say so for certain, or nobody
//! has looked through what is to be looked through, an upload is begun. What the upstream says to a mount is passed on.

use std::sync::Arc;

use lockgate_core::{
    access::{Access, Outline},
    body,
};
use url::form_urlencoded;

use super::{Asked, Read, Registry, upload::with_findings};
use crate::{
    classify::{self, Verb},
    parse::{
        name::{Algorithm, Digest, is_repository},
        route::{Endpoint, RouteError},
    },
    respond::{Code, Shape},
    uploads::Progress,
};

impl Registry {
    /// A `POST` that begins an upload, and would rather have the blob from elsewhere; `None` where it can't. What is begun
    /// where the upstream has no such blob is named by `algorithm`.
    pub(super) fn mount(
        &self,
        asked: &mut Asked<'_>,
        algorithm: Algorithm,
    ) -> Result<Option<Read>, RouteError> {
        let Some((from, digest)) = asked.source()? else { return Ok(None) };
        let found = if asked.context.needs.has("finding") {
            let Some(known) = self.scans.known(&digest) else { return Ok(None) };
            Some((*known).clone())
        } else {
            None
        };
        let read = classify::access(Verb::Pull, &Endpoint::Blob(from.clone(), digest.clone()));
        let written = with_findings(classify::blob_access(&asked.endpoint, Some(&digest)), found);
        let accesses = vec![written, read];
        // Where people have to approve either, they are asked when the blob is uploaded and nothing is open any more.
        let outline = |access: &Access| Outline { access: access.clone(), open: Vec::new() };
        if !asked.context.probe.permits(&accesses.iter().map(outline).collect::<Vec<_>>()) {
            return Ok(None);
        }
        let mut query = form_urlencoded::Serializer::new(asked.query.encoded(&["mount", "digest-algorithm"]));
        query.append_pair("from", &asked.place.own_name(&from));
        let url = asked.place.url(asked.endpoint.repository(), &asked.endpoint.rest()) + &query.finish();
        asked.from = Some(from);
        Ok(Some(Read {
            accesses,
            url,
            body: body::empty(),
            shape: Shape::Begin {
                uploads: Arc::clone(&self.uploads),
                owner: asked.owner(),
                progress: Some(Box::new(Progress::begin(algorithm))).into(),
                whole: Some(digest),
            },
            code: Some(Code::BlobUploadInvalid),
            show: None,
        }))
    }
}

impl Asked<'_> {
    /// Where a client would have a blob from, if that is one of the repositories that it can name here.
    fn source(&self) -> Result<Option<(String, Digest)>, RouteError> {
        let (Some(digest), Some(from)) = (self.query.get("mount")?, self.query.get("from")?) else {
            return Ok(None);
        };
        let from = self.place.unnamed(from).filter(|from| is_repository(from)).map(str::to_owned);
        let from = from.filter(|from| self.context.upstream.has(Some(from.clone())));
        Ok(from.zip(Digest::parse(digest)))
    }
}
