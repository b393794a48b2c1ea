//! A rule: what it matches, what it decides, what it asks for besides.

use std::{collections::BTreeSet, time::Duration};

use super::{
    compile::{Compiler, Reach},
    condition::Condition,
    errors::quoted,
    read::{self, Fields},
    reason::Template,
    terms::{Oblige, Record},
    yaml::Node,
};
use crate::verdict::{ApprovalTerms, Effect, OnDisconnect, OnFailure, Payload};

/// The name that a test's `rule` gives to what no rule decided.
pub(super) const DEFAULT: &str = "default";

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) when: Condition,
    pub(super) effect: Effect,
    /// Evaluated and reported, without effect.
    pub(super) shadow: bool,
    pub(super) reason: Option<Template>,
    /// Present where the effect is to require an approval.
    pub(super) approval: Option<ApprovalTerms>,
    pub(super) oblige: Oblige,
}

const KEYS: [&str; 7] = ["id", "match", "decide", "mode", "reason", "approval", "oblige"];

impl Compiler<'_> {
    /// Reads a rule. What is wrong in one part does not hide what is wrong in another.
    pub(super) fn rule(&mut self, node: &Node) -> Option<Rule> {
        let fields = Fields::read(node, "a rule", &KEYS, &mut self.errors)?;
        let id = self.id(&fields);
        let effect = self.effect(&fields);
        // Which side of doubt a condition takes hangs on the effect; without one, only errors are sought.
        let when = fields.need("match", "a rule", &mut self.errors);
        let when = when.and_then(|node| self.condition(node, effect.unwrap_or(Effect::Deny)));
        let shadow = match fields.get("mode") {
            Some(node) => read::word(node, "mode", &[("enforce", false), ("shadow", true)], &mut self.errors),
            None => Some(false),
        };
        let approval = self.approval(&fields, effect);
        let everywhere = self.everywhere();
        let reach = when.as_ref().map_or(&everywhere, |(_, reach)| reach);
        let reason = match fields.get("reason") {
            Some(node) => {
                let text = read::text(node, "reason", &mut self.errors)?;
                Some(self.template(node.at, text, reach)?)
            }
            None => None,
        };
        let oblige = self.oblige(&fields, effect, reach);
        Some(Rule {
            id: id?,
            when: when?.0,
            effect: effect?,
            shadow: shadow?,
            reason,
            approval: approval?,
            oblige: oblige?,
        })
    }

    fn id(&mut self, fields: &Fields<'_>) -> Option<String> {
        let node = fields.need("id", "a rule", &mut self.errors)?;
        let id = read::text(node, "id", &mut self.errors)?;
        if id == DEFAULT {
            self.errors
                .push(node.at, "no rule can be called default: that is what decides where no rule does");
            return None;
        }
        read::slug(node.at, id, "a rule's id", &mut self.errors).map(str::to_owned)
    }

    fn effect(&mut self, fields: &Fields<'_>) -> Option<Effect> {
        let node = fields.need("decide", "a rule", &mut self.errors)?;
        let words =
            [Effect::Allow, Effect::RequireApproval, Effect::Deny].map(|effect| (effect.word(), effect));
        read::word(node, "decide", &words, &mut self.errors)
    }

    /// `Some(None)` for a rule that requires none.
    fn approval(&mut self, fields: &Fields<'_>, effect: Option<Effect>) -> Option<Option<ApprovalTerms>> {
        let mut terms = ApprovalTerms {
            from: BTreeSet::new(),
            count: 1,
            hold: Duration::from_mins(10),
            ttl: Duration::from_hours(1),
            on_disconnect: OnDisconnect::Cancel,
        };
        let Some(node) = fields.get("approval") else {
            return Some((effect == Some(Effect::RequireApproval)).then_some(terms));
        };
        if effect.is_some_and(|effect| effect != Effect::RequireApproval) {
            self.errors.push(node.at, "approval belongs to a rule with `decide: require_approval`");
            return None;
        }
        let keys = ["from", "count", "hold", "ttl", "on_disconnect"];
        let fields = Fields::read(node, "approval", &keys, &mut self.errors)?;
        if let Some(node) = fields.get("from") {
            for (at, text) in read::texts(node, "from", &mut self.errors)? {
                terms.from.insert(self.group_ref(at, text)?.into_name());
            }
        }
        if let Some(node) = fields.get("count") {
            let count = read::number(node, "count", &mut self.errors)?;
            match u32::try_from(count) {
                Ok(count @ 1..=20) => terms.count = count,
                Ok(_) | Err(_) => self.errors.push(node.at, "count is from 1 to 20 people"),
            }
        }
        if let Some(node) = fields.get("ttl") {
            terms.ttl = read::duration(node, "ttl", ("1m", "30d"), &mut self.errors)?;
        }
        // A hold given by default is no longer than the time to live that was given.
        terms.hold = terms.hold.min(terms.ttl);
        if let Some(node) = fields.get("hold") {
            terms.hold = read::duration(node, "hold", ("0s", "1h"), &mut self.errors)?;
            if terms.hold > terms.ttl {
                self.errors
                    .push(node.at, "the client would be held longer than the approval can live: see ttl");
            }
        }
        if let Some(node) = fields.get("on_disconnect") {
            let words = [("cancel", OnDisconnect::Cancel), ("continue", OnDisconnect::Continue)];
            terms.on_disconnect = read::word(node, "on_disconnect", &words, &mut self.errors)?;
        }
        Some(Some(terms))
    }

    fn oblige(&mut self, fields: &Fields<'_>, effect: Option<Effect>, reach: &Reach) -> Option<Oblige> {
        let mut oblige = Oblige::default();
        let Some(node) = fields.get("oblige") else { return Some(oblige) };
        if effect == Some(Effect::Deny) {
            self.errors.push(node.at, "a rule that denies obliges to nothing: nothing comes of the request");
            return None;
        }
        let fields = Fields::read(node, "oblige", &["mask", "record"], &mut self.errors)?;
        if let Some(node) = fields.get("mask") {
            oblige.mask = self.mask(node, reach)?;
        }
        if let Some(node) = fields.get("record") {
            oblige.record = self.record(node)?;
        }
        Some(oblige)
    }

    fn mask(&mut self, node: &Node, reach: &Reach) -> Option<BTreeSet<String>> {
        let mut mask = BTreeSet::new();
        for (at, text) in read::texts(node, "mask", &mut self.errors)? {
            mask.insert(read::slug(at, text, "a class of secrets", &mut self.errors)?.to_owned());
        }
        let maskable = |(protocol, action): &(&str, &str)| {
            let schema = self.schemas.iter().find(|schema| schema.protocol == *protocol);
            schema.and_then(|schema| schema.action(action)).is_some_and(|action| action.maskable)
        };
        if !reach.iter().any(maskable) {
            let names: Vec<String> =
                reach.iter().map(|(protocol, action)| format!("{protocol} {action}")).collect();
            let message = format!(
                "nothing can be masked in what this rule reaches ({}): its content is verified by hash, or \
                 it has none",
                names.join(", ")
            );
            self.errors.push(node.at, message);
            return None;
        }
        Some(mask)
    }

    /// Reads `record`, of a rule or of the defaults.
    pub(super) fn record(&mut self, node: &Node) -> Option<Record> {
        let mut record = Record::default();
        let fields = Fields::read(node, "record", &["payload", "retain", "on_failure"], &mut self.errors)?;
        if let Some(node) = fields.get("retain") {
            record.retain = Some(read::duration(node, "retain", ("1h", "3650d"), &mut self.errors)?);
        }
        if let Some(node) = fields.get("payload") {
            let words = [("full", Payload::Full), ("digest", Payload::Digest)];
            record.payload = Some(read::word(node, "payload", &words, &mut self.errors)?);
        }
        if let Some(node) = fields.get("on_failure") {
            let words = [("strict", OnFailure::Strict), ("best_effort", OnFailure::BestEffort)];
            record.on_failure = Some(read::word(node, "on_failure", &words, &mut self.errors)?);
        }
        Some(record)
    }

    /// Tells ids that are there twice.
    pub(super) fn unique_ids(&mut self, nodes: &[Node], rules: &[Option<Rule>]) {
        let mut seen = BTreeSet::new();
        for (node, rule) in nodes.iter().zip(rules) {
            let Some(rule) = rule else { continue };
            if !seen.insert(&rule.id) {
                self.errors.push(node.at, format!("there is another rule with the id {}", quoted(&rule.id)));
            }
        }
    }
}
