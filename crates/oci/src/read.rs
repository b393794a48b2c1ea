//! What is read of the upstream to know what a manifest stands for: configs, the manifests of an index, blobs that
//! nobody has looked through yet, what is attached to them.

mod bases;
mod documents;
mod sbom;
mod signatures;

use std::collections::HashSet;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lockgate_core::{
    access::{Finding, Needs, Value},
    body::Body,
    protocol::{Direct, Probe},
    refusal::{Refusal, RefusalKind},
};

use crate::{
    bases::Named,
    body,
    facts::{self, Facts},
    parse::{
        manifest::{Descriptor, ImageConfig, Manifest},
        name::{Digest, Hasher, Reference, is_tag},
        route::Endpoint,
    },
    place::Place,
    respond::Code,
    scan::{Scans, Verdict},
    service::{Refused, relative},
};

/// Manifests below one that are looked at, and how deep.
const MANIFESTS: usize = 100;
const DEPTH: usize = 3;
/// Bytes of a config.
const CONFIG: usize = 4 << 20;
/// Findings that are told of one manifest; of more it is only said that there are.
const FINDINGS: usize = 100;
/// Blobs that are looked through at once for one manifest.
const AT_ONCE: usize = 4;

/// Every type of manifest that there is.
const TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.artifact.manifest.v1+json";

/// The types of configs that are images'.
const IMAGES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Reads of one repository of an upstream.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) probe: &'a dyn Probe,
    pub(crate) place: &'a Place,
    pub(crate) repository: &'a str,
    /// Bytes of a manifest at most.
    pub(crate) manifest: usize,
}

