//! What a protocol understood of a request: an action on a resource, with attributes and facts.
//!
//! A protocol declares its actions and attributes once, as a [`Schema`]; the policy is checked
//! against it before it is published, so that a rule that could never match is an error, not a hole.

mod needs;
mod value;

use serde::Serialize;

pub(crate) use self::value::{listed, shown};
pub use self::{
    needs::Needs,
    value::{Finding, Value},
};

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

/// An access of which not everything is known yet.
#[derive(Debug, Clone)]
pub struct Outline {
    /// What is known of it.
    pub access: Access,
    /// The attributes that are still to be found out, whatever the access says of them: their values may be any,
    /// and it may turn out to have none of them.
    pub open: Vec<&'static str>,
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
    /// Masks that it has besides `all` and the rules of detection: each begins with `all-but-`, and leaves out what
    /// the protocol knows by that name. Where another rule demands `all`, nothing is left out.
    pub masks: &'static [&'static str],
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
    /// The attribute whose values only the upstream's answer shows, of what is read: git's refs. Each
    /// is judged by itself, where a policy speaks of it; the request as a whole has none of them.
    pub parts: Option<&'static str>,
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
    /// The actions that it is said of, where it is not of all: beside the others it would never match.
    pub only: Option<&'static [&'static str]>,
}

impl Attribute {
    /// One of all actions.
    pub const fn new(name: &'static str, plural: &'static str, matcher: Matcher, doc: &'static str) -> Self {
        Self { name, plural, matcher, doc, only: None }
    }

    /// One that is matched by globs.
    pub const fn glob(name: &'static str, plural: &'static str, doc: &'static str) -> Self {
        Self::new(name, plural, Matcher::Glob, doc)
    }

    /// One that is true or false.
    pub const fn flag(name: &'static str, plural: &'static str, doc: &'static str) -> Self {
        Self::new(name, plural, Matcher::Flag, doc)
    }

    /// The same, of these actions only.
    #[must_use]
    pub const fn only(self, actions: &'static [&'static str]) -> Self {
        Self { only: Some(actions), ..self }
    }

    /// Whether a request for that action can have it.
    pub fn is_of(&self, action: &str) -> bool {
        self.only.is_none_or(|only| only.contains(&action))
    }
}

/// How a policy matches an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matcher {
    /// By globs in which `*` stops at a slash and `**` does not.
    Glob,
    /// As [`Matcher::Glob`], over names that all begin so: what can't begin so would never match.
    Under(&'static str),
    /// As [`Matcher::Glob`], over names in which upper and lower case are the same to some servers: so they are
    /// to a rule where that allows less, and differ where it would allow more.
    Name,
    /// As [`Matcher::Glob`], over names that vouch for a request: of several it is enough that one matches, whatever
    /// the rule decides, for who has more of them is not to be allowed less.
    Vouches,
    /// By one of these words.
    Choice(&'static [&'static str]),
    /// By `true` or `false`.
    Flag,
    /// By `max` and `min`.
    Number,
    /// By `max` and `min`, in bytes; `10MiB` may be written.
    Size,
    /// By regular expressions, which are searched for.
    Regex,
    /// By globs on the names of detection rules, or by `any`.
    Finding,
}
