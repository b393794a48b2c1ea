//! What people who may approve a write are shown: what the API server itself would make of it, by a dry run, beside
//! what is there. Without secrets: of those it is shown whether they change, and not what they are.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use lockgate_core::{json, protocol::Probe};
use lockgate_detect::{KnownValues, MaskOptions, Masker};
use serde_json::Value;
use similar::TextDiff;

use crate::{
    ask::ask,
    facts::Detector,
    parse::{info::Resource, yaml},
};

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
    pub(crate) resource: Resource,
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
        if self.method != Method::DELETE && !self.is_tried_only(probe).await? {
            return Ok(self.sent());
        }
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

    /// Whether a dry run of it is one. The API server passes some groups on to servers of others, which might not
    /// heed `dryRun` and store what is only to be shown; who heeds it says so in the description of its API.
    async fn is_tried_only(&self, probe: &dyn Probe) -> Result<bool, ShowError> {
        let Resource { group, version, resource, subresource, namespace, name, .. } = &self.resource;
        if group.is_empty() {
            return Ok(true);
        }
        let is_name =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if !is_name(group) || !is_name(version) {
            return Ok(false);
        }
        let parts = [
            ("/namespaces/{namespace}", namespace),
            (&*format!("/{resource}"), resource),
            ("/{name}", name),
            (&*format!("/{subresource}"), subresource),
        ];
        let parts = parts.iter().filter(|(_, value)| !value.is_empty()).map(|(part, _)| *part);
        let path = format!("/apis/{group}/{version}{}", parts.collect::<String>());
        let mut request = Request::new(Bytes::new());
        let address = format!("/openapi/v3/apis/{group}/{version}");
        *request.uri_mut() = address.parse().map_err(|_| ShowError::Uri)?;
        let (_, described) = ask(probe, request, &self.identity).await?;
        let path = &described["paths"][path];
        let operation = &path[self.method.as_str().to_ascii_lowercase()];
        let parameters = [operation, path].map(|of| of["parameters"].as_array().into_iter().flatten());
        Ok(parameters.into_iter().flatten().any(|parameter| parameter["name"] == "dryRun"))
    }

    /// What is sent, where nobody can say what comes of it.
    fn sent(&self) -> String {
        let unknown = "what it changes is not known: who serves this might not only try it";
        if self.resource.resource == "secrets" {
            return format!("{unknown}\n");
        }
        let sent = json::read(&self.body).ok().or_else(|| yaml::read(&self.body).ok());
        match sent {
            Some(sent) => shortened(&format!("{unknown}; it is sent:\n{}", self.lines(sent))),
            None => format!("{unknown}\n"),
        }
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
            _ if self.resource.resource == "secrets" => Err(ShowError::Refused(status.to_string())),
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
    String::from_utf8_lossy(&masker.whole(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::{FutureExt as _, future::BoxFuture};
    use http::Response;
    use lockgate_core::{
        body::{self, Body},
        refusal::Refusal,
    };
    use serde_json::json;

    use super::*;

    /// Describes a group, and answers everything else with the object that it is sent.
    struct Server {
        described: Value,
        asked: Mutex<Vec<String>>,
    }

    impl Probe for Server {
        fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
            let asked = format!("{} {}", request.method(), request.uri());
            let answer = match request.uri().path() {
                path if path.starts_with("/openapi/") => self.described.clone(),
                _ => json!({ "kind": "Colour", "asked": asked }),
            };
            self.asked.lock().unwrap().push(asked);
            Box::pin(std::future::ready(Ok(Response::new(body::full(answer.to_string())))))
        }
    }

    fn check(group: &str, described: &Value, asked: &[&str], shown: &str) {
        let resource = Resource {
            verb: "update",
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: "colours".to_owned(),
            namespace: "prod".to_owned(),
            name: "red".to_owned(),
            ..Resource::default()
        };
        let write = Write {
            method: Method::PUT,
            uri: "/colours/red?fieldManager=x".parse().unwrap(),
            content_type: None,
            body: Bytes::from_static(br#"{"kind":"Colour","hue":"sent"}"#),
            identity: HeaderMap::new(),
            resource,
            detector: Detector::default(),
        };
        let server = Server { described: described.clone(), asked: Mutex::default() };
        let text = write.text(&server).now_or_never().unwrap();
        assert!(text.contains(shown), "{text}");
        assert_eq!(*server.asked.lock().unwrap(), asked);
    }

    #[test]
    fn only_who_heeds_a_dry_run_is_asked_for_one() {
        let described = |method: &str, name: &str| {
            let path = "/apis/paint.example/v1/namespaces/{namespace}/colours/{name}";
            json!({ "paths": { path: { method: { "parameters": [{ "name": "pretty" }, { "name": name }] } } } })
        };
        let (description, read, dry_run) = (
            "GET /openapi/v3/apis/paint.example/v1",
            "GET /colours/red",
            "PUT /colours/red?fieldManager=x&dryRun=All",
        );
        let (tried, sent) = (
            "+  \"asked\": \"PUT",
            "who serves this might not only try it; it is sent:\n{\n  \"hue\": \"sent\"",
        );
        check("", &Value::Null, &[read, dry_run], tried);
        check("paint.example", &described("put", "dryRun"), &[description, read, dry_run], tried);
        check("paint.example", &described("put", "fieldManager"), &[description], sent);
        check("paint.example", &described("patch", "dryRun"), &[description], sent);
        check("paint.example", &Value::Null, &[description], sent);
        check("else.example", &described("put", "dryRun"), &["GET /openapi/v3/apis/else.example/v1"], sent);
    }
}
