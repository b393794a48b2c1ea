//! The document as a whole: its keys, in the order in which they must be understood.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Policy,
    compile::Compiler,
    errors::PolicyErrors,
    read::{self, Fields},
    sight,
    yaml::{self, Kind, Node},
};
use crate::{
    access::{Needs, Schema},
    verdict::{Effect, RecordTerms},
};

/// The most rules of one document.
const MAX_RULES: usize = 2_000;

/// Reads, checks and compiles a document; then runs its tests.
pub(super) fn load(text: &str, version: String, schemas: &[&'static Schema]) -> Result<Policy, PolicyErrors> {
    let root = yaml::parse(text)?;
    let mut compiler = Compiler::new(schemas);
    let keys = ["version", "groups", "rules", "defaults", "tests"];
    let Some(fields) = Fields::read(&root, "a policy", &keys, &mut compiler.errors) else {
        return Err(compiler.errors.refuse());
    };
    compiler.version(&fields);
    if let Some(node) = fields.get("groups") {
        compiler.groups(node);
    }
    let rules = fields.get("rules").map(|node| compiler.rules(node)).unwrap_or_default();
    let (default, record) = compiler.defaults(&fields);
    let cases = compiler.cases(fields.get("tests"));
    let Compiler { groups, errors, needs, .. } = compiler;
    let partial = sight::is_partial(&rules);
    let policy = errors.into_result(|| Policy {
        version,
        schemas: schemas.to_vec(),
        needs: by_protocol(schemas, &needs),
        groups,
        rules,
        default,
        record,
        partial,
    })?;
    policy.run(&cases)?;
    Ok(policy)
}

fn by_protocol(
    schemas: &[&'static Schema],
    needs: &BTreeSet<(&'static str, &'static str)>,
) -> BTreeMap<&'static str, Needs> {
    let of = |schema: &Schema| {
        needs.iter().filter(|(protocol, _)| *protocol == schema.protocol).map(|(_, name)| *name).collect()
    };
    schemas.iter().map(|schema| (schema.protocol, of(schema))).collect()
}

impl Compiler<'_> {
    fn version(&mut self, fields: &Fields<'_>) {
        let Some(node) = fields.need("version", "a policy", &mut self.errors) else { return };
        let version = read::number(node, "version", &mut self.errors);
        if version.is_some_and(|version| version != 1) {
            self.errors.push(node.at, "the only version is 1");
        }
    }

    fn rules(&mut self, node: &Node) -> Vec<super::rule::Rule> {
        if matches!(node.kind, Kind::Null) {
            return Vec::new();
        }
        let nodes = read::list(node, "rules", &mut self.errors).unwrap_or_default();
        if nodes.len() > MAX_RULES {
            self.errors.push(node.at, format!("more than {MAX_RULES} rules"));
            return Vec::new();
        }
        nodes.iter().filter_map(|node| self.rule(node)).collect()
    }

    fn defaults(&mut self, fields: &Fields<'_>) -> (Effect, RecordTerms) {
        let mut defaults = (Effect::Deny, RecordTerms::default());
        let Some(node) = fields.get("defaults") else { return defaults };
        let Some(fields) = Fields::read(node, "defaults", &["decide", "record"], &mut self.errors) else {
            return defaults;
        };
        if let Some(node) = fields.get("decide") {
            let words = [("deny", Effect::Deny), ("allow", Effect::Allow)];
            defaults.0 = read::word(node, "defaults.decide", &words, &mut self.errors).unwrap_or(defaults.0);
        }
        if let Some(node) = fields.get("record") {
            let record = self.record(node);
            defaults.1 = record.with_defaults(defaults.1);
        }
        defaults
    }
}
