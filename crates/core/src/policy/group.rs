//! Groups: names for principals, by issuer and claims.
//!
//! One is in a group by the document's definition, or because the configuration derived the group from
//! their token. A claim that a token lacks never makes a member.

use serde_json::{Map, Value};

use super::{
    compile::Compiler,
    demands::Kin,
    errors::{At, quoted, suggestion},
    glob::Globs,
    read::{self, Fields},
    yaml::Node,
};
use crate::principal::Principal;

/// A group that the document defines.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) members: Vec<Members>,
}

/// Some of a group's members: who fits all of this.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) issuer: String,
    pub(super) claims: Vec<(String, Globs)>,
    group: Option<String>,
}

impl Group {
    pub(super) fn holds(&self, principal: &Principal) -> bool {
        principal.groups.contains(&self.name) || self.members.iter().any(|members| members.hold(principal))
    }

    /// Whether the document may make any of these a member.
    pub(super) fn may_hold(&self, kin: &Kin<'_>) -> bool {
        self.members.iter().any(|members| {
            kin.issuer == members.issuer
                && members.group.as_ref().is_none_or(|group| kin.may_have(group))
                && (kin.claims || members.claims.is_empty())
        })
    }
}

impl Members {
    fn hold(&self, principal: &Principal) -> bool {
        principal.issuer == self.issuer
            && self.group.as_ref().is_none_or(|group| principal.groups.contains(group))
            && self.claims.iter().all(|(name, globs)| {
                claim(&principal.claims, name).is_some_and(|value| claim_matches(value, globs))
            })
    }
}

/// A claim by its name, or inside another by a JSON pointer (RFC 6901): `/kubernetes.io/namespace`.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let inside = || {
        let path = name.strip_prefix('/')?;
        let (first, rest) = path.find('/').map_or((path, ""), |slash| path.split_at(slash));
        claims.get(first)?.pointer(rest)
    };
    claims.get(name).or_else(inside)
}

fn claim_matches(value: &Value, globs: &Globs) -> bool {
    match value {
        Value::String(text) => globs.matches(text),
        Value::Bool(flag) => globs.matches(if *flag { "true" } else { "false" }),
        Value::Number(number) => globs.matches(&number.to_string()),
        Value::Array(items) => items.iter().any(|item| !item.is_array() && claim_matches(item, globs)),
        Value::Null | Value::Object(_) => false,
    }
}

/// A group as a rule names it: `agents` is the document's, `group:agents` the document's or one that
/// the configuration derives from tokens.
#[derive(Debug)]
pub(super) struct GroupRef {
    name: String,
    /// Where it stands among the document's.
    index: Option<usize>,
}

impl GroupRef {
    pub(super) fn holds(&self, principal: &Principal, groups: &[Group]) -> bool {
        match self.index {
            Some(index) => groups[index].holds(principal),
            None => principal.groups.contains(&self.name),
        }
    }

    pub(super) fn may_hold(&self, kin: &Kin<'_>, groups: &[Group]) -> bool {
        kin.may_have(&self.name) || self.index.is_some_and(|index| groups[index].may_hold(kin))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn into_name(self) -> String {
        self.name
    }
}

impl Compiler<'_> {
    /// Reads `groups`, before anything that may name one.
    pub(super) fn groups(&mut self, node: &Node) {
        for (key, node) in read::entries(node, "groups", &mut self.errors).unwrap_or_default() {
            read::slug(key.at, &key.name, "a group's name", &mut self.errors);
            let what = format!("the group {}", quoted(&key.name));
            let items = read::list(node, &what, &mut self.errors).unwrap_or_default();
            if items.is_empty() {
                self.errors.push(node.at, format!("{what} has no members"));
            }
            let members = items.iter().filter_map(|item| self.members(item)).collect();
            self.groups.push(Group { name: key.name.clone(), members });
        }
    }

    fn members(&mut self, node: &Node) -> Option<Members> {
        let fields = Fields::read(node, "a group's member", &["issuer", "claim", "group"], &mut self.errors)?;
        let issuer = fields.need("issuer", "a group's member", &mut self.errors)?;
        let issuer = read::text(issuer, "issuer", &mut self.errors)?.to_owned();
        let group = match fields.get("group") {
            Some(node) => Some(read::text(node, "group", &mut self.errors)?.to_owned()),
            None => None,
        };
        let mut claims = Vec::new();
        if let Some(node) = fields.get("claim") {
            for (key, node) in read::entries(node, "claim", &mut self.errors)? {
                let globs = self.globs(node, &format!("the claim {}", quoted(&key.name)))?;
                claims.push((key.name.clone(), globs));
            }
        }
        Some(Members { issuer, claims, group })
    }

    /// Understands a group's name where a rule names one.
    pub(super) fn group_ref(&mut self, at: At, text: &str) -> Option<GroupRef> {
        let (name, anywhere) = match text.strip_prefix("group:") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let index = self.groups.iter().position(|group| group.name == name);
        if name.is_empty() || name.chars().any(char::is_control) {
            self.errors.push(at, "a group's name is missing");
            return None;
        }
        if index.is_none() && !anywhere {
            let known = self.groups.iter().map(|group| &*group.name);
            let hint = suggestion(name, known);
            let message = format!(
                "no group {} in `groups`{hint} (a group that the configuration derives from tokens is \
                 written group:<name>)",
                quoted(name)
            );
            self.errors.push(at, message);
            return None;
        }
        Some(GroupRef { name: name.to_owned(), index })
    }
}
