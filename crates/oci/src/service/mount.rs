//! Blobs that are in another repository already, and are not uploaded once more.
//!
//! What a client may read in a repository it may have in another. Where it may not, or nobody has looked through what is
//! to be looked through, it is answered as by a registry that can't, and uploads the blob.

use std::sync::Arc;

use lockgate_core::{access::Outline, body};
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
        if !asked.context.probe.permits(&[Outline { access: read.clone(), open: Vec::new() }]) {
            return Ok(None);
        }
        let written = with_findings(classify::blob_access(&asked.endpoint, Some(&digest)), found);
        let mut query = form_urlencoded::Serializer::new(asked.query.encoded(&["mount", "digest-algorithm"]));
        query.append_pair("from", &asked.place.own_name(&from));
        let url = asked.place.url(asked.endpoint.repository(), &asked.endpoint.rest()) + &query.finish();
        asked.from = Some(from);
        Ok(Some(Read {
            accesses: vec![written, read],
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
        let from = self.place.unnamed(from).filter(|from| is_repository(from) && self.can_name(from));
        Ok(from.map(str::to_owned).zip(Digest::parse(digest)))
    }

    fn can_name(&self, repository: &str) -> bool {
        let upstream = self.context.upstream;
        let listed = upstream.resources.as_ref();
        listed.is_none_or(|globs| globs.matches(&upstream.name_of(repository.to_owned())))
    }
}
