//! Mask: replaces secrets in what comes back.
//!
//! Right above the forwarding, so that no layer that records, renders or sends ever sees them. Two sets are
//! looked for: what the policy obliges to mask, and always the credential that this gateway itself presents
//! to the upstream.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::Permitted;
use crate::{
    body::Body,
    protocol::Content,
    refusal::{Refusal, RefusalKind},
    step::{Next, Step},
    upgrade,
};
use http::{HeaderMap, HeaderName, Response, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use lockgate_detect::{KnownValues, MaskBody, MaskOptions, Masker, Placeholder, RuleError, RuleSet, TagKey};

/// What describes the exact bytes of a body, and is not true any more of masked ones.
const OF_THE_BYTES: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::ETAG,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// After so long a silence of a stream, what is not confirmed to be a secret is let go: somebody may wait for it.
pub const PAUSE: Duration = Duration::from_millis(50);

/// The layer.
pub struct Mask {
    rules: RuleSet,
    key: TagKey,
    /// The rules of an obligation that names some, compiled once.
    named: Mutex<HashMap<BTreeSet<String>, RuleSet>>,
}

impl Mask {
    /// Masks by these rules. The key makes the tags that stand in the place of secrets.
    ///
    /// # Errors
    /// [`RuleError`] where no rules can be had at all: a defect of the rules.
    pub fn new(rules: RuleSet, key: TagKey) -> Result<Self, RuleError> {
        let named = HashMap::from([(BTreeSet::new(), RuleSet::only("")?)]);
        Ok(Self { rules, key, named: Mutex::new(named) })
    }

    fn rules(&self, names: &BTreeSet<String>) -> RuleSet {
        if names.iter().any(|name| name == "all" || name.starts_with("all-but-")) {
            return self.rules.clone();
        }
        // Each entry is inserted whole. A policy has few sets of names.
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = named.get(names) {
            return rules.clone();
        }
        let rules = self.rules.filtered(|rule| names.contains(rule.id()));
        named.insert(names.clone(), rules.clone());
        rules
    }
}

/// What is looked for in an answer.
#[derive(Clone)]
pub struct Secrets {
    /// Patterns of secrets.
    pub rules: RuleSet,
    /// Whether the policy demands a mask at all; else it is only this gateway's own credential that is replaced.
    pub demanded: bool,
    /// What it demands by name: rules of detection, `all`, and the protocol's own words.
    pub names: Arc<BTreeSet<String>>,
    /// The credentials that this gateway itself presents to the upstream, if it presents any.
    pub known: Option<KnownValues>,
    /// Makes the tags that stand in the place of secrets.
    pub key: TagKey,
}

impl Secrets {
    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        !self.demanded && self.known.is_none()
    }

    /// A masker of one stream of text.
    pub fn masker(&self) -> Masker {
        self.masker_with(Placeholder::Plain)
    }

    /// The same, with this in the place of secrets.
    pub fn masker_with(&self, placeholder: Placeholder) -> Masker {
        let nothing = KnownValues::new();
        let options = MaskOptions { placeholder, ..MaskOptions::default() };
        Masker::new(&self.rules, self.known.as_ref().unwrap_or(&nothing), &self.key, options)
    }
}

/// Masks an answer that is text, passes what must not change, and refuses that where the policy demands a mask.
///
/// # Errors
/// [`unmaskable`].
pub fn by_content(
    content: Content,
    response: Response<Body>,
    secrets: &Secrets,
) -> Result<Response<Body>, Refusal> {
    if secrets.is_empty() {
        return Ok(response);
    }
    let encoded = response.headers().get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    if content == Content::Opaque || encoded {
        return if secrets.demanded { Err(unmaskable()) } else { Ok(response) };
    }
    let is_live = content == Content::Live || upgrade::is_stream(&response);
    let (mut head, body) = response.into_parts();
    forget_bytes(&mut head.headers);
    let body = MaskBody::new(body, secrets.masker());
    let body = if is_live { body.with_pause(PAUSE) } else { body };
    Ok(Response::from_parts(head, body.boxed_unsync()))
}

/// A refusal of what can't be masked as the policy demands.
pub fn unmaskable() -> Refusal {
    Refusal::new(RefusalKind::UpstreamInvalid, "the upstream's answer can't be masked as the policy demands")
}

/// Removes what describes the exact bytes of a body, and is not true any more once it is masked.
pub fn forget_bytes(headers: &mut HeaderMap) {
    for name in OF_THE_BYTES {
        headers.remove(name);
    }
}

