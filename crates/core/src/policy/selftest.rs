//! The tests that a document carries: it is not published when one fails.

use serde_json::{Map, Value};

use super::{
    Policy,
    compile::Compiler,
    describe::{self, AccessError},
    errors::{At, Errors, PolicyErrors, quoted, suggestion},
    read::{self, Fields},
    rule::DEFAULT,
    yaml::{Key, Kind, Node},
};
use crate::{access::Access, principal::Principal, verdict::Effect};

/// A test: who asks for what, and what is to come of it.
pub(super) struct Case {
    at: At,
    principal: Principal,
    upstream: String,
    access: Access,
    effect: Effect,
    /// One of the deciding rules, or [`DEFAULT`].
    rule: Option<String>,
}

impl Policy {
    /// Runs tests.
    pub(super) fn run(&self, cases: &[Case]) -> Result<(), PolicyErrors> {
        let mut errors = Errors::default();
        for case in cases {
            if let Some(message) = self.failure(case) {
                errors.push(case.at, message);
            }
        }
        errors.into_result(|| ())
    }

    fn failure(&self, case: &Case) -> Option<String> {
        let Case { principal, upstream, access, .. } = case;
        let ground = self.decide(&self.asked(principal, upstream, access)).ground;
        let by_rule = |rule: &String| match rule.as_str() {
            DEFAULT => ground.rules.is_empty(),
            rule => ground.rules.iter().any(|other| other == rule),
        };
        if ground.effect == case.effect && case.rule.as_ref().is_none_or(by_rule) {
            return None;
        }
        let by = |rules: &str| if rules.is_empty() { String::new() } else { format!(" by {rules}") };
        let expected = by(case.rule.as_deref().unwrap_or_default());
        let actual = by(&if ground.rules.is_empty() { DEFAULT.to_owned() } else { ground.rules.join(", ") });
        let why = || self.explain(principal, upstream, access).why_not(case.rule.as_ref()?);
        let why = why().unwrap_or_default();
        Some(format!(
            "test failed: expected {}{expected}, got {}{actual}{why}",
            case.effect.word(),
            ground.effect.word(),
        ))
    }
}

