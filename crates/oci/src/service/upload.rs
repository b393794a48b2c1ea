//! Blobs on their way up: begun, in parts, committed.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use lockgate_core::{
    access::{Access, Value},
    body::{Body, BodyError},
    refusal::{Refusal, RefusalKind},
    spool::SpoolError,
};

use super::{Asked, Read, Refused, Registry};
use crate::{
    body::{self, Sender, Watch},
    classify,
    parse::{
        link,
        name::{Algorithm, Digest},
        route::RouteError,
    },
    respond::{Code, Shape},
    scan::{Scans, Verdict},
    sizes::Sizes,
    uploads::{Claim, Owner, Progress, Unclaimed},
};

impl Registry {
    /// `POST`: the beginning of an upload, or all of it.
    pub(super) async fn begin(&self, asked: &mut Asked<'_>, body: &mut Body) -> Result<Read, Refused> {
        if !self.uploads.may_begin(&asked.owner()) {
            let reason = "too many uploads of yours are under way";
            let refused = Refused::new(RefusalKind::Invalid, Code::TooManyRequests, reason);
            return Err(refused.with_status(StatusCode::TOO_MANY_REQUESTS));
        }
        let whole = asked.query.digest("digest")?;
        let algorithm = match asked.query.get("digest-algorithm")? {
            None => Algorithm::Sha256,
            Some(name) => Algorithm::of(name).ok_or(RouteError::Digest)?,
        };
        if whole.is_none()
            && let Some(mount) = self.mount(asked, algorithm)?
        {
            return Ok(mount);
        }
        let taken = std::mem::replace(body, body::empty());
        let scans = asked.context.needs.has("finding");
        let (body, findings) = match &whole {
            Some(digest) if scans => {
                let progress = self.progress(asked, digest.algorithm(), scans);
                let (body, verdict) = self.spooled(asked, taken, progress, digest).await?;
                (body, Some(verdict))
            }
            Some(digest) => (body::checked(taken, digest.clone(), Sender::Client), None),
            None => (body::empty(), scans.then(Verdict::default)),
        };
        let url = asked.place.url(asked.endpoint.repository(), &asked.endpoint.rest());
        // Where a registry does not take it whole, what it has of it is not known.
        let progress = whole.is_none().then(|| Box::new(Progress::begin(algorithm)));
        Ok(Read {
            accesses: vec![with_findings(classify::blob_access(&asked.endpoint, whole.as_ref()), findings)],
            url: url + &asked.query.encoded(&["digest", "digest-algorithm"]),
            body,
            shape: Shape::Begin {
                uploads: Arc::clone(&self.uploads),
                owner: asked.owner(),
                progress: progress.into(),
                whole,
            },
            code: Some(Code::DigestInvalid),
            show: None,
        })
    }

