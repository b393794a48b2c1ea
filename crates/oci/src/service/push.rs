//! Manifests on their way up: read whole, and judged by what they say and what they stand for.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use lockgate_core::{
    access::{Access, Value},
    body::{self as bodies, Body},
    refusal::RefusalKind,
};

use super::{Asked, Read, Refused, Registry, pull::Attached, tags::Moves, upload};
use crate::{
    body,
    classify::{self, Verb},
    facts::{self, Facts},
    parse::{
        manifest::Manifest,
        name::{Algorithm, Digest, Reference},
        route::Endpoint,
    },
    respond::{Code, Shape},
    scan::Verdict,
    show::Show,
};

/// Tags of one push: each has to be asked for.
const TAGS: usize = 100;

/// What has to be read of the upstream to know what is pushed.
struct Known {
    facts: Facts,
    findings: Option<Value>,
    attached: Attached,
}

impl Registry {
    /// `PUT` of a manifest.
    pub(super) async fn push(
        &self,
        asked: &mut Asked<'_>,
        reference: &Reference,
        body: Body,
    ) -> Result<Read, Refused> {
        let bytes = body::read(body, self.config.manifest).await?.ok_or_else(|| {
            let reason = format!("the manifest is larger than {} bytes", self.config.manifest);
            Refused::new(RefusalKind::TooLarge, Code::ManifestInvalid, reason)
        })?;
        upload::without_length(asked);
        let (manifest, digest) = parsed(asked, reference, &bytes)?;
        let repository = asked.endpoint.repository().unwrap_or_default().to_owned();
        let tagged = asked.query.tags()?.into_iter().map(Reference::Tag);
        let references: Vec<Reference> = std::iter::once(reference.clone()).chain(tagged).collect();
        let tags = references.iter().filter_map(|reference| match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => None,
        });
        let tags: Vec<String> = tags.collect();
        if tags.len() > TAGS {
            let reason = format!("one push is of {TAGS} tags at most");
            return Err(Refused::new(RefusalKind::Invalid, Code::ManifestInvalid, reason));
        }
        let moves = Moves::new(&self.tags, &asked.context.upstream.name, &repository, &tags);
        let accesses = references.iter().map(|reference| {
            let endpoint = Endpoint::Manifest(repository.clone(), reference.clone());
            access(&endpoint, &manifest, &digest)
        });
        let mut accesses: Vec<Access> = accesses.collect();
        if asked.may_pass(&accesses) {
            let known = self.look(asked, (&manifest, &digest), &bytes).await?;
            for (access, reference) in accesses.iter_mut().zip(&references) {
                self.add(asked, access, (reference, &digest), &known, &moves).await?;
            }
        }
        let url = asked.place.url(asked.endpoint.repository(), &asked.endpoint.rest());
        let moves = Arc::new(moves);
        Ok(Read {
            accesses,
            url: url + &asked.query.encoded(&["tag"]),
            body: bodies::full(bytes),
            shape: Shape::Pushed(digest.clone(), Arc::clone(&moves)),
            code: Some(Code::ManifestInvalid),
            show: Some(Show {
                scans: Arc::clone(&self.scans),
                repository,
                moves,
                digest,
                manifest,
                max: self.config.manifest,
            }),
        })
    }

    /// Finds out of a manifest what is asked for.
    async fn look(
        &self,
        asked: &Asked<'_>,
        (manifest, digest): (&Manifest, &Digest),
        bytes: &Bytes,
    ) -> Result<Known, Refused> {
        let (reader, needs) = (self.reader(asked), asked.context.needs);
        self.sizes.check(&reader, manifest, needs).await?;
        let scans = needs.has("finding").then(|| self.scans_of(asked));
        let (below, secrets) = match &scans {
            Some(scans) => reader.below_scanned(scans, bytes, manifest).await?,
            None if facts::needs_manifest(needs) => (reader.below(manifest).await?, Verdict::default()),
            None => (Vec::new(), Verdict::default()),
        };
        let facts = reader.gather(manifest, &below, needs, self.bases(asked)).await?;
        let findings = match &scans {
            Some(scans) => Some(reader.findings(scans, manifest, &below, secrets).await?),
            None => None,
        };
        let attached = self.attached(asked, (digest, bytes, manifest)).await?;
        Ok(Known { facts, findings, attached })
    }

    /// Adds what was found out to what is asked for by one tag or digest.
    async fn add(
        &self,
        asked: &Asked<'_>,
        access: &mut Access,
        (reference, digest): (&Reference, &Digest),
        known: &Known,
        moves: &Moves,
    ) -> Result<(), Refused> {
        let needs = asked.context.needs;
        let attributes = std::mem::take(&mut access.attributes);
        let mut attributes = known.facts.clone().attributes(attributes, facts::needs_config(needs));
        if let (true, Reference::Tag(tag)) = (needs.has("change"), reference) {
            let change = match moves.before(&self.reader(asked), tag).await? {
                None => "create",
                Some(before) if before == *digest => "same",
                Some(_) => "update",
            };
            attributes = attributes.with("change", change);
        }
        if let Some(findings) = &known.findings {
            attributes = attributes.with("finding", findings.clone());
        }
        access.attributes = known.attached.clone().attributes(attributes);
        Ok(())
    }
}

/// The manifest that is pushed, and its digest.
fn parsed(asked: &Asked<'_>, reference: &Reference, bytes: &Bytes) -> Result<(Manifest, Digest), Refused> {
    let invalid = |reason: String| Refused::new(RefusalKind::Invalid, Code::ManifestInvalid, reason);
    let mut manifest = Manifest::parse(bytes).map_err(|error| invalid(format!("the manifest: {error}")))?;
    // Registries take it for what it is sent as, where it does not say itself what it is.
    for said in asked.head.headers.get_all(header::CONTENT_TYPE) {
        let said = said.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let media_type = manifest.media_type.get_or_insert_with(|| said.to_owned());
        if !media_type.eq_ignore_ascii_case(said) {
            return Err(invalid("the manifest says that it is of another type than it is sent as".into()));
        }
    }
    let digest = match reference {
        Reference::Digest(digest) => Digest::of(digest.algorithm(), bytes),
        Reference::Tag(_) => Digest::of(Algorithm::Sha256, bytes),
    };
    if let Reference::Digest(expected) = reference
        && digest != *expected
    {
        let reason = format!("the manifest is {digest}, and was to be {expected}");
        return Err(Refused::new(RefusalKind::Invalid, Code::DigestInvalid, reason));
    }
    Ok((manifest, digest))
}

/// What is asked for by one tag or digest, as far as the manifest alone says.
fn access(endpoint: &Endpoint, manifest: &Manifest, digest: &Digest) -> Access {
    let mut access = classify::access(Verb::Push, endpoint);
    access.binding = format!("{} {digest}", access.binding);
    let mut attributes = access.attributes.with("digest", digest.as_str());
    let texts = [("media_type", &manifest.media_type), ("artifact_type", &manifest.artifact_type)];
    for (name, text) in texts {
        if let Some(text) = text {
            attributes = attributes.with(name, text.as_str());
        }
    }
    Access { attributes, ..access }
}
