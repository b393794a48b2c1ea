//! The policy: who may do what, under which obligations.
//!
//! A document is YAML. [`Policy::load`] checks it against what each protocol can say ([`Schema`]),
//! compiles it and runs the tests it carries; whatever is wrong refuses it as a whole, with line and
//! column. [`Policy::judge`] is the only maker of verdicts. Deny goes before require_approval, that
//! before allow, that before the default; obligations of all matching rules are united; what cannot be
//! judged is denied. [`PolicyHandle`] holds the one in force for the pipeline.

mod compile;
mod condition;
mod describe;
mod document;
mod errors;
mod explain;
mod glob;
mod group;
mod handle;
mod judge;
mod read;
mod reason;
mod rule;
mod selftest;
mod terms;
mod yaml;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use aws_lc_rs::digest::{SHA256, digest};

pub use self::{
    describe::AccessError,
    errors::{PolicyError, PolicyErrors},
    explain::{Explanation, FailedMatcher, RuleTrace},
    handle::PolicyHandle,
};
use self::{group::Group, rule::Rule};
use crate::{
    access::{Access, Schema},
    principal::Principal,
    verdict::{Effect, RecordTerms},
};

/// A policy, compiled; it never changes.
pub struct Policy {
    version: String,
    schemas: Vec<&'static Schema>,
    groups: Vec<Group>,
    rules: Vec<Rule>,
    default: Effect,
    record: RecordTerms,
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
