//! How what several rules ask for becomes one: obligations are united, demands for approval all met.

use std::{collections::BTreeSet, time::Duration};

use crate::verdict::{ApprovalTerms, Obligations, OnFailure, Payload, RecordTerms};

/// What one rule obliges to, or several united.
#[derive(Debug, Clone, Default)]
pub(super) struct Oblige {
    pub(super) mask: BTreeSet<String>,
    pub(super) record: Record,
}

/// What is recorded, as far as rules say so. The defaults fill in what none does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) retain: Option<Duration>,
    pub(super) payload: Option<Payload>,
    pub(super) on_failure: Option<OnFailure>,
}

impl Oblige {
    /// Adds another rule's: every mask, the longest time, the larger payload, the stricter failure.
    /// `maskable` is whether the request's answer may be rewritten at all.
    pub(super) fn unite(&mut self, other: &Self, maskable: bool) {
        if maskable && !other.mask.is_subset(&self.mask) {
            self.mask.extend(other.mask.iter().cloned());
        }
        let (record, other) = (&mut self.record, &other.record);
        record.retain = record.retain.max(other.retain);
        record.payload = record.payload.max(other.payload);
        record.on_failure = record.on_failure.max(other.on_failure);
    }

    pub(super) fn with_defaults(self, defaults: RecordTerms) -> Obligations {
        Obligations { mask: self.mask, record: self.record.with_defaults(defaults) }
    }
}

/// Unites the obligations of two accesses of one request, each with its defaults filled in: what only
/// one of them asks for does not weaken what the other keeps by default.
pub(super) fn unite(mut all: Obligations, other: Obligations) -> Obligations {
    all.mask.extend(other.mask);
    all.record = RecordTerms {
        retain: all.record.retain.max(other.record.retain),
        payload: all.record.payload.max(other.record.payload),
        on_failure: all.record.on_failure.max(other.record.on_failure),
    };
    all
}

impl Record {
    pub(super) fn with_defaults(self, defaults: RecordTerms) -> RecordTerms {
        RecordTerms {
            retain: self.retain.unwrap_or(defaults.retain),
            payload: self.payload.unwrap_or(defaults.payload),
            on_failure: self.on_failure.unwrap_or(defaults.on_failure),
        }
    }
}

/// One approval that meets the demands of several rules.
///
/// Who may give it is the intersection, since an approval by one of those counts for each rule; the
/// most people; the shorter times; the safer end. Where the intersection is empty no single approval
/// meets all: that is not an approval by anyone, it is a refusal.
#[derive(Debug, Clone)]
pub(super) struct Demand {
    /// The terms, their `from` not to be read here.
    terms: ApprovalTerms,
    /// Who may approve; `None` is anyone with the role of an approver.
    from: Option<BTreeSet<String>>,
}

impl Demand {
    pub(super) fn new(terms: &ApprovalTerms) -> Self {
        let from = (!terms.from.is_empty()).then(|| terms.from.clone());
        Self { terms: ApprovalTerms { from: BTreeSet::new(), ..terms.clone() }, from }
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.from = match (self.from, other.from) {
            (Some(a), Some(b)) => Some(a.intersection(&b).cloned().collect()),
            (a, b) => a.or(b),
        };
        let (terms, other) = (&mut self.terms, other.terms);
        terms.count = terms.count.max(other.count);
        terms.hold = terms.hold.min(other.hold);
        terms.ttl = terms.ttl.min(other.ttl);
        terms.on_disconnect = terms.on_disconnect.max(other.on_disconnect);
        self
    }

    /// The terms of the approval; `None` where no approval meets all demands.
    pub(super) fn terms(&self) -> Option<ApprovalTerms> {
        match &self.from {
            Some(from) if from.is_empty() => None,
            from => Some(ApprovalTerms { from: from.clone().unwrap_or_default(), ..self.terms.clone() }),
        }
    }
}

/// Adds a demand to those there are.
pub(super) fn add(demand: &mut Option<Demand>, other: Demand) {
    *demand = Some(match demand.take() {
        Some(demand) => demand.and(other),
        None => other,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::OnDisconnect;

    fn demand(from: &[&str], count: u32, hold: u64) -> Demand {
        Demand::new(&ApprovalTerms {
            from: from.iter().map(|&name| name.to_owned()).collect(),
            count,
            hold: Duration::from_secs(hold),
            ttl: Duration::from_hours(1),
            on_disconnect: if count > 1 { OnDisconnect::Cancel } else { OnDisconnect::Continue },
        })
    }

    #[test]
    fn demands_are_all_met() {
        let check = |demands: &[Demand], expected: Option<(&str, u32, u64)>| {
            let mut forwards = None;
            let mut backwards = None;
            demands.iter().cloned().for_each(|demand| add(&mut forwards, demand));
            demands.iter().rev().cloned().for_each(|demand| add(&mut backwards, demand));
            let terms = forwards.unwrap().terms();
            assert_eq!(terms, backwards.unwrap().terms());
            let shown = terms.map(|terms| {
                (terms.from.into_iter().collect::<Vec<_>>().join(","), terms.count, terms.hold.as_secs())
            });
            assert_eq!(shown, expected.map(|(from, count, hold)| (from.to_owned(), count, hold)));
        };
        check(&[demand(&[], 1, 60)], Some(("", 1, 60)));
        check(&[demand(&[], 2, 60), demand(&["a"], 1, 30)], Some(("a", 2, 30)));
        check(&[demand(&["a", "b"], 1, 60), demand(&["b", "c"], 3, 90)], Some(("b", 3, 60)));
        check(&[demand(&["a"], 1, 60), demand(&["b"], 1, 60)], None);
        check(&[demand(&["a"], 1, 60), demand(&["b"], 1, 60), demand(&[], 1, 60)], None);
        check(&[demand(&["a", "b"], 1, 60), demand(&["b", "c"], 1, 60), demand(&["c", "a"], 1, 60)], None);
    }
}
