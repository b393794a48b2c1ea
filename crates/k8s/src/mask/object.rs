//! Which values of an object are masked by their place: what a `Secret` holds, wherever one stands; tokens that
//! are answers; copies of objects in annotations; errors that dump an object; what is called a password.

mod annotation;
mod status;

use std::borrow::Cow;
use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockgate_detect::TagKey;

use super::marker::{Identity, marker};
use super::names;
use crate::parse::document::{Document, Shape};

/// A value that is written anew.
#[derive(Debug)]
pub(super) struct Edit {
    pub range: Range<usize>,
    pub with: With,
}

#[derive(Debug)]
pub(super) enum With {
    /// This JSON.
    Json(String),
    /// A string that holds JSON, in which something may be written anew.
    Nested(String, Vec<Edit>),
}

/// A value that is to be masked wherever else it appears, and what it is called.
pub(super) type Learned = Vec<(&'static str, Vec<u8>)>;

/// What is known of a piece besides its text.
#[derive(Clone, Debug)]
pub(super) struct Surroundings<'a> {
    pub tags: &'a TagKey,
    /// Whether objects are Secrets that do not say so: those of a request for secrets, the items of their list.
    pub secrets: bool,
    /// Likewise for ConfigMaps.
    pub config_maps: bool,
    /// Whether the answer is a token.
    pub token: bool,
    /// Whether Secrets of Helm releases are left as they are.
    pub helm: bool,
    /// Whether there was no room to look for all values.
    pub is_full: bool,
    /// How many documents stand around this one, and which object the outermost is.
    pub nesting: usize,
    pub identity: Option<Identity>,
}

/// What of a piece is written anew, in the order of the text.
pub(super) fn edits(document: &Document<'_>, around: &Surroundings<'_>, learned: &mut Learned) -> Vec<Edit> {
    let keys: Vec<Key> = (0..document.len()).map(|node| Key::of(&document.key(node))).collect();
    let classes = classes(document, &keys);
    let mut reader = Reader { document, around, keys, classes, learned };
    let (mut edits, mut node) = (Vec::new(), 0);
    while node < document.len() {
        match reader.edit(node) {
            Some(with) => {
                edits.push(Edit { range: document.range(node), with });
                node = document.next(node);
            }
            None => node += 1,
        }
    }
    edits
}