    /// A request for an upload that was begun.
    pub(super) async fn upload(
        &self,
        asked: &mut Asked<'_>,
        id: &str,
        body: &mut Body,
    ) -> Result<Read, Refused> {
        let owner = asked.owner();
        let scans = asked.context.needs.has("finding");
        // Nothing of it is there before it is committed.
        let nothing = scans.then(Verdict::default);
        let mut access = with_findings(classify::blob_access(&asked.endpoint, None), nothing);
        // Who allows one of these requests allows no other.
        access.binding = format!("{} {} {id}", access.action, asked.head.method);
        let accesses = vec![access];
        if asked.head.method == Method::GET {
            let location = self.uploads.location(id, &owner).ok_or(RouteError::Upload)?;
            let shape = Shape::Status(id.to_owned());
            let (url, body) = (location.into(), body::empty());
            return Ok(Read { accesses, url, body, shape, code: None, show: None });
        }
        let claim = self.uploads.claim(id, &owner).map_err(|unclaimed| match unclaimed {
            Unclaimed::Unknown => RouteError::Upload.into(),
            Unclaimed::Busy => {
                let reason = "another request for this upload is under way";
                Refused::new(RefusalKind::Invalid, Code::BlobUploadInvalid, reason)
            }
        })?;
        let claim = Arc::new(claim);
        let location = claim.location().clone();
        let code = Some(Code::BlobUploadInvalid);
        if asked.head.method == Method::PATCH {
            let body = self.part(asked, std::mem::replace(body, body::empty()), &claim, scans);
            let (url, shape) = (location.into(), Shape::Chunk(claim));
            return Ok(Read { accesses, url, body, shape, code, show: None });
        }
        if asked.head.method == Method::DELETE {
            let (url, shape) = (location.into(), Shape::Cancel(claim));
            return Ok(Read { accesses, url, body: body::empty(), shape, code, show: None });
        }
        if asked.head.method != Method::PUT {
            return Err(RouteError::Unknown.into());
        }
        let digest = asked.query.digest("digest")?.ok_or(RouteError::Digest)?;
        let last = std::mem::replace(body, body::empty());
        let (last, verdict) = self.last(asked, &claim, &digest, last).await?;
        let access = with_findings(classify::blob_access(&asked.endpoint, Some(&digest)), verdict);
        Ok(Read {
            accesses: vec![access],
            url: link::with_digest(&location, digest.as_str()).into(),
            body: last,
            shape: Shape::Commit(claim, digest),
            code: Some(Code::DigestInvalid),
            show: None,
        })
    }

    /// A part of an upload, which is remembered, and looked through where that was asked for from the first one on.
    fn part(&self, asked: &Asked<'_>, body: Body, claim: &Arc<Claim>, scans: bool) -> Body {
        claim.begun();
        let Some(mut progress) = claim.take_progress() else { return body };
        if scans && !progress.is_begun {
            progress.feed = self.scans_of(asked).try_begin();
        }
        progress.leave_to(asked.context.recorded);
        body::watched(body, Part { progress, claim: Arc::clone(claim) })
    }

    /// The end of an upload, which must make it what its digest says; as far as that is known here. With what was
    /// found in it where that is asked for: what was not looked through from its first byte to its last here, and is not
    /// known by its digest, may hold anything.
    async fn last(
        &self,
        asked: &mut Asked<'_>,
        claim: &Claim,
        digest: &Digest,
        body: Body,
    ) -> Result<(Body, Option<Verdict>), Refused> {
        let scans = asked.context.needs.has("finding");
        let known = || {
            let known = self.scans.known(digest);
            scans.then(|| known.map_or_else(Verdict::unknown, |verdict| (*verdict).clone()))
        };
        let progress = claim.take_progress().filter(|of| of.hasher.algorithm() == digest.algorithm());
        let progress = match progress {
            // A blob that comes in one piece may be named by any digest.
            None if claim.is_new() && !body.is_end_stream() => {
                self.progress(asked, digest.algorithm(), scans)
            }
            None => return Ok((body, known())),
            Some(progress) if progress.is_begun || !scans => progress,
            Some(_) => self.progress(asked, digest.algorithm(), scans),
        };
        if body.is_end_stream() {
            let Progress { hasher, feed, length, .. } = progress;
            same(digest, hasher.finish())?;
            self.sizes.remember(digest, length);
            let verdict = match feed {
                Some(feed) => Some((*self.scans.remember(digest.clone(), feed.finish().await)).clone()),
                None => known(),
            };
            return Ok((body, verdict));
        }
        let mut progress = progress;
        progress.leave_to(asked.context.recorded);
        if progress.feed.is_some() {
            let (body, verdict) = self.spooled(asked, body, progress, digest).await?;
            return Ok((body, Some(verdict)));
        }
        let last = Last { progress, expected: digest.clone(), sizes: Arc::clone(&self.sizes) };
        Ok((body::watched(body, last), known()))
    }

