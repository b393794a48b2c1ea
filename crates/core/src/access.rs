//! What a protocol understood of a request: an action on a resource, with attributes and facts.
//!
//! A protocol declares its actions and attributes once, as a [`Schema`]; the policy is checked
//! against it before it is published, so that a rule that could never match is an error, not a hole.

use std::fmt;

use serde::Serialize;

/// One thing that a request asks for. A request may ask for several (a push of two refs is two).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Access {
    /// The protocol's name: `git`, `oci`, `k8s`.
    pub protocol: &'static str,
    /// One of the schema's actions, e.g. `push`.
    pub action: &'static str,
    /// What is acted on, as people name it, e.g. the repository `team/app`. Searchable.
    pub resource: String,
    /// The attributes that the schema declares, by name.
    pub attributes: Attributes,
    /// What the access does to exactly which content, e.g. `refs/heads/main 1234..5678`. An approval
    /// is bound to this text: it must name the content by digest, and hold nothing that changes
    /// between two attempts at the same thing.
    pub binding: String,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Text: matched by globs, choices or regexes.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// A count or a size in bytes.
    Number(u64),
    /// Several texts: a matcher matches where any of them does, in a rule that allows where all do.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(list) => f.write_str(&list.join(",")),
        }
    }
}

/// Attribute values by name: few, so a list that is searched in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(&'static str, Value)>);

impl Attributes {
    /// No attributes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an attribute; a later value of the same name replaces the earlier one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.into()));
        self
    }

    /// The value of an attribute, where the request has it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All attributes in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

impl Serialize for Attributes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// What a protocol can say of its requests: the names that a policy may use.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The protocol's name, the key of its matchers in a policy.
    pub protocol: &'static str,
    /// Every action.
    pub actions: &'static [Action],
    /// Every attribute. The first is the resource's own (`repository`).
    pub attributes: &'static [Attribute],
}

impl Schema {
    /// The action of that name.
    pub fn action(&self, name: &str) -> Option<&'static Action> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// The attribute that a policy calls so, in the singular (a test) or the plural (a matcher).
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name || attribute.plural == name)
    }
}

/// An action of a protocol.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// Its name in policies, recordings and the index.
    pub name: &'static str,
    /// Whether it can change the upstream. Such a request goes on to its end once it was forwarded,
    /// also when the client is gone, so that the recording says what came of it.
    pub mutates: bool,
    /// Whether its response may be rewritten. An obligation to mask what cannot be masked (git
    /// content is verified by hash) is an error of the policy.
    pub maskable: bool,
}

/// An attribute of a protocol's accesses.
#[derive(Debug, Clone, Copy)]
pub struct Attribute {
    /// Its name: in an access, and in a policy's tests (`ref: refs/heads/main`).
    pub name: &'static str,
    /// Its name in a matcher that lists alternatives (`refs: [...]`).
    pub plural: &'static str,
    /// How a matcher is written.
    pub matcher: Matcher,
    /// One line for people.
    pub doc: &'static str,
}

/// How a policy matches an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matcher {
    /// By globs in which `*` stops at a slash and `**` does not.
    Glob,
    /// By one of these words.
    Choice(&'static [&'static str]),
    /// By `true` or `false`.
    Flag,
    /// By `max` and `min`.
    Number,
}
