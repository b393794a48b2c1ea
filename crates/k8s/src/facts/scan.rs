//! Secrets in clear in what is written, with the path at which each stands.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockgate_core::access::Finding;
use lockgate_detect::{Discard, KnownValues, MaskOptions, Masker, RuleSet, TagKey};
use serde_json::{Map, Value};

/// Shorter texts are no secrets to any rule.
const SHORTEST: usize = 8;

/// What is looked for in objects.
#[derive(Clone, Debug)]
pub struct Detector {
    /// The rules. Default: the built-in ones.
    pub rules: RuleSet,
    /// The key of the tags.
    pub key: TagKey,
    /// How many findings are told of one object. Default: 100.
    pub findings: usize,
}

impl Default for Detector {
    fn default() -> Self {
        Self { rules: RuleSet::builtin(), key: TagKey::new(b""), findings: 100 }
    }
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) findings: Vec<Finding>,
    pub(super) is_complete: bool,
}

impl Detector {
    pub(super) fn findings(&self, value: &Value) -> Found {
        let known = KnownValues::new();
        let masker = Masker::new(&self.rules, &known, &self.key, MaskOptions::exact());
        let found = Found { findings: Vec::new(), is_complete: true };
        let mut scan = Scan { masker, limit: self.findings, path: String::new(), found };
        scan.value("", value);
        scan.found
    }
}

struct Scan {
    masker: Masker,
    limit: usize,
    path: String,
    found: Found,
}

impl Scan {
    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(name, text),
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    self.below(&format!("[{index}]"), |scan| scan.value(name, value));
                }
            }
            Value::Object(object) => self.object(object),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, object: &Map<String, Value>) {
        let is_secret = object.get("kind").and_then(Value::as_str) == Some("Secret");
        for (name, value) in object {
            // Where secrets belong.
            if is_secret && matches!(name.as_str(), "data" | "stringData") {
                continue;
            }
            // The value of an environment variable has its name beside it.
            let said = object.get("name").and_then(Value::as_str).filter(|_| name == "value");
            self.below(&segment(name), |scan| {
                scan.value(said.unwrap_or(name), value);
                if name == "binaryData" {
                    scan.binary(value);
                }
            });
        }
    }

    /// What a `ConfigMap` holds in base64.
    fn binary(&mut self, value: &Value) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let Some(content) = value.as_str().and_then(|text| STANDARD.decode(text).ok()) else { continue };
            self.below(&segment(name), |scan| scan.bytes(&content));
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        if text.len() < SHORTEST {
            return;
        }
        if text.contains('\n') {
            self.bytes(text.as_bytes());
        } else {
            // Some rules look at what a value is called.
            self.bytes(format!("{name}: {text}").as_bytes());
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.masker.push(bytes, &mut Discard);
        self.masker.finish(&mut Discard);
        for finding in self.masker.drain_findings() {
            if self.found.findings.len() == self.limit {
                self.found.is_complete = false;
                return;
            }
            self.found.findings.push(Finding {
                rule: finding.rule.to_string(),
                place: self.path.clone(),
                tag: finding.tag.map(|tag| tag.to_string()).unwrap_or_default(),
            });
        }
    }

    fn below(&mut self, segment: &str, read: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(segment);
        read(self);
        self.path.truncate(length);
    }
}

/// A member as `kubectl` writes paths: `.spec`, `["a.b"]`.
pub(crate) fn segment(name: &str) -> String {
    let is_plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if is_plain { format!(".{name}") } else { format!("[{name:?}]") }
}
