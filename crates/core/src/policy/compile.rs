//! Turns a rule's `match` into a [`Condition`], checked against what the protocols can say.

use std::collections::BTreeSet;

use super::{
    condition::{Condition, Doubt, Matcher, People},
    errors::{At, Errors, quoted, suggestion},
    glob::Globs,
    group::Group,
    read,
    yaml::{Key, Node},
};
use crate::{
    access::{self, Action, Attribute, Schema},
    verdict::Effect,
};

/// The deepest nesting of `any`, `all` and `not` is bounded by the parser; their number by the size of
/// the text; the patterns that take a regex by this.
const MAX_PATTERNS: usize = 20_000;

/// The keys of a `match` besides the protocols.
const KEYS: [&str; 6] = ["who", "upstreams", "any", "all", "not", "everything"];

/// What is known while a document is compiled.
pub(super) struct Compiler<'a> {
    pub(super) schemas: &'a [&'static Schema],
    pub(super) groups: Vec<Group>,
    /// The ids of the rules so far, also of those that are wrong otherwise.
    pub(super) ids: BTreeSet<String>,
    pub(super) errors: Errors,
    /// The attributes that any rule looks at or tells of, by protocol.
    pub(super) needs: BTreeSet<(&'static str, &'static str)>,
    pub(super) regexes: usize,
    patterns: usize,
}

/// Which actions of which schemas a condition can reach: never fewer than it does.
pub(super) type Reach = BTreeSet<(&'static str, &'static str)>;

/// Where a condition stands: its path, and on which side of how many `not`.
#[derive(Clone)]
struct Place {
    path: String,
    allows: bool,
    negated: bool,
}

impl Place {
    fn inside(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { path: format!("{}{dot}{name}", self.path), ..self.clone() }
    }

    fn doubt(&self) -> Doubt {
        Doubt { absent: self.allows && self.negated, all: self.allows != self.negated }
    }
}

