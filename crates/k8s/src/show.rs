//! What people who may approve a write are shown: what the API server itself would make of it, by a dry run, beside
//! what is there. Without secrets: of those it is shown whether they change, and not what they are.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use lockgate_core::protocol::Probe;
use lockgate_detect::{KnownValues, MaskOptions, Masker};
use serde_json::Value;
use similar::TextDiff;

use crate::{ask::ask, facts::Detector};

/// Lines of a difference that are shown.
const LINES: usize = 2_000;
/// Unchanged lines around a change.
const AROUND: usize = 3;
/// Fields that say what others say, or who wrote them.
const NOISE: [&str; 3] = ["managedFields", "resourceVersion", "generation"];
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A write, as it would go upstream.
pub(crate) struct Write {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
    /// As whom it goes.
    pub(crate) identity: HeaderMap,
    /// Whether it is of Secrets.
    pub(crate) is_secret: bool,
    pub(crate) detector: Detector,
}

/// Why something can't be shown.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error("the API server would refuse it: {0}")]
    Refused(String),
    #[error("the API server can't be asked, or its answer makes no sense")]
    Unasked(#[from] lockgate_core::refusal::Refusal),
    #[error("its address is none")]
    Uri,
}

impl Write {
    /// The difference that the write makes.
    pub(crate) async fn text(&self, probe: &dyn Probe) -> String {
        match self.difference(probe).await {
            Ok(difference) if difference.is_empty() => "it changes nothing\n".to_owned(),
            Ok(difference) => self.masked(&difference),
            Err(error) => {
                tracing::info!(
                    error = &error as &dyn std::error::Error,
                    "what a write changes can't be shown"
                );
                self.masked(&format!("what it changes can't be shown: {error}\n"))
            }
        }
    }

    async fn difference(&self, probe: &dyn Probe) -> Result<String, ShowError> {
        let before = match self.method {
            Method::POST => Value::Null,
            _ => self.ask(probe, Method::GET, self.uri.path().parse().ok(), Bytes::new()).await?,
        };
        let after = match self.method {
            Method::DELETE => Value::Null,
            _ => self.ask(probe, self.method.clone(), self.dry_run(), self.body.clone()).await?,
        };
        let (before, after) = (self.lines(before), self.lines(after));
        let difference = TextDiff::from_lines(&before, &after);
        let difference =
            difference.unified_diff().context_radius(AROUND).header("present", "after").to_string();
        Ok(shortened(&difference))
    }

    fn dry_run(&self) -> Option<Uri> {
        let query = self.uri.query().map_or_else(String::new, |query| format!("{query}&"));
        format!("{}?{query}dryRun=All", self.uri.path()).parse().ok()
    }

    /// An object that the API server answers; null where there is none.
    async fn ask(
        &self,
        probe: &dyn Probe,
        method: Method,
        uri: Option<Uri>,
        body: Bytes,
    ) -> Result<Value, ShowError> {
        let is_read = method == Method::GET;
        let mut request = Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (method, uri.ok_or(ShowError::Uri)?);
        if let Some(kind) = self.content_type.as_ref().filter(|_| !is_read) {
            request.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
        }
        let (status, value) = ask(probe, request, &self.identity).await?;
        match status {
            _ if status.is_success() => Ok(value),
            StatusCode::NOT_FOUND if is_read => Ok(Value::Null),
            // It may hold what it is about.
            _ if self.is_secret => Err(ShowError::Refused(status.to_string())),
            _ => Err(ShowError::Refused(value["message"].as_str().unwrap_or_default().to_owned())),
        }
    }

    fn lines(&self, mut object: Value) -> String {
        if object.is_null() {
            return String::new();
        }
        self.clean(&mut object);
        // What was just parsed can be written.
        serde_json::to_string_pretty(&object).unwrap_or_default() + "\n"
    }

    fn clean(&self, object: &mut Value) {
        if object["kind"] == "Secret" {
            for field in ["data", "stringData"] {
                let values = object.get_mut(field).and_then(Value::as_object_mut);
                for (name, value) in values.into_iter().flatten() {
                    let tag = self.detector.key.tag(&format!("show\0{name}"), value.to_string().as_bytes());
                    *value = format!("[MASKED:k8s-secret:{tag}]").into();
                }
            }
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, _| !NOISE.contains(&name.as_str()));
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(LAST_APPLIED);
            }
        }
        for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
            self.clean(item);
        }
    }

    fn masked(&self, text: &str) -> String {
        masked(&self.detector, text)
    }
}

fn shortened(text: &str) -> String {
    let mut lines = text.split_inclusive('\n');
    let mut shown: String = lines.by_ref().take(LINES).collect();
    match lines.count() {
        0 => {}
        more => shown += &format!("... and {more} lines more\n"),
    }
    shown
}

/// The words of a command, for people who are asked.
pub(crate) fn command(detector: &Detector, words: &[String]) -> String {
    let lines = words.iter().map(|word| format!("{word}\n"));
    masked(detector, &format!("the command, word by word:\n{}", lines.collect::<String>()))
}

fn masked(detector: &Detector, text: &str) -> String {
    let Detector { rules, key, .. } = detector;
    let mut masker = Masker::new(rules, &KnownValues::new(), key, MaskOptions::exact());
    let mut masked = Vec::new();
    masker.push(text.as_bytes(), &mut masked);
    masker.finish(&mut masked);
    String::from_utf8_lossy(&masked).into_owned()
}
