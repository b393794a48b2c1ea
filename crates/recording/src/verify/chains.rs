//! The chains of bundles: one for each spool directory that has recorded into the archive.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Part,
    report::{ChainPart, ProblemKind},
};
use crate::{
    format::{bundle::Header, chain::Link},
    recorder::Head,
    store::id_millis,
};

/// The chains seen so far.
pub(crate) struct Chains {
    part: Part,
    chains: HashMap<Uuid, Chain>,
    /// How far one of them reaches, as its recorder knows.
    head: Option<Head>,
}

struct Chain {
    proxy: String,
    first: u64,
    number: u64,
    bundle: Uuid,
    /// The root of the last bundle, once that is seen whole.
    root: Option<Link>,
    /// Something of the chain was not seen, so that exchanges may have begun there.
    blind: bool,
}

impl Chains {
    pub(crate) fn new(part: Part) -> Self {
        Self { part, chains: HashMap::new(), head: None }
    }

    /// A chain must reach as far as its recorder knows.
    pub(crate) fn expect(&mut self, head: Head) {
        self.head = Some(head);
    }

    /// A bundle begins: says what is wrong with its place in its chain.
    pub(crate) fn begin(&mut self, header: &Header) -> Option<ProblemKind> {
        let known = self.chains.get(&header.chain);
        let (problem, gap) = match known {
            None => (self.first(header), header.number > 0),
            Some(chain) => (self.next(chain, header), header.number != chain.number + 1),
        };
        let next = Chain {
            proxy: header.proxy.clone(),
            first: known.map_or(header.number, |chain| chain.first),
            number: header.number,
            bundle: header.bundle,
            root: None,
            blind: gap || problem.is_some() || known.is_some_and(|chain| chain.blind),
        };
        self.chains.insert(header.chain, next);
        problem
    }

    /// The bundle that began last in its chain was whole: says whether it is not the one that its recorder knows.
    pub(crate) fn end(&mut self, header: &Header, root: Link) -> Option<ProblemKind> {
        if let Some(chain) = self.chains.get_mut(&header.chain) {
            chain.root = Some(root);
        }
        let place = (header.chain, header.number);
        let known = self.head.filter(|head| (head.chain, head.number) == place)?;
        (known.root != root || known.bundle != header.bundle)
            .then_some(ProblemKind::OtherHead { number: known.number, recorded: known.bundle })
    }

    /// Says what is missing at the end, when all bundles were seen.
    pub(crate) fn missing(&self) -> Option<ProblemKind> {
        let Head { chain, number: last, bundle, .. } = self.head?;
        let first = self.chains.get(&chain).map_or(0, |chain| chain.number + 1);
        (first <= last).then_some(ProblemKind::MissingEnd { chain, first, last, bundle })
    }

    /// Something of the chain could not be seen.
    pub(crate) fn blind(&mut self, chain: Uuid) {
        if let Some(chain) = self.chains.get_mut(&chain) {
            chain.blind = true;
        }
    }

    /// Whether exchanges of the chain may have begun out of sight.
    pub(crate) fn is_blind(&self, chain: Uuid) -> bool {
        self.chains.get(&chain).is_none_or(|chain| chain.blind)
    }

    pub(crate) fn into_parts(self) -> Vec<ChainPart> {
        let mut parts: Vec<_> = self
            .chains
            .into_iter()
            .map(|(id, chain)| ChainPart {
                chain: id,
                proxy: chain.proxy,
                first: chain.first,
                last: chain.number,
                root: chain.root,
            })
            .collect();
        parts.sort_by(|a, b| (&a.proxy, a.chain).cmp(&(&b.proxy, b.chain)));
        parts
    }

    fn first(&self, header: &Header) -> Option<ProblemKind> {
        let (previous, _) = header.previous?;
        match self.part {
            Part::AllSince(since) if id_millis(previous) >= since => {
                Some(ProblemKind::Missing { chain: header.chain, last: previous, count: header.number })
            }
            Part::AllSince(_) | Part::Some => None,
        }
    }

    fn next(&self, chain: &Chain, header: &Header) -> Option<ProblemKind> {
        let (previous, root) = header.previous.unwrap_or((Uuid::nil(), Link([0; 32])));
        match header.number.checked_sub(chain.number) {
            None | Some(0) => Some(ProblemKind::Order { number: header.number, after: chain.number }),
            Some(1) => {
                let root_differs = chain.root.is_some_and(|known| known != root);
                (root_differs || chain.bundle != previous).then_some(ProblemKind::OtherPrevious { previous })
            }
            Some(distance) => match self.part {
                Part::AllSince(_) => {
                    Some(ProblemKind::Missing { chain: header.chain, last: previous, count: distance - 1 })
                }
                Part::Some => None,
            },
        }
    }
}
