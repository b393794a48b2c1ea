//! Secrets that are none: the allow patterns of a rule, searched for in what it matched. A text can be made of
//! nothing but matches, each another one, so the automata are built whole: one built as it goes would build
//! states all day.

use std::sync::{Arc, OnceLock};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::{Hir, Look};

use super::compile::{BUILD_BYTES, Dfa, nfa, parse, search_config};

/// The size of one automaton's tables.
const DFA_BYTES: usize = 2 << 20;

/// The allow patterns of a rule, or of several that have the same; built when first asked for.
pub(crate) struct Patterns {
    texts: Vec<String>,
    built: OnceLock<Option<Arc<Allow>>>,
}

impl Patterns {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Self { texts, built: OnceLock::new() }
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// None for no patterns; else the index of a pattern that is wrong, and why.
    pub(super) fn build(&self) -> Result<Option<Arc<Allow>>, (usize, String)> {
        if let Some(built) = self.built.get() {
            return Ok(built.clone());
        }
        let allow = Allow::new(&self.texts)?.map(Arc::new);
        Ok(self.built.get_or_init(|| allow).clone())
    }
}

pub(crate) struct Allow(Vec<Searcher>);

enum Searcher {
    Whole(Box<Dfa>, Anchored),
    /// For patterns whose automaton would be too large.
    Lazy(meta::Regex),
}

impl Allow {
    fn new(patterns: &[String]) -> Result<Option<Self>, (usize, String)> {
        let parsed = patterns
            .iter()
            .enumerate()
            .map(|(index, pattern)| parse(pattern).map_err(|reason| (index, reason)))
            .collect::<Result<Vec<_>, _>>()?;
        // Apart, since the states of the two kinds together are almost the product of both.
        let (anchored, free): (Vec<Hir>, Vec<Hir>) =
            parsed.into_iter().partition(|hir| hir.properties().look_set_prefix().contains(Look::Start));
        let searchers = [(anchored, Anchored::Yes), (free, Anchored::No)]
            .into_iter()
            .filter(|(patterns, _)| !patterns.is_empty())
            .map(|(patterns, anchored)| Searcher::new(&patterns, anchored).map_err(|reason| (0, reason)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((!searchers.is_empty()).then_some(Self(searchers)))
    }

    /// Whether one of the patterns occurs in `secret`.
    pub(super) fn is_match(&self, secret: &[u8]) -> bool {
        self.0.iter().any(|searcher| match searcher {
            Searcher::Whole(dfa, anchored) => is_match(dfa, *anchored, secret),
            Searcher::Lazy(regex) => regex.is_match(secret),
        })
    }
}

impl Searcher {
    fn new(patterns: &[Hir], anchored: Anchored) -> Result<Self, String> {
        let kind = if anchored.is_anchored() { StartKind::Anchored } else { StartKind::Unanchored };
        if let Some(dfa) = whole(patterns, kind) {
            return Ok(Self::Whole(Box::new(dfa), anchored));
        }
        meta::Builder::new()
            .configure(search_config())
            .build_many_from_hir(patterns)
            .map(Self::Lazy)
            .map_err(|error| error.to_string())
    }
}

fn is_match(dfa: &Dfa, anchored: Anchored, secret: &[u8]) -> bool {
    let input = Input::new(secret).anchored(anchored).earliest(true);
    dfa.try_search_fwd(&input).is_ok_and(|end| end.is_some())
}

fn whole(patterns: &[Hir], kind: StartKind) -> Option<Dfa> {
    let nfa = nfa(patterns, false).ok()?;
    let config = dense::Config::new()
        .start_kind(kind)
        .accelerate(false)
        .dfa_size_limit(Some(DFA_BYTES))
        .determinize_size_limit(Some(BUILD_BYTES));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()
}