/// Whether a list says that its items are Secrets, or ConfigMaps.
pub(super) fn list_of(document: &Document<'_>) -> (bool, bool) {
    let kind = document.member(0, "kind").and_then(|node| document.string(node));
    (kind.as_deref() == Some("SecretList"), kind.as_deref() == Some("ConfigMapList"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Other,
    Secret,
    ConfigMap,
    Status,
    TokenRequest,
    TokenReview,
}

/// The keys that tell what a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Annotations,
    Data,
    Kind,
    Message,
    Spec,
    Status,
    StringData,
    Token,
    Value,
    /// Another one.
    Other {
        /// Whether it is called as a field that holds a secret.
        is_secret: bool,
    },
}

impl Key {
    fn of(key: &str) -> Self {
        match key {
            "annotations" => Self::Annotations,
            "data" => Self::Data,
            "kind" => Self::Kind,
            "message" => Self::Message,
            "spec" => Self::Spec,
            "status" => Self::Status,
            "stringData" => Self::StringData,
            "token" => Self::Token,
            "value" => Self::Value,
            key => Self::Other { is_secret: names::is_secret_field(key) },
        }
    }

    /// Whether what a Secret holds stands at it.
    fn holds_data(self) -> bool {
        matches!(self, Self::Data | Self::StringData)
    }

    fn is_secret_field(self) -> bool {
        match self {
            Self::Token | Self::Other { is_secret: true } => true,
            Self::Annotations
            | Self::Data
            | Self::Kind
            | Self::Message
            | Self::Spec
            | Self::Status
            | Self::StringData
            | Self::Value
            | Self::Other { is_secret: false } => false,
        }
    }
}

/// What each object is by its `kind`.
fn classes(document: &Document<'_>, keys: &[Key]) -> Vec<Class> {
    let mut classes = vec![Class::Other; document.len()];
    for (node, key) in keys.iter().enumerate().skip(1) {
        if *key != Key::Kind {
            continue;
        }
        let class = match document.raw(node) {
            br#""Secret""# => Class::Secret,
            br#""ConfigMap""# => Class::ConfigMap,
            br#""Status""# => Class::Status,
            br#""TokenRequest""# => Class::TokenRequest,
            br#""TokenReview""# => Class::TokenReview,
            _ => continue,
        };
        if let Some(object) = document.parent(node) {
            classes[object] = class;
        }
    }
    classes
}

struct Reader<'a, 'd> {
    document: &'a Document<'d>,
    around: &'a Surroundings<'a>,
    keys: Vec<Key>,
    classes: Vec<Class>,
    learned: &'a mut Learned,
}

impl Reader<'_, '_> {
    /// What is written in the place of a value, if anything is.
    fn edit(&mut self, node: usize) -> Option<With> {
        let document = self.document;
        let parent = document.parent(node)?;
        if document.raw(node) == b"null" || document.raw(node) == br#""""# {
            return None;
        }
        if document.shape(parent) == Shape::Object
            && let Some(object) = document.parent(parent)
        {
            let is_data = self.keys[parent] == Key::Data;
            if self.keys[parent].holds_data() && self.is_secret(object) {
                return self.secret(object, node, is_data);
            }
            if is_data && self.is_config_map(object) {
                return self.named(object, node, "configmap");
            }
            if self.keys[parent] == Key::Annotations && document.shape(node) == Shape::String {
                return self.annotation(parent, node);
            }
            if self.keys[node] == Key::Token && self.is_token(object, parent) {
                return self.text(object, node, "token");
            }
        }
        if document.shape(node) == Shape::String {
            return self.string(parent, node);
        }
        // No object, where only one can be.
        if self.keys[node].holds_data() && document.shape(node) != Shape::Object && self.is_secret(parent) {
            return Some(With::Json(self.quoted(parent, node, "secret")));
        }
        None
    }

    fn string(&mut self, parent: usize, node: usize) -> Option<With> {
        let document = self.document;
        if self.keys[node].holds_data() && self.is_secret(parent) {
            return Some(With::Json(self.quoted(parent, node, "secret")));
        }
        if self.keys[node] == Key::Value
            && let Some(name) = document.member(parent, "name").and_then(|name| document.string(name))
            && names::is_telling(&name)
        {
            return self.masked(0, node, "env", &name);
        }
        if self.around.secrets && self.keys[node] == Key::Message && self.is_of_status(parent) {
            let text = document.string(node)?;
            let shown =
                status::without_content(&text, || marker(self.around.tags, "status", &self.identity(0), ""))?;
            return Some(With::Json(serde_json::Value::String(shown).to_string()));
        }
        self.keys[node].is_secret_field().then(|| self.text(0, node, "field")).flatten()
    }

    fn is_secret(&self, object: usize) -> bool {
        self.classes[object] == Class::Secret || self.around.secrets && self.classes[object] == Class::Other
    }

    fn is_config_map(&self, object: usize) -> bool {
        self.classes[object] == Class::ConfigMap
            || self.around.config_maps && self.classes[object] == Class::Other
    }

    fn is_token(&self, object: usize, parent: usize) -> bool {
        let status = self.keys[parent] == Key::Status;
        match self.classes[object] {
            Class::TokenRequest => status,
            Class::TokenReview => self.keys[parent] == Key::Spec,
            Class::Other | Class::Secret | Class::ConfigMap | Class::Status => self.around.token && status,
        }
    }

    /// Whether an object is an error, or one of its causes.
    fn is_of_status(&self, object: usize) -> bool {
        let mut up = Some(object);
        // `details.causes[]` are three levels below.
        for _ in 0..4 {
            let Some(object) = up else { return false };
            if self.classes[object] == Class::Status {
                return true;
            }
            up = self.document.parent(object);
        }
        false
    }

    /// A value of a Secret, in base64 or not.
    fn secret(&mut self, object: usize, node: usize, is_data: bool) -> Option<With> {
        let document = self.document;
        let kind = document.member(object, "type").and_then(|kind| document.string(kind));
        if self.around.helm && kind.as_deref() == Some("helm.sh/release.v1") {
            return None;
        }
        if !is_data {
            return self.text(object, node, "secret");
        }
        if let Some(text) = document.string(node) {
            // What is not base64 is no Secret's, and masked nevertheless.
            let value = STANDARD.decode(&*text).unwrap_or_else(|_| text.as_bytes().to_vec());
            self.learn("secret", &document.key(node), &value);
        }
        let text = marker(self.around.tags, "secret", &self.identity(object), &document.key(node));
        Some(With::Json(format!("\"{}\"", STANDARD.encode(text))))
    }

    /// A value that is a secret by what it is called.
    fn named(&mut self, object: usize, node: usize, rule: &'static str) -> Option<With> {
        let key = self.document.key(node);
        let is_text = self.document.shape(node) == Shape::String;
        (is_text && names::is_telling(&key)).then(|| self.masked(object, node, rule, &key)).flatten()
    }

    fn text(&mut self, object: usize, node: usize, rule: &'static str) -> Option<With> {
        let key = self.document.key(node);
        self.masked(object, node, rule, &key)
    }

    fn masked(&mut self, object: usize, node: usize, rule: &'static str, name: &str) -> Option<With> {
        let value = self.document.string(node).unwrap_or(Cow::Borrowed(""));
        self.learn(rule, name, value.as_bytes());
        let text = marker(self.around.tags, rule, &self.identity(object), name);
        Some(With::Json(format!("\"{text}\"")))
    }

    fn quoted(&self, object: usize, node: usize, rule: &str) -> String {
        format!("\"{}\"", marker(self.around.tags, rule, &self.identity(object), &self.document.key(node)))
    }

    /// Which object this is; for a copy of one in an annotation, the one that has it.
    fn identity(&self, object: usize) -> Identity {
        if let Some(identity) = &self.around.identity {
            return identity.clone();
        }
        identity(self.document, object)
    }

    fn learn(&mut self, rule: &'static str, name: &str, value: &[u8]) {
        if let Some(value) = names::worth_knowing(name, value) {
            self.learned.push((rule, value.to_vec()));
        }
        // A registry's credentials, say: what they are used for shows only parts of them.
        if value.starts_with(b"{")
            && let Ok(document) = Document::parse(value)
        {
            for node in 1..document.len() {
                let Some(text) = document.string(node) else { continue };
                let key = document.key(node);
                if (names::is_telling(&key) || key == "auth")
                    && let Some(text) = names::worth_knowing("password", text.as_bytes())
                {
                    self.learned.push((rule, text.to_vec()));
                }
            }
        }
    }
}

pub(super) fn identity(document: &Document<'_>, object: usize) -> Identity {
    let metadata = document.member(object, "metadata");
    let text = |name| {
        let node = metadata.and_then(|metadata| document.member(metadata, name));
        node.and_then(|node| document.string(node)).map(Cow::into_owned).unwrap_or_default()
    };
    Identity { uid: text("uid"), namespace: text("namespace"), name: text("name") }
}

#[cfg(test)]
mod tests {
    use super::{Key, names};

    #[test]
    fn a_key_that_tells_more_names_a_secret_as_any() {
        for key in [
            "annotations",
            "data",
            "kind",
            "message",
            "spec",
            "status",
            "stringData",
            "token",
            "value",
            "apiKey",
        ] {
            assert_eq!(Key::of(key).is_secret_field(), names::is_secret_field(key), "{key}");
        }
    }
}
