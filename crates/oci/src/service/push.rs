//! Manifests on their way up: read whole, and judged by what they say and what they stand for.

use std::sync::Arc;

use bytes::Bytes;
use http::header;
use lockgate_core::{
    access::{Access, Value},
    body::{self as bodies, Body},
    refusal::RefusalKind,
};

use super::{Asked, Read, Refused, Registry, upload};
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
    show::Show,
};

/// What is known of a manifest that is pushed.
struct Known {
    manifest: Manifest,
    digest: Digest,
    facts: Facts,
    findings: Option<Value>,
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
        let known = self.look(asked, reference, &bytes).await?;
        let further = asked.query.tags()?;
        let tag = match reference {
            Reference::Tag(tag) => Some(tag.clone()),
            Reference::Digest(_) => further.first().cloned(),
        };
        let repository = asked.endpoint.repository().unwrap_or_default();
        let tagged =
            further.into_iter().map(|tag| Endpoint::Manifest(repository.to_owned(), Reference::Tag(tag)));
        let mut accesses = Vec::new();
        for endpoint in std::iter::once(asked.endpoint.clone()).chain(tagged) {
            accesses.push(self.access(asked, &endpoint, &known).await?);
        }
        let url = asked.place.url(asked.endpoint.repository(), &asked.endpoint.rest());
        Ok(Read {
            accesses,
            url: url + &asked.query.encoded(&["tag"]),
            body: bodies::full(bytes),
            shape: Shape::Pushed(known.digest.clone()),
            code: Some(Code::ManifestInvalid),
            show: Some(Show {
                scans: Arc::clone(&self.scans),
                repository: repository.to_owned(),
                tag,
                digest: known.digest,
                manifest: known.manifest,
                max: self.config.manifest,
            }),
        })
    }

    /// Finds out of a manifest what is asked for.
    async fn look(&self, asked: &Asked<'_>, reference: &Reference, bytes: &Bytes) -> Result<Known, Refused> {
        let invalid = |reason: String| Refused::new(RefusalKind::Invalid, Code::ManifestInvalid, reason);
        let mut manifest =
            Manifest::parse(bytes).map_err(|error| invalid(format!("the manifest: {error}")))?;
        // Registries take it for what it is sent as, where it does not say itself what it is.
        for said in asked.head.headers.get_all(header::CONTENT_TYPE) {
            let said = said.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
            let media_type = manifest.media_type.get_or_insert_with(|| said.to_owned());
            if !media_type.eq_ignore_ascii_case(said) {
                return Err(invalid(
                    "the manifest says that it is of another type than it is sent as".into(),
                ));
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
        let (reader, needs) = (self.reader(asked), asked.context.needs);
        self.sizes.check(&reader, &manifest, needs).await?;
        let facts = reader.gather(&manifest, needs).await?;
        let findings = match needs.has("finding") {
            true => Some(reader.findings(&self.scans_of(asked), bytes, &manifest).await?),
            false => None,
        };
        Ok(Known { manifest, digest, facts, findings })
    }

    /// What is asked for by one tag or digest.
    async fn access(&self, asked: &Asked<'_>, endpoint: &Endpoint, known: &Known) -> Result<Access, Refused> {
        let needs = asked.context.needs;
        let mut access = classify::access(Verb::Push, endpoint);
        access.binding = format!("{} {}", access.binding, known.digest);
        let mut attributes = access.attributes.with("digest", known.digest.as_str());
        let texts =
            [("media_type", &known.manifest.media_type), ("artifact_type", &known.manifest.artifact_type)];
        for (name, text) in texts {
            if let Some(text) = text {
                attributes = attributes.with(name, text.as_str());
            }
        }
        attributes = known.facts.clone().attributes(attributes, facts::needs_config(needs));
        if let (true, Endpoint::Manifest(_, Reference::Tag(tag))) = (needs.has("change"), endpoint) {
            let change = match self.reader(asked).digest(tag).await? {
                None => "create",
                Some(before) if before == known.digest => "same",
                Some(_) => "update",
            };
            attributes = attributes.with("change", change);
        }
        if let Some(findings) = &known.findings {
            attributes = attributes.with("finding", findings.clone());
        }
        access.attributes = attributes;
        Ok(access)
    }
}
