//! A rule: what it matches, what it decides, what it asks for besides.

use std::{collections::BTreeSet, time::Duration};

use lockgate_detect::RuleSet;

use super::{
    compile::{Compiler, Reach},
    condition::Condition,
    errors::{quoted, suggestion},
    group::GroupRef,
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
    /// Reads a rule. What is wrong in one part does not hide what is wrong in another: an error refuses
    /// the whole document anyway, so reading goes on with what a part would be if it were left out.
    pub(super) fn rule(&mut self, node: &Node) -> Option<Rule> {
        let fields = Fields::read(node, "a rule", &KEYS, &mut self.errors)?;
        let id = self.id(&fields);
        let effect = self.effect(&fields);
        let when = fields.need("match", "a rule", &mut self.errors);
        let when = when.and_then(|node| self.condition(node, effect.unwrap_or(Effect::Deny)));
        let modes = [("enforce", false), ("shadow", true)];
        let shadow = fields.get("mode").and_then(|node| read::word(node, "mode", &modes, &mut self.errors));
        let everywhere = self.everywhere();
        let reach = when.as_ref().map_or(&everywhere, |(_, reach)| reach);
        let reason = self.reason(&fields, effect, reach);
        let approval = self.approval(&fields, effect);
        let oblige = self.oblige(&fields, effect, reach);
        let shadow = shadow.unwrap_or(false);
        Some(Rule { id: id?, when: when?.0, effect: effect?, shadow, reason, approval, oblige })
    }

    fn id(&mut self, fields: &Fields<'_>) -> Option<String> {
        let node = fields.need("id", "a rule", &mut self.errors)?;
        let id = read::text(node, "id", &mut self.errors)?;
        if id == DEFAULT {
            self.errors
                .push(node.at, "no rule can be called default: that is what decides where no rule does");
            return None;
        }
        let id = read::slug(node.at, id, "a rule's id", &mut self.errors)?;
        if !self.ids.insert(id.to_owned()) {
            self.errors.push(node.at, format!("there is another rule with the id {}", quoted(id)));
        }
        Some(id.to_owned())
    }

    fn effect(&mut self, fields: &Fields<'_>) -> Option<Effect> {
        let node = fields.need("decide", "a rule", &mut self.errors)?;
        let words =
            [Effect::Allow, Effect::RequireApproval, Effect::Deny].map(|effect| (effect.word(), effect));
        read::word(node, "decide", &words, &mut self.errors)
    }

    fn reason(&mut self, fields: &Fields<'_>, effect: Option<Effect>, reach: &Reach) -> Option<Template> {
        let node = fields.get("reason")?;
        if effect == Some(Effect::Allow) {
            self.errors.push(node.at, "nobody is told the reason of a rule that allows: write a comment");
            return None;
        }
        let text = read::text(node, "reason", &mut self.errors)?;
        self.template(node.at, text, reach)
    }

    fn approval(&mut self, fields: &Fields<'_>, effect: Option<Effect>) -> Option<ApprovalTerms> {
        let requires = effect.is_none_or(|effect| effect == Effect::RequireApproval);
        let node = fields.get("approval");
        match node {
            Some(node) if !requires => {
                self.errors.push(node.at, "approval belongs to a rule with `decide: require_approval`");
                None
            }
            Some(node) => self.approval_terms(node),
            None => requires.then(approval_by_default),
        }
    }

    fn approval_terms(&mut self, node: &Node) -> Option<ApprovalTerms> {
        let mut terms = approval_by_default();
        let keys = ["from", "count", "hold", "ttl", "on_disconnect"];
        let fields = Fields::read(node, "approval", &keys, &mut self.errors)?;
        if let Some(node) = fields.get("from") {
            let groups = read::texts(node, "from", &mut self.errors).unwrap_or_default();
            let groups = groups.into_iter().filter_map(|(at, text)| self.group_ref(at, text));
            terms.from = groups.map(GroupRef::into_name).collect();
        }
        if let Some(node) = fields.get("count")
            && let Some(count) = read::number(node, "count", &mut self.errors)
        {
            match u32::try_from(count) {
                Ok(count @ 1..=20) => terms.count = count,
                Ok(_) | Err(_) => self.errors.push(node.at, "count is from 1 to 20 people"),
            }
        }
        if let Some(node) = fields.get("ttl") {
            terms.ttl = read::duration(node, "ttl", ("1m", "30d"), &mut self.errors).unwrap_or(terms.ttl);
        }
        // A hold given by default is no longer than the time to live that was given.
        terms.hold = terms.hold.min(terms.ttl);
        if let Some(node) = fields.get("hold") {
            terms.hold = read::duration(node, "hold", ("0s", "1h"), &mut self.errors).unwrap_or(terms.hold);
            if terms.hold > terms.ttl {
                self.errors
                    .push(node.at, "the client would be held longer than the approval can live: see ttl");
            }
        }
        if let Some(node) = fields.get("on_disconnect") {
            let words = [("cancel", OnDisconnect::Cancel), ("continue", OnDisconnect::Continue)];
            let word = read::word(node, "on_disconnect", &words, &mut self.errors);
            terms.on_disconnect = word.unwrap_or(terms.on_disconnect);
        }
        Some(terms)
    }

    fn oblige(&mut self, fields: &Fields<'_>, effect: Option<Effect>, reach: &Reach) -> Oblige {
        let mut oblige = Oblige::default();
        let Some(node) = fields.get("oblige") else { return oblige };
        if effect == Some(Effect::Deny) {
            self.errors.push(node.at, "a rule that denies obliges to nothing: nothing comes of the request");
            return oblige;
        }
        if let Some(fields) = Fields::read(node, "oblige", &["mask", "record"], &mut self.errors) {
            oblige.mask = fields.get("mask").map(|node| self.mask(node, reach)).unwrap_or_default();
            oblige.record = fields.get("record").map(|node| self.record(node)).unwrap_or_default();
        }
        oblige
    }

    fn mask(&mut self, node: &Node, reach: &Reach) -> BTreeSet<String> {
        let mut mask = BTreeSet::new();
        for (at, text) in read::texts(node, "mask", &mut self.errors).unwrap_or_default() {
            let builtin = RuleSet::builtin();
            let own = self.schemas.iter().flat_map(|schema| schema.masks).copied();
            let known = || builtin.iter().map(|rule| rule.id()).chain(["all"]).chain(own.clone());
            if !known().any(|name| name == text) {
                let hint = suggestion(text, known());
                self.errors.push(at, format!("no rule of detection is called {}{hint}", quoted(text)));
            }
            mask.insert(text.to_owned());
        }
        let maskable = |(protocol, action): &(&str, &str)| {
            let schema = self.schemas.iter().find(|schema| schema.protocol == *protocol);
            schema.and_then(|schema| schema.action(action)).is_some_and(|action| action.maskable)
        };
        if !reach.iter().any(maskable) {
            let names: Vec<String> =
                reach.iter().map(|(protocol, action)| format!("{protocol} {action}")).collect();
            let message = format!(
                "nothing can be masked in what this rule reaches ({}): a mask would break it, or do nothing",
                names.join(", ")
            );
            self.errors.push(node.at, message);
        }
        mask
    }

    /// Reads `record`, of a rule or of the defaults.
    pub(super) fn record(&mut self, node: &Node) -> Record {
        let mut record = Record::default();
        let keys = ["payload", "retain", "on_failure"];
        let Some(fields) = Fields::read(node, "record", &keys, &mut self.errors) else { return record };
        if let Some(node) = fields.get("retain") {
            record.retain = read::duration(node, "retain", ("1h", "3650d"), &mut self.errors);
        }
        if let Some(node) = fields.get("payload") {
            let words = [("full", Payload::Full), ("digest", Payload::Digest)];
            record.payload = read::word(node, "payload", &words, &mut self.errors);
        }
        if let Some(node) = fields.get("on_failure") {
            let words = [("strict", OnFailure::Strict), ("best_effort", OnFailure::BestEffort)];
            record.on_failure = read::word(node, "on_failure", &words, &mut self.errors);
        }
        record
    }
}

fn approval_by_default() -> ApprovalTerms {
    ApprovalTerms {
        from: BTreeSet::new(),
        count: 1,
        hold: Duration::from_mins(10),
        ttl: Duration::from_hours(1),
        on_disconnect: OnDisconnect::Cancel,
    }
}