impl Reader<'_> {
    /// What the upstream has there, if anything.
    pub(crate) async fn ask(
        &self,
        method: Method,
        endpoint: &Endpoint,
        headers: HeaderMap,
    ) -> Result<Option<http::Response<Body>>, Refused> {
        let strange = || Refusal::new(RefusalKind::Internal, "an address can't be written");
        let url = self.place.url(endpoint.repository(), &endpoint.rest());
        let direct =
            Direct { url: url.parse().map_err(|_| strange())?, headers: HeaderMap::new(), credential: true };
        let mut request = Request::new(body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = relative(endpoint).ok_or_else(strange)?;
        *request.headers_mut() = headers;
        request.extensions_mut().insert(direct);
        let response = self.probe.send(request).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            status => {
                let reason = format!("the upstream answers {status} to what has to be known of the image");
                Err(Refusal::new(RefusalKind::UpstreamInvalid, reason).into())
            }
        }
    }

    async fn whole(&self, response: http::Response<Body>, max: usize) -> Result<Bytes, Refused> {
        let read = body::read(response.into_body(), max).await.map_err(broken)?;
        let reason = "what has to be known of the image is larger than can be read";
        Ok(read.ok_or_else(|| Refusal::new(RefusalKind::TooLarge, reason))?)
    }

    /// A manifest; `accept` are the client's own fields, where it is for the client.
    pub(crate) async fn manifest(
        &self,
        reference: &Reference,
        accept: Option<&HeaderMap>,
    ) -> Result<Option<Bytes>, Refused> {
        let mut headers = HeaderMap::new();
        match accept {
            Some(of) => {
                for value in of.get_all(header::ACCEPT) {
                    headers.append(header::ACCEPT, value.clone());
                }
            }
            None => drop(headers.insert(header::ACCEPT, HeaderValue::from_static(TYPES))),
        }
        let endpoint = Endpoint::Manifest(self.repository.to_owned(), reference.clone());
        let Some(response) = self.ask(Method::GET, &endpoint, headers).await? else { return Ok(None) };
        let found = self.whole(response, self.manifest).await?;
        if let Reference::Digest(digest) = reference {
            check(digest, Digest::of(digest.algorithm(), &found))?;
        }
        Ok(Some(found))
    }

    /// The digest that a tag stands for.
    pub(crate) async fn digest(&self, tag: &str) -> Result<Option<Digest>, Refused> {
        const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(TYPES))]);
        let endpoint = Endpoint::Manifest(self.repository.to_owned(), Reference::Tag(tag.to_owned()));
        let Some(response) = self.ask(Method::HEAD, &endpoint, headers).await? else { return Ok(None) };
        let digest = response.headers().get(DIGEST).and_then(|value| Digest::parse(value.to_str().ok()?));
        let reason = "the upstream does not say what the tag stands for";
        digest.map(Some).ok_or_else(|| Refusal::new(RefusalKind::UpstreamInvalid, reason).into())
    }

    /// A config that can be read as one of an image.
    async fn config(&self, digest: &Digest) -> Result<Option<ImageConfig>, Refused> {
        image_config(&self.blob(digest, CONFIG).await?.ok_or_else(|| missing(digest))?)
    }

    /// A blob of so many bytes at most.
    async fn blob(&self, digest: &Digest, max: usize) -> Result<Option<Bytes>, Refused> {
        let endpoint = Endpoint::Blob(self.repository.to_owned(), digest.clone());
        let response = self.ask(Method::GET, &endpoint, HeaderMap::new()).await?;
        let Some(response) = response else { return Ok(None) };
        let found = self.whole(response, max).await?;
        check(digest, Digest::of(digest.algorithm(), &found))?;
        Ok(Some(found))
    }

    /// What is attached to a manifest under a tag of its name with this suffix.
    async fn attached(&self, digest: &Digest, suffix: &str) -> Result<Option<Bytes>, Refused> {
        let tag = format!("{}{suffix}", digest.as_tag());
        if is_tag(&tag) { self.manifest(&Reference::Tag(tag), None).await } else { Ok(None) }
    }

    /// What of these types is attached to a manifest, as its registry lists it.
    async fn referrers(&self, digest: &Digest, types: &[&str]) -> Result<Vec<Descriptor>, Refused> {
        let endpoint = Endpoint::Referrers(self.repository.to_owned(), digest.clone());
        let referrers = match self.ask(Method::GET, &endpoint, HeaderMap::new()).await? {
            Some(response) => Some(self.whole(response, self.manifest).await?),
            // Where there is no such list, they are under a tag.
            None => self.manifest(&Reference::Tag(digest.as_tag()), None).await?,
        };
        let Some(referrers) = referrers else { return Ok(Vec::new()) };
        let index = Manifest::parse(&referrers).map_err(|error| invalid(error.to_string()))?;
        let is_of = |of: &Descriptor| of.artifact_type.as_deref().is_some_and(|of| types.contains(&of));
        Ok(index.manifests.into_iter().filter(is_of).collect())
    }

    /// What a manifest and those below it say, with their configs where those are asked for.
    pub(crate) async fn gather(
        &self,
        manifest: &Manifest,
        below: &[Manifest],
        needs: &Needs,
        bases: Named<'_>,
    ) -> Result<Facts, Refused> {
        let mut facts = Facts::default();
        facts.add_manifest(manifest);
        if !facts::needs_manifest(needs) {
            return Ok(facts);
        }
        below.iter().for_each(|below| facts.add_manifest(below));
        let (of_config, of_bases) = (facts::needs_config(needs), needs.has(facts::BUILT_ON));
        if !of_config && !of_bases {
            return Ok(facts);
        }
        let mut images = Vec::new();
        for image in std::iter::once(manifest).chain(below).filter(|of| !of.is_index()) {
            let config = self.config_of(image).await?;
            if let Some(config) = config.as_ref().filter(|_| of_config) {
                facts.add_config(config);
            }
            images.push((image, config));
        }
        if of_bases {
            facts.set_built_on(self.built_on(bases, &images).await?);
        }
        Ok(facts)
    }

    /// The config of a manifest, where it is one of an image.
    pub(crate) async fn config_of(&self, manifest: &Manifest) -> Result<Option<ImageConfig>, Refused> {
        let Some(descriptor) = &manifest.config else { return Ok(None) };
        let config = self.config(&descriptor.digest).await?;
        // One that says nothing is an image's where it is said to be.
        Ok(config.filter(|config| config.is_of_image || IMAGES.contains(&descriptor.media_type.as_str())))
    }

    /// The manifests below one: all of them.
    pub(crate) async fn below(&self, manifest: &Manifest) -> Result<Vec<Manifest>, Refused> {
        self.seen_below(manifest, |_| ()).await
    }

    /// The same, and the secrets in the manifest and in those.
    pub(crate) async fn below_scanned(
        &self,
        scans: &Scans,
        bytes: &[u8],
        manifest: &Manifest,
    ) -> Result<(Vec<Manifest>, Verdict), Refused> {
        let mut all = Verdict::default();
        add(&mut all, &scans.text(bytes), "the manifest");
        let see = |bytes: &[u8]| add(&mut all, &scans.text(bytes), "a manifest of the index");
        let below = self.seen_below(manifest, see).await?;
        Ok((below, all))
    }

    async fn seen_below(
        &self,
        manifest: &Manifest,
        mut see: impl FnMut(&[u8]),
    ) -> Result<Vec<Manifest>, Refused> {
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut level: Vec<Digest> = manifest.manifests.iter().map(|of| of.digest.clone()).collect();
        for _ in 0..DEPTH {
            let mut next = Vec::new();
            for digest in std::mem::take(&mut level) {
                if !seen.insert(digest.clone()) {
                    continue;
                }
                if seen.len() > MANIFESTS {
                    return Err(invalid(format!("more than {MANIFESTS} manifests can't be looked at")));
                }
                let there = self.manifest(&Reference::Digest(digest.clone()), None).await?;
                let there = there.ok_or_else(|| missing(&digest))?;
                let below = Manifest::parse(&there).map_err(|error| invalid(error.to_string()))?;
                see(&there);
                next.extend(below.manifests.iter().map(|of| of.digest.clone()));
                found.push(below);
            }
            level = next;
        }
        if level.iter().any(|digest| !seen.contains(digest)) {
            return Err(invalid(format!("indexes more than {DEPTH} deep can't be looked at")));
        }
        Ok(found)
    }

    /// Adds to the secrets in a manifest and those below it the ones in their blobs. What nobody has looked through is
    /// read and looked through now.
    pub(crate) async fn findings(
        &self,
        scans: &Scans,
        manifest: &Manifest,
        below: &[Manifest],
        mut all: Verdict,
    ) -> Result<Value, Refused> {
        let mut blobs: Vec<(String, Digest)> = Vec::new();
        for of in std::iter::once(manifest).chain(below) {
            // What is to be had elsewhere may be anything.
            all.further += of.layers.iter().filter(|layer| layer.is_foreign).count() as u64;
            let layers = of.layers.iter().enumerate().filter(|(_, layer)| !layer.is_foreign);
            let layers = layers.map(|(at, layer)| (format!("layer {}", at + 1), layer.digest.clone()));
            let config = of.config.iter().map(|config| ("the config".to_owned(), config.digest.clone()));
            blobs.extend(config.chain(layers));
        }
        let mut seen = HashSet::new();
        blobs.retain(|(_, digest)| seen.insert(digest.clone()));
        let looks = blobs.into_iter().map(|(place, digest)| async move {
            let verdict = self.verdict(scans, &digest).await?;
            Ok::<_, Refused>((place, verdict))
        });
        let mut looks = futures::stream::iter(looks).buffered(AT_ONCE);
        while let Some(look) = looks.next().await {
            let (place, verdict) = look?;
            add(&mut all, &verdict, &place);
        }
        Ok(Value::Findings { list: all.findings, further: all.further })
    }

    async fn verdict(&self, scans: &Scans, digest: &Digest) -> Result<Verdict, Refused> {
        if let Some(known) = scans.known(digest) {
            return Ok((*known).clone());
        }
        let endpoint = Endpoint::Blob(self.repository.to_owned(), digest.clone());
        let response = self.ask(Method::GET, &endpoint, HeaderMap::new()).await?;
        let mut body = response.ok_or_else(|| missing(digest))?.into_body();
        let busy = || Refusal::new(RefusalKind::Internal, "nothing can be looked through now");
        let feed = scans.begin().await.ok_or_else(busy)?;
        let mut hasher = Hasher::new(digest.algorithm());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                hasher.update(&data);
                feed.push(data).await;
            }
        }
        check(digest, hasher.finish())?;
        Ok((*scans.remember(digest.clone(), feed.finish().await)).clone())
    }
}