impl Compiler<'_> {
    /// Reads `tests`.
    pub(super) fn cases(&mut self, node: Option<&Node>) -> Vec<Case> {
        let Some(node) = node.filter(|node| !matches!(node.kind, Kind::Null)) else { return Vec::new() };
        let nodes = read::list(node, "tests", &mut self.errors).unwrap_or_default();
        nodes.iter().filter_map(|node| self.case(node)).collect()
    }

    fn case(&mut self, node: &Node) -> Option<Case> {
        let mut asked = None;
        let mut principal = None;
        let mut upstream = String::new();
        let mut expected = None;
        for (key, node) in read::entries(node, "a test", &mut self.errors)? {
            match &*key.name {
                "who" => principal = Some(self.test_principal(node)?),
                "upstream" => read::text(node, "upstream", &mut self.errors)?.clone_into(&mut upstream),
                "expect" => expected = Some(self.expected(node)?),
                _ if asked.is_some() => {
                    self.errors.push(key.at, "a test asks for one thing of one protocol");
                    return None;
                }
                _ => asked = Some(self.test_access(key, node)?),
            }
        }
        if principal.is_none() || asked.is_none() || expected.is_none() {
            self.errors.push(node.at, "a test has `who`, a protocol with an action, and `expect`");
        }
        let (effect, rule) = expected?;
        Some(Case { at: node.at, principal: principal?, upstream, access: asked?, effect, rule })
    }

    fn expected(&mut self, node: &Node) -> Option<(Effect, Option<String>)> {
        let fields = Fields::read(node, "expect", &["decide", "rule"], &mut self.errors)?;
        let decide = fields.need("decide", "expect", &mut self.errors)?;
        let words =
            [Effect::Allow, Effect::RequireApproval, Effect::Deny].map(|effect| (effect.word(), effect));
        let effect = read::word(decide, "decide", &words, &mut self.errors)?;
        let Some(node) = fields.get("rule") else { return Some((effect, None)) };
        let rule = read::text(node, "rule", &mut self.errors)?;
        if rule != DEFAULT && !self.ids.contains(rule) {
            let hint = suggestion(rule, self.ids.iter().map(String::as_str));
            self.errors.push(node.at, format!("there is no rule {}{hint}", quoted(rule)));
            return None;
        }
        Some((effect, Some(rule.to_owned())))
    }

    /// A group's name, `<issuer>:<subject>`, or `{ issuer, subject, groups, claims }`.
    fn test_principal(&mut self, node: &Node) -> Option<Principal> {
        if let Kind::Text(text) = &node.kind {
            return match text.split_once(':') {
                None | Some(("group", _)) => self.member(node.at, text),
                Some((issuer, subject)) => Some(Principal {
                    issuer: issuer.to_owned(),
                    subject: subject.to_owned(),
                    groups: Vec::new(),
                    claims: Map::new(),
                }),
            };
        }
        let fields = Fields::read(node, "who", &["issuer", "subject", "groups", "claims"], &mut self.errors)?;
        let issuer = fields.need("issuer", "who", &mut self.errors)?;
        let issuer = read::text(issuer, "issuer", &mut self.errors)?.to_owned();
        let subject = match fields.get("subject") {
            Some(node) => read::text(node, "subject", &mut self.errors)?.to_owned(),
            None => "test".to_owned(),
        };
        let groups = match fields.get("groups") {
            Some(node) => read::texts(node, "groups", &mut self.errors)?,
            None => Vec::new(),
        };
        let groups = groups.into_iter().map(|(_, group)| group.to_owned()).collect();
        let mut claims = Map::new();
        if let Some(node) = fields.get("claims") {
            for (key, node) in read::entries(node, "claims", &mut self.errors)? {
                claims.insert(key.name.clone(), json(node));
            }
        }
        Some(Principal { issuer, subject, groups, claims })
    }

    /// Somebody in a group: with the issuer, and the claims that the first of its members are known by
    /// as far as they are exact.
    fn member(&mut self, at: At, text: &str) -> Option<Principal> {
        let name = self.group_ref(at, text)?.into_name();
        let group = self.groups.iter().find(|group| group.name == name);
        let members = group.and_then(|group| group.members.first());
        let exact = members.into_iter().flat_map(|members| &members.claims).filter_map(|(name, globs)| {
            let value = globs.literal()?;
            (!name.starts_with('/')).then(|| (name.clone(), Value::from(value)))
        });
        Some(Principal {
            issuer: members.map_or("test", |members| &members.issuer).to_owned(),
            subject: "test".to_owned(),
            groups: vec![name],
            claims: exact.collect(),
        })
    }

    fn test_access(&mut self, key: &Key, node: &Node) -> Option<Access> {
        let schema = self.schema(key.at, &key.name, "a test", &["who", "upstream", "expect"])?;
        let entries = read::entries(node, schema.protocol, &mut self.errors)?;
        let mut action = None;
        let mut attributes = Vec::new();
        for (key, node) in entries {
            // `paths: []` is a push that changes none.
            let values: Vec<&str> = match &node.kind {
                Kind::List(items) if items.is_empty() => Vec::new(),
                Kind::List(_) | Kind::Text(_) | Kind::Null | Kind::Map(_) => {
                    let texts = read::texts(node, &quoted(&key.name), &mut self.errors)?;
                    texts.iter().map(|(_, text)| *text).collect()
                }
            };
            match (&*key.name, values.as_slice()) {
                ("action", [text]) => action = Some((node.at, *text)),
                ("action", _) => self.errors.push(node.at, "a test asks for one action"),
                (name, _) => attributes.push((key.at, node.at, name, values)),
            }
        }
        let Some((action_at, action)) = action else {
            self.errors.push(node.at, format!("what is asked of {} needs an action", schema.protocol));
            return None;
        };
        let written = attributes.iter().map(|(_, _, name, values)| (*name, values.clone()));
        let error = match describe::access(schema, action, written) {
            Ok(access) => return Some(access),
            Err(error) => error,
        };
        // One at a time, to find the place of the first that is wrong.
        let wrong = attributes.iter().find_map(|(key_at, value_at, name, values)| {
            match describe::access(schema, action, [(*name, values.clone())]).err()? {
                AccessError::Value(_) => Some(*value_at),
                AccessError::Protocol(_) | AccessError::Action(_) | AccessError::Attribute(_) => {
                    Some(*key_at)
                }
            }
        });
        let at = if matches!(error, AccessError::Action(_)) { action_at } else { wrong.unwrap_or(node.at) };
        self.errors.push(at, error.to_string());
        None
    }
}

/// A claim's value. Policies compare claims as text, so a scalar is one.
fn json(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Text(text) => Value::from(text.as_str()),
        Kind::List(items) => items.iter().map(json).collect(),
        Kind::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), json(node))).collect(),
    }
}
