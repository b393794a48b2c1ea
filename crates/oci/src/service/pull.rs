//! Manifests on their way down. What a policy asks of their content is found out before; what goes down then is
//! asked for by its digest, so that it is what was judged.

use lockgate_core::{
    access::{Attributes, Needs},
    refusal::RefusalKind,
};

use super::{Asked, Read, Refused, Registry};
use crate::{
    bases::Named,
    classify::{self, Verb},
    facts,
    parse::{
        manifest::Manifest,
        name::{Algorithm, Digest, Reference},
        route::Endpoint,
    },
    read::Reader,
    respond::{Code, Shape},
    signature::{self, Found},
};

impl Registry {
    /// `GET` and `HEAD` of a manifest.
    pub(super) async fn pull(&self, asked: &Asked<'_>, reference: &Reference) -> Result<Read, Refused> {
        let plainly = || asked.plainly(Verb::Pull, Shape::Manifest(reference.clone()), &[]);
        let needs = asked.context.needs;
        let plain = plainly();
        if !is_content(needs) || !asked.may_pass(&plain.accesses) {
            return Ok(plain);
        }
        let reader = self.reader(asked);
        let Some(found) = reader.manifest(reference, Some(&asked.head.headers)).await? else {
            // By its tag it could be there a moment later, and nobody would have judged it.
            let reason = "there is no such manifest";
            return Err(Refused::new(RefusalKind::NotFound, Code::ManifestUnknown, reason));
        };
        let manifest = Manifest::parse(&found).map_err(|error| {
            let reason = format!("the upstream's manifest: {error}");
            Refused::new(RefusalKind::UpstreamInvalid, Code::ManifestInvalid, reason)
        })?;
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(_) => Digest::of(Algorithm::Sha256, &found),
        };
        let with_config = facts::needs_config(needs);
        let mut access = classify::access(Verb::Pull, &asked.endpoint);
        access.attributes = access.attributes.with("digest", digest.as_str());
        access.binding = format!("{} {digest}", access.binding);
        if facts::needs_manifest(needs) {
            let below = reader.below(&manifest).await?;
            let facts = reader.gather(&manifest, &below, needs, self.bases(asked)).await?;
            access.attributes = facts.attributes(access.attributes, with_config);
        }
        let attached = self.attached(asked, (&digest, &found, &manifest)).await?;
        access.attributes = attached.attributes(access.attributes);
        let judged = Reference::Digest(digest);
        let by_digest = Endpoint::Manifest(reader.repository.to_owned(), judged.clone());
        let url = asked.place.url(by_digest.repository(), &by_digest.rest());
        Ok(Read { accesses: vec![access], url, shape: Shape::Manifest(judged), ..plainly() })
    }

    /// Finds out of a manifest what is asked for of its signatures, and of what it is.
    pub(super) async fn attached(
        &self,
        asked: &Asked<'_>,
        of: (&Digest, &[u8], &Manifest),
    ) -> Result<Attached, Refused> {
        let (reader, needs) = (self.reader(asked), asked.context.needs);
        let is_documents = match needs.has("documents") {
            true => Some(reader.is_documents(of.2).await?),
            false => None,
        };
        let signatures = match signature::needs(needs) {
            true => Some(reader.signatures(&self.signatures, &asked.context.upstream.name, of).await?),
            false => None,
        };
        Ok(Attached { is_documents, signatures })
    }

    /// The bases of the registry that a request is for.
    pub(super) fn bases(&self, asked: &Asked<'_>) -> Named<'_> {
        let known = self.config.registries.get(&asked.context.upstream.name);
        Named { list: known.map(|of| &*of.bases).unwrap_or_default(), read: &self.bases }
    }

    /// Reads of the repository that a request is for.
    pub(super) fn reader<'a>(&self, asked: &'a Asked<'_>) -> Reader<'a> {
        Reader {
            probe: asked.context.probe,
            place: &asked.place,
            repository: asked.endpoint.repository().unwrap_or_default(),
            manifest: self.config.manifest,
        }
    }
}

/// What was asked for of the signatures of a manifest, and of what it is.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    is_documents: Option<bool>,
    signatures: Option<Found>,
}

impl Attached {
    /// As attributes.
    pub(super) fn attributes(self, mut attributes: Attributes) -> Attributes {
        if let Some(is_documents) = self.is_documents {
            attributes = attributes.with("documents", is_documents);
        }
        match self.signatures {
            Some(signatures) => signatures.attributes(attributes),
            None => attributes,
        }
    }
}

/// Whether a policy asks for more than the address says.
fn is_content(needs: &Needs) -> bool {
    facts::needs_manifest(needs) || signature::needs(needs) || needs.has("documents")
}