/// A config as an image's; `None` of what can't be one.
fn image_config(bytes: &[u8]) -> Result<Option<ImageConfig>, Refused> {
    // Whatever type it is said to have, who runs images may run this.
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => match ImageConfig::parse(bytes) {
            Ok(config) => Ok(Some(config)),
            Err(error) => Err(invalid(format!("the config: {error}"))),
        },
        Err(_) => Ok(None),
    }
}

fn add(all: &mut Verdict, of: &Verdict, place: &str) {
    let room = FINDINGS.saturating_sub(all.findings.len());
    all.further += of.further + of.findings.len().saturating_sub(room) as u64;
    all.findings.extend(of.findings.iter().take(room).map(|finding| {
        let inside = if finding.place.is_empty() { String::new() } else { format!("{} in ", finding.place) };
        Finding { place: format!("{inside}{place}"), ..finding.clone() }
    }));
}

fn check(expected: &Digest, found: Digest) -> Result<(), Refused> {
    if found == *expected {
        return Ok(());
    }
    let reason = "the upstream gives something else than its digest says";
    Err(Refusal::new(RefusalKind::UpstreamInvalid, reason).into())
}

fn invalid(reason: String) -> Refused {
    Refused::new(RefusalKind::Invalid, Code::ManifestInvalid, reason)
}

fn missing(digest: &Digest) -> Refused {
    let reason = format!("the manifest needs {digest}, which is not there");
    Refused::new(RefusalKind::NotFound, Code::ManifestBlobUnknown, reason)
}

fn broken(error: lockgate_core::body::BodyError) -> Refused {
    Refusal::new(RefusalKind::UpstreamUnavailable, "the upstream broke its answer off").because(&error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_of_what_is_told_of_a_manifest() {
        let finding = Finding { rule: "r".into(), place: "f".into(), tag: String::new() };
        let of = Verdict { findings: vec![finding; 60], further: 1 };
        let mut all = Verdict::default();
        (0..3).for_each(|_| add(&mut all, &of, "layer 1"));
        assert_eq!((all.findings.len(), all.further), (FINDINGS, 80 + 3));
    }
}