impl Step<Permitted> for Mask {
    type Out = Permitted;
    type Error = Refusal;
    type Below = Refusal;

    async fn run(
        self: Arc<Self>,
        mut permitted: Permitted,
        next: Next<Permitted, Refusal>,
    ) -> Result<Response<Body>, Refusal> {
        let names = permitted.permit.obligations().mask.clone();
        let credentials = permitted.asked.target.upstream.credentials.clone();
        let secrets = Secrets {
            rules: self.rules(&names),
            demanded: !names.is_empty(),
            names: Arc::new(names),
            known: (!credentials.is_none()).then(|| credentials.known().clone()),
            key: self.key.clone(),
        };
        let dialect = Arc::clone(&permitted.asked.dialect);
        dialect.to_be_masked(permitted.asked.request.headers_mut(), &secrets);
        let mut response = next.run(permitted).await?;
        dialect.mask_head(response.headers_mut(), &secrets);
        if response.body().is_end_stream() {
            return Ok(response);
        }
        dialect.mask(response, &secrets).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::stream;
    use http::StatusCode;
    use http_body::Frame;
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{
        body,
        step::StepLayer,
        testing::{self, Rig},
        verdict::Verdict,
    };

    /// The response to `path`, which the upstream sends as these pieces.
    async fn check(
        path: &str,
        header: (&'static str, &'static str),
        pieces: &[&'static str],
    ) -> Result<String, RefusalKind> {
        let rig = Rig::new().await;
        let asked = rig.asked(testing::get(path)).await;
        let policy = testing::policy().current().unwrap();
        let Verdict::Permit(permit) = policy.judge(&asked.caller.principal, "box", &asked.accesses) else {
            panic!("not permitted");
        };
        let pieces: Vec<Bytes> = pieces.iter().map(|piece| Bytes::from(*piece)).collect();
        let below = tower::service_fn(move |permitted: Permitted| {
            assert_eq!(permitted.asked.request.headers()[header::ACCEPT_ENCODING], "identity");
            let frames: Vec<_> =
                pieces.iter().map(|piece| Ok::<_, body::BodyError>(Frame::data(piece.clone()))).collect();
            let body = body::from_stream(stream::iter(frames), http_body::SizeHint::with_exact(99));
            let response = Response::builder()
                .status(StatusCode::OK)
                .header(header::CONTENT_LENGTH, "99")
                .header(header.0, header.1)
                .body(body);
            std::future::ready(Ok(response.unwrap()))
        });
        let mask = Mask::new(RuleSet::builtin(), TagKey::new(b"test")).unwrap();
        let service = StepLayer::new(mask).layer(below);
        let answer = service.oneshot(Permitted { permit, asked }).await.map_err(|refusal| refusal.kind)?;
        let masked = answer.headers().get(header::CONTENT_LENGTH).is_none();
        let text = testing::read(answer.into_body()).await;
        assert_eq!(masked, header == TEXT, "content-length goes with the exact bytes");
        Ok(text)
    }

    const TEXT: (&str, &str) = ("content-type", "text");
    const OPAQUE: (&str, &str) = ("content-type", "opaque");
    const GZIP: (&str, &str) = ("content-encoding", "gzip");

    #[tokio::test]
    async fn the_gateways_own_credential_never_comes_back() {
        let text = check("/open", TEXT, &["your password s3c", "ret is wrong"]).await.unwrap();
        assert!(text.starts_with("your password [MASKED:upstream-credential:"), "{text}");
        assert!(text.ends_with("] is wrong"), "{text}");
    }

    #[tokio::test]
    async fn what_the_policy_names_is_masked() {
        let pieces = ["id = AKIAZ7", "Q3XBVN5TWMPK2R and more"];
        let text = check("/masked", TEXT, &pieces).await.unwrap();
        assert!(!text.contains("Q3XBVN5TWMPK2R") && text.ends_with(" and more"), "{text}");
        assert_eq!(check("/open", TEXT, &pieces).await.unwrap(), pieces.concat());
    }

    #[tokio::test]
    async fn what_must_not_change_is_passed_or_refused() {
        assert_eq!(check("/open", OPAQUE, &["s3cret"]).await.unwrap(), "s3cret");
        assert_eq!(check("/masked", OPAQUE, &["x"]).await, Err(RefusalKind::UpstreamInvalid));
        assert_eq!(check("/masked", GZIP, &["x"]).await, Err(RefusalKind::UpstreamInvalid));
    }
}