impl<'a> Compiler<'a> {
    pub(super) fn new(schemas: &'a [&'static Schema]) -> Self {
        Self {
            schemas,
            groups: Vec::new(),
            ids: BTreeSet::new(),
            errors: Errors::default(),
            needs: BTreeSet::new(),
            regexes: 0,
            patterns: 0,
        }
    }

    /// Compiles a rule's `match`.
    pub(super) fn condition(&mut self, node: &Node, effect: Effect) -> Option<(Condition, Reach)> {
        let allows = effect == Effect::Allow;
        self.all_of_map(node, &Place { path: String::new(), allows, negated: false })
    }

    /// A map: all its keys must hold.
    fn all_of_map(&mut self, node: &Node, place: &Place) -> Option<(Condition, Reach)> {
        let entries = read::entries(node, "match", &mut self.errors)?;
        if entries.is_empty() {
            let hint = "an empty match: what matches everything says `everything: true`";
            self.errors.push(node.at, hint);
            return None;
        }
        if let Some((key, _)) = entries.iter().find(|(key, _)| key.name == "everything" && entries.len() > 1)
        {
            self.errors
                .push(key.at, "`everything` stands alone: leave it out, the other keys say what matches");
        }
        let parts: Vec<_> = entries.iter().map(|(key, node)| self.entry(key, node, place)).collect();
        let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
        self.all(node.at, parts)
    }

    fn all(&mut self, at: At, parts: Vec<(Condition, Reach)>) -> Option<(Condition, Reach)> {
        let mut reach = self.everywhere();
        let mut conditions = Vec::new();
        for (condition, reached) in parts {
            reach = reach.intersection(&reached).copied().collect();
            conditions.push(condition);
        }
        if reach.is_empty() && !self.schemas.is_empty() {
            self.errors.push(at, "this can never match: one request is of one protocol and has one action");
            return None;
        }
        Some((Condition::All(conditions), reach))
    }

    fn entry(&mut self, key: &Key, node: &Node, place: &Place) -> Option<(Condition, Reach)> {
        let place = place.inside(&key.name);
        let is = |matcher| Condition::Is(place.path.clone(), matcher);
        match &*key.name {
            "everything" => {
                if !read::flag(node, "everything", &mut self.errors)? {
                    self.errors.push(node.at, "a rule that matches nothing is no rule");
                    return None;
                }
                Some((is(Matcher::Everything), self.everywhere()))
            }
            "who" => Some((is(self.who(node)?), self.everywhere())),
            "upstreams" => Some((is(Matcher::Upstreams(self.globs(node, "upstreams")?)), self.everywhere())),
            "any" => {
                let parts = self.list_of_maps(node, &place)?;
                let reach = parts.iter().flat_map(|(_, reach)| reach).copied().collect();
                let conditions = parts.into_iter().map(|(condition, _)| condition).collect();
                Some((Condition::Any(place.path, conditions), reach))
            }
            "all" => {
                let parts = self.list_of_maps(node, &place)?;
                self.all(node.at, parts)
            }
            "not" => {
                let inside = Place { negated: !place.negated, ..place.clone() };
                let (condition, _) = self.all_of_map(node, &inside)?;
                Some((Condition::Not(place.path, Box::new(condition)), self.everywhere()))
            }
            name => {
                let schema = self.schema(key.at, name, "match", &KEYS)?;
                self.protocol(schema, node, &place)
            }
        }
    }

    fn list_of_maps(&mut self, node: &Node, place: &Place) -> Option<Vec<(Condition, Reach)>> {
        let items = read::list(node, &place.path, &mut self.errors)?;
        if items.is_empty() {
            self.errors.push(node.at, format!("{} is an empty list", place.path));
            return None;
        }
        let numbered = items.iter().enumerate().map(|(index, item)| {
            let place = Place { path: format!("{}[{index}]", place.path), ..place.clone() };
            self.all_of_map(item, &place)
        });
        numbered.collect::<Vec<_>>().into_iter().collect()
    }

    fn protocol(
        &mut self,
        schema: &'static Schema,
        node: &Node,
        place: &Place,
    ) -> Option<(Condition, Reach)> {
        let entries = read::entries(node, schema.protocol, &mut self.errors)?;
        if entries.is_empty() {
            let actions: Vec<&str> = schema.actions.iter().map(|action| action.name).collect();
            let message =
                format!("an empty matcher: for every request say `action: [{}]`", actions.join(", "));
            self.errors.push(node.at, message);
            return None;
        }
        let mut actions: Vec<&'static str> = schema.actions.iter().map(|action| action.name).collect();
        let mut conditions = vec![Condition::Is(place.path.clone(), Matcher::Protocol(schema.protocol))];
        let mut names = BTreeSet::new();
        let mut whole = true;
        for (key, node) in entries {
            let path = place.inside(&key.name).path;
            let matcher = if key.name == "action" {
                self.actions(schema, node).map(|listed| {
                    actions.clone_from(&listed);
                    Matcher::Actions(listed)
                })
            } else {
                self.attribute(schema, key, node, place.doubt())
            };
            match matcher {
                Some(Matcher::Attribute { name, .. }) if !names.insert(name) => {
                    self.errors.push(key.at, format!("{name} is matched twice"));
                }
                Some(matcher) => conditions.push(Condition::Is(path, matcher)),
                None => whole = false,
            }
        }
        if entries.iter().any(|(key, _)| key.name == "action") {
            let read = |name: &str| {
                actions
                    .iter()
                    .any(|action| schema.action(action).and_then(|action| action.parts) == Some(name))
            };
            for condition in &mut conditions {
                if let Condition::Is(_, Matcher::Attribute { name, part, .. }) = condition {
                    *part = read(name);
                }
            }
        }
        whole &= self.are_of(schema, entries, &actions);
        let matched = || names.iter().filter_map(|name| schema.attribute(name));
        actions.retain(|action| matched().all(|attribute| attribute.is_of(action)));
        if whole && actions.is_empty() {
            self.errors.push(node.at, "this can never match: no action has all of these attributes");
            return None;
        }
        let reach = actions.into_iter().map(|action| (schema.protocol, action)).collect();
        whole.then_some((Condition::All(conditions), reach))
    }

    /// Whether each attribute is one of some of the actions; tells of those that are not.
    fn are_of(&mut self, schema: &Schema, entries: &[(Key, Node)], actions: &[&str]) -> bool {
        let mut whole = true;
        for (key, _) in entries {
            let Some(attribute) = schema.attribute(&key.name) else { continue };
            if !actions.iter().any(|action| attribute.is_of(action)) {
                let only = attribute.only.unwrap_or_default().join(", ");
                let message = format!(
                    "{} is said of {only} only: beside `action: {}` it never matches",
                    attribute.name,
                    actions.join(", "),
                );
                self.errors.push(key.at, message);
                whole = false;
            }
        }
        whole
    }

    fn actions(&mut self, schema: &'static Schema, node: &Node) -> Option<Vec<&'static str>> {
        let texts = read::texts(node, "action", &mut self.errors)?;
        let found: Vec<_> = texts.into_iter().map(|(at, text)| self.action(schema, at, text)).collect();
        found.into_iter().map(|action| action.map(|action| action.name)).collect()
    }

    fn attribute(&mut self, schema: &Schema, key: &Key, node: &Node, doubt: Doubt) -> Option<Matcher> {
        let attribute = self.attribute_name(schema, key.at, &key.name, &["action"])?;
        let vouches = attribute.matcher == access::Matcher::Vouches;
        let doubt = Doubt { all: doubt.all && !vouches, ..doubt };
        let expected = self.compared(attribute, node, &key.name, doubt)?;
        self.needs.insert((schema.protocol, attribute.name));
        Some(Matcher::Attribute { name: attribute.name, expected, doubt, part: false })
    }

    fn who(&mut self, node: &Node) -> Option<Matcher> {
        let (mut groups, mut people) = (Vec::new(), Vec::new());
        for (at, text) in read::texts(node, "who", &mut self.errors)? {
            match text.split_once(':') {
                None | Some(("group", _)) => groups.extend(self.group_ref(at, text)),
                Some((issuer, subjects)) => people.extend(self.people(at, issuer, subjects)),
            }
        }
        Some(Matcher::Who { groups, people })
    }

    fn people(&mut self, at: At, issuer: &str, subjects: &str) -> Option<People> {
        if issuer.is_empty() || subjects.is_empty() || issuer.contains(['*', '?']) {
            self.errors
                .push(at, "a principal is written <issuer>:<glob of subjects>, the issuer by its name");
            return None;
        }
        let subjects = self.compile_globs(&[(at, subjects)])?;
        Some(People { issuer: issuer.to_owned(), subjects })
    }

    /// One glob or a list of some.
    pub(super) fn globs(&mut self, node: &Node, what: &str) -> Option<Globs> {
        let texts = read::texts(node, what, &mut self.errors)?;
        self.compile_globs(&texts)
    }

    /// Reads globs on names that all begin with `prefix`.
    pub(super) fn globs_under(&mut self, node: &Node, what: &str, prefix: &str) -> Option<Globs> {
        let texts = read::texts(node, what, &mut self.errors)?;
        for (at, text) in &texts {
            let literal = &text[..text.find(['*', '?', '\\']).unwrap_or(text.len())];
            let open = literal.len() < text.len() && prefix.starts_with(literal);
            if !open && !literal.starts_with(prefix) {
                let message = format!("{} never matches: every one begins with {prefix}", quoted(text));
                self.errors.push(*at, message);
            }
        }
        self.compile_globs(&texts)
    }

    pub(super) fn compile_globs(&mut self, texts: &[(At, &str)]) -> Option<Globs> {
        self.patterns += texts.iter().filter(|(_, text)| text.contains(['*', '?'])).count();
        if self.patterns > MAX_PATTERNS {
            self.errors.push(texts[0].0, format!("more than {MAX_PATTERNS} patterns in one document"));
            return None;
        }
        match Globs::new(texts.iter().map(|(_, text)| *text)) {
            Ok(globs) => Some(globs),
            Err((index, why)) => {
                self.errors.push(texts[index].0, why);
                None
            }
        }
    }

    /// The schema of a protocol that is named by a key of `what`; `besides` are its other keys.
    pub(super) fn schema(
        &mut self,
        at: At,
        name: &str,
        what: &str,
        besides: &[&str],
    ) -> Option<&'static Schema> {
        let found = self.schemas.iter().find(|schema| schema.protocol == name);
        if found.is_none() {
            let known = self.schemas.iter().map(|schema| schema.protocol).chain(besides.iter().copied());
            let hint = suggestion(name, known);
            self.errors.push(at, format!("unknown key {} in {what}{hint}", quoted(name)));
        }
        found.copied()
    }

    /// The action of a schema.
    pub(super) fn action(&mut self, schema: &Schema, at: At, name: &str) -> Option<&'static Action> {
        let found = schema.action(name);
        if found.is_none() {
            let hint = suggestion(name, schema.actions.iter().map(|action| action.name));
            self.errors.push(at, format!("{} has no action {}{hint}", schema.protocol, quoted(name)));
        }
        found
    }

    /// The attribute of a schema; `besides` are the other keys that could stand there.
    pub(super) fn attribute_name(
        &mut self,
        schema: &Schema,
        at: At,
        name: &str,
        besides: &[&'static str],
    ) -> Option<&'static Attribute> {
        let found = schema.attribute(name);
        if found.is_none() {
            let known = schema.attributes.iter().map(|attribute| attribute.plural);
            let hint = suggestion(name, known.chain(besides.iter().copied()));
            self.errors.push(at, format!("{} has no attribute {}{hint}", schema.protocol, quoted(name)));
        }
        found
    }

    pub(super) fn everywhere(&self) -> Reach {
        let of =
            |schema: &&'static Schema| schema.actions.iter().map(|action| (schema.protocol, action.name));
        self.schemas.iter().flat_map(of).collect()
    }
}
