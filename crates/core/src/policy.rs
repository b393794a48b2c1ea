//! The policy: who may do what, under which obligations.
//!
//! A document is YAML. [`Policy::load`] checks it against what each protocol can say ([`Schema`]),
//! compiles it and runs the tests it carries; whatever is wrong refuses it as a whole, with line and
//! column. [`Policy::judge`] is the only maker of verdicts. [`PolicyHandle`] holds the policy in force
//! for the pipeline.
//!
//! # What it guarantees
//! - Deny goes before require_approval, that before allow, that before the default. The order of rules
//!   does not matter, and of several accesses in one request the strictest decides.
//! - What an access lacks never widens what is allowed (the table in `condition.rs`), and an access that
//!   does not keep to its protocol's schema, or a request that asks for nothing, is denied.
//! - What an action reads part by part (the refs of a fetch) is judged part by part where a rule speaks
//!   of it: the request passes where some part could, and [`Sight`] says which do. A part that needs an
//!   approval is one that is not seen.
//! - Obligations of all matching rules are united: every mask, the longest time, the larger payload, the
//!   stricter failure; the defaults fill in what no rule says. Masks apply to actions that are maskable.
//! - Demands for approval are all met by one approval: by a group that every rule names, by the most
//!   people, within the shortest times. Where no group is named by all, the request is denied.
//!
//! # The document
//! ```yaml
//! version: 1
//! groups:                          # names for principals; all keys of an entry must fit
//!   agents: [ { issuer: github, claim: { repository_owner_id: "1234" }, group: ci } ]
//! rules:
//!   - id: prod-push                # lower-case letters, digits, - _ .
//!     match:                       # all keys must hold; or `everything: true`
//!       who: [agents, group:ops, "github:repo:org/**"]   # group here, group anywhere, issuer:subjects
//!       upstreams: ["prod-*"]
//!       git: { action: push, refs: [refs/heads/main], change: [force, delete] }
//!       any: [ { git: { kind: tag } }, { all: [ { who: agents }, { not: { upstreams: lab } } ] } ]
//!     decide: require_approval     # allow, require_approval, deny
//!     mode: enforce                # or shadow: evaluated, logged and explained, without effect
//!     reason: "{ref} of {repository} is protected, {principal}"
//!     approval: { from: [group:release], count: 1, hold: 10m, ttl: 1h, on_disconnect: cancel }
//!     oblige: { record: { payload: full, retain: 365d, on_failure: strict } }   # and mask: [all]
//!   - id: content                  # what costs to find out is looked for where some rule asks
//!     match:
//!       any:
//!         - git: { findings: any } # or globs on the rules of detection: [github-pat, "aws-*"]
//!         - git: { messages: "(?i)\\bwip\\b", paths: ["src/**"] }   # regular expressions; globs
//!         - git: { file_size: { min: 50MiB } }                      # or max, or both
//!     decide: deny
//!     reason: "{findings} {messages} {file_size}"    # of lists, what matched
//! defaults: { decide: deny, record: { payload: full, retain: 90d, on_failure: strict } }
//! tests:                           # who: a group, issuer:subject, or { issuer, subject, groups, claims }
//!   - { who: agents, upstream: prod-1, git: { action: push, ref: refs/heads/main, kind: tag,
//!       change: force }, expect: { decide: require_approval, rule: prod-push } }       # or rule: default
//! ```
//! In globs `*` stops at a slash and `**` does not; `?` is one character. A claim inside another is
//! named by a JSON pointer: `/kubernetes.io/namespace`. A list in `any` needs one to hold, a list of
//! values one to match. Regular expressions are searched for, anywhere in the text unless `^` and `$` say
//! otherwise, without Unicode. Where a request brings a list (paths, messages), one of it must match in a
//! rule that denies, and all in one that allows; see `condition.rs`. There are no anchors, aliases, tags, or characters that nobody sees.

mod compile;
mod condition;
mod demands;
mod describe;
mod document;
mod errors;
mod expected;
mod explain;
mod foresee;
mod glob;
mod group;
mod handle;
mod judge;
mod pattern;
mod read;
mod reason;
mod rule;
mod selftest;
mod sight;
mod terms;
mod yaml;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use aws_lc_rs::digest::{SHA256, digest};

pub use self::{
    demands::{ApprovalRule, Kin},
    describe::AccessError,
    errors::{PolicyError, PolicyErrors},
    explain::{Explanation, FailedMatcher, RuleTrace},
    glob::Globs,
    handle::PolicyHandle,
    sight::Sight,
};
use self::{group::Group, rule::Rule};
use crate::{
    access::{Access, Needs, Schema},
    principal::Principal,
    verdict::{Effect, RecordTerms},
};

/// A policy, compiled; it never changes.
pub struct Policy {
    version: String,
    schemas: Vec<&'static Schema>,
    needs: BTreeMap<&'static str, Needs>,
    groups: Vec<Group>,
    rules: Vec<Rule>,
    default: Effect,
    record: RecordTerms,
    /// Whether a rule speaks of what an action reads part by part.
    partial: bool,
}

impl Policy {
    /// Loads a document, for protocols with these schemas.
    ///
    /// # Errors
    /// Everything that is wrong with it, or the tests of its own that fail.
    pub fn load(text: &str, schemas: &[&'static Schema]) -> Result<Self, PolicyErrors> {
        document::load(text, hex::encode(digest(&SHA256, text.as_bytes())), schemas)
    }

    /// The policy's version: the SHA-256 of its text, in hex.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The attributes of a protocol that any rule looks at or tells of, those in shadow mode included.
    pub fn needs(&self, protocol: &str) -> Needs {
        self.needs.get(protocol).cloned().unwrap_or_default()
    }

    /// What is recorded of a request until there is a verdict: the document's defaults.
    pub fn record_terms_before_verdict(&self) -> RecordTerms {
        self.record
    }

    /// The groups that a principal is in: those of the token, and those that the document defines.
    pub fn groups(&self, principal: &Principal) -> Vec<String> {
        let defined = self.groups.iter().filter(|group| group.holds(principal)).map(|group| &group.name);
        let all: BTreeSet<&String> = principal.groups.iter().chain(defined).collect();
        all.into_iter().cloned().collect()
    }

    /// Makes an access of text, for [`Policy::explain`]: a protocol, an action, and attributes by name
    /// with one value or more. Its resource is the protocol's first attribute.
    ///
    /// # Errors
    /// A name or a value that the protocol does not have, with the nearest that it has.
    pub fn access<'a>(
        &self,
        protocol: &str,
        action: &str,
        attributes: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>,
    ) -> Result<Access, AccessError> {
        let schema = self.schemas.iter().find(|schema| schema.protocol == protocol);
        let schema = schema.ok_or_else(|| {
            let known = self.schemas.iter().map(|schema| schema.protocol);
            AccessError::Protocol(format!(
                "{}{}",
                errors::quoted(protocol),
                errors::suggestion(protocol, known)
            ))
        })?;
        describe::access(schema, action, attributes)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({}, {} rules)", self.version, self.rules.len())
    }
}