    /// Of a blob that comes in one piece.
    fn progress(&self, asked: &Asked<'_>, algorithm: Algorithm, scans: bool) -> Progress {
        self.uploads.prune();
        let feed = if scans { self.scans_of(asked).try_begin() } else { None };
        let mut progress = Progress::begin(algorithm);
        progress.feed = feed;
        progress
    }

    /// What the caller may have looked through.
    pub(super) fn scans_of(&self, asked: &Asked<'_>) -> Scans {
        self.scans.of(&asked.context.principal.to_string())
    }

    /// Keeps the end of a blob until it is looked through.
    async fn spooled(
        &self,
        asked: &Asked<'_>,
        mut body: Body,
        mut progress: Progress,
        digest: &Digest,
    ) -> Result<(Body, Verdict), Refused> {
        let mut spool = asked.context.spools.create();
        while let Some(frame) = body.frame().await {
            let data = frame?.into_data().unwrap_or_default();
            spool.write(&data).await?;
            progress.take(&data).await;
        }
        let spool = spool.finish().await?;
        progress.settle().await?;
        let Progress { hasher, feed, length, .. } = progress;
        same(digest, hasher.finish())?;
        self.sizes.remember(digest, length);
        let verdict = match feed {
            Some(feed) => (*self.scans.remember(digest.clone(), feed.finish().await)).clone(),
            None => Verdict::unknown(),
        };
        Ok((spool.body_after(Bytes::new()), verdict))
    }
}

fn same(expected: &Digest, found: Digest) -> Result<(), Refused> {
    if found == *expected {
        return Ok(());
    }
    let reason = format!("the upload is {found}, and was to be {expected}");
    Err(Refused::new(RefusalKind::Invalid, Code::DigestInvalid, reason))
}

pub(super) fn with_findings(mut access: Access, verdict: Option<Verdict>) -> Access {
    if let Some(Verdict { findings, further }) = verdict {
        access.attributes = access.attributes.with("finding", Value::Findings { list: findings, further });
    }
    access
}

impl Asked<'_> {
    pub(super) fn owner(&self) -> Owner {
        let repository = self.endpoint.repository().unwrap_or_default();
        Owner::new(self.context.principal, &self.context.upstream.name, repository)
    }
}

struct Part {
    progress: Progress,
    claim: Arc<Claim>,
}

impl Watch for Part {
    async fn data(&mut self, data: &Bytes) {
        self.progress.take(data).await;
    }

    async fn end(mut self) -> Result<(), BodyError> {
        self.progress.settle().await?;
        self.claim.put_progress(self.progress);
        Ok(())
    }
}

struct Last {
    progress: Progress,
    expected: Digest,
    sizes: Arc<Sizes>,
}

impl Watch for Last {
    async fn data(&mut self, data: &Bytes) {
        self.progress.take(data).await;
    }

    async fn end(mut self) -> Result<(), BodyError> {
        self.progress.settle().await?;
        body::mismatch(self.progress.hasher.finish(), self.expected.clone(), Sender::Client)?;
        self.sizes.remember(&self.expected, self.progress.length);
        Ok(())
    }
}

/// What a content length says of a body that was replaced is not true of it.
pub(super) fn without_length(asked: &mut Asked<'_>) {
    asked.head.headers.remove(header::CONTENT_LENGTH);
}

impl From<SpoolError> for Refused {
    fn from(error: SpoolError) -> Self {
        let kind = match &error {
            SpoolError::TooLarge { .. } => RefusalKind::TooLarge,
            SpoolError::Body(_) => RefusalKind::Timeout,
            SpoolError::Disk(_) => RefusalKind::Internal,
        };
        let reason = match &error {
            SpoolError::TooLarge { max } => format!("a blob in one piece is at most {max} bytes long here"),
            SpoolError::Body(_) | SpoolError::Disk(_) => "the blob can't be kept".to_owned(),
        };
        Refusal::new(kind, reason).because(&error).into()
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Refusal::new(RefusalKind::Timeout, "the request broke off").because(&error).into()
    }
}
