//! From a pattern to what the engine runs: the quads a match begins with, an automaton for what leads to
//! the secret, and one for the secret itself.
//!
//! The pattern `(?i)password\s*[:=]\s*(?P<secret>\S{8,64})` is cut at its secret group. What stands before
//! it (the lead) is matched to its longest end, then the secret (the body) from there, also to its longest
//! end. Because the secret's beginning is known before any of it is seen, nothing before it is held back.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind, meta};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Capture, Hir, HirKind, Look};

use super::Class;
use super::allow::{Allow, Patterns};
use super::chain::Chains;
use super::check::Check;
use super::end::End;
use super::opening::openings;
use crate::filter::{Follow, Quad};

/// An automaton that is only ever entered at the place where a match must begin.
pub(crate) type Dfa = dense::DFA<Vec<u32>>;

/// A body that has not matched after this many bytes is not a secret; one that has is masked from then on
/// without being kept.
pub(crate) const MAX_HOLD: usize = 8 * 1024;

/// Limits for one automaton: its tables, and the work of building it.
const DFA_BYTES: usize = 1 << 20;
pub(super) const BUILD_BYTES: usize = 4 << 20;

/// What the TOML file says of a rule, in plain types.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub id: String,
    pub description: String,
    pub source: Option<String>,
    pub class: Class,
    pub pattern: String,
    pub before: Option<String>,
    pub entropy: Option<f32>,
    pub allow: Vec<String>,
    pub check: Option<Check>,
    pub true_samples: Vec<String>,
    pub false_samples: Vec<String>,
}

/// One rule, ready to run.
pub(crate) struct Rule {
    pub id: Arc<str>,
    pub description: String,
    pub source: Option<String>,
    pub class: Class,
    pub pattern: String,
    pub entropy: Option<f32>,
    pub check: Option<Check>,
    pub true_samples: Vec<String>,
    pub false_samples: Vec<String>,
    /// The four bytes that a match can begin with, and what can follow each.
    pub openings: Vec<(Quad, Follow)>,
    /// Whether every match begins at the edge of a word.
    begins_word: bool,
    /// The least length of a secret.
    pub min_len: usize,
    before: Option<String>,
    allow: Arc<Patterns>,
    cut: Cut,
    program: OnceLock<Program>,
}

/// The compiled parts of a rule.
pub(crate) struct Program {
    /// Matches what stands before the secret; none if the secret begins the match.
    pub lead: Option<Lead>,
    /// Matches the secret, and after it whatever the pattern still asks for.
    pub body: Dfa,
    /// The chains of `body`.
    pub chains: Chains,
    /// For each of the rule's openings, the state after its four bytes, of the lead or else the body: none where that
    /// depends on what stands before, or if something has happened within them.
    pub entries: Box<[Option<StateID>]>,
    /// Finds the end of the secret where the pattern takes bytes after it.
    pub end: Option<End>,
    /// Matches, backwards, what must stand before the match.
    pub before: Option<Dfa>,
    /// Secrets that are none.
    pub allow: Option<Arc<Allow>>,
}

/// The automaton of a lead.
pub(crate) struct Lead {
    pub dfa: Dfa,
    pub chains: Chains,
    /// The state that no byte of a word leaves, as after the name in `name[\w.-]*=`: there most leads spend
    /// most of their time, and many of them the same stretch of a text.
    pub rest: Option<StateID>,
}

/// Which key of a rule is wrong, and why.
#[derive(Debug)]
pub(crate) struct Fault {
    pub field: Field,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Pattern,
    Before,
    Allow(usize),
}

impl Rule {
    pub(crate) fn new(spec: Spec) -> Result<Self, Fault> {
        let in_pattern = |reason| Fault { field: Field::Pattern, reason };
        let hir = parse(&spec.pattern).map_err(in_pattern)?;
        let openings = nfa(&[&hir], false).and_then(|nfa| openings(&hir, &nfa)).map_err(in_pattern)?;
        let cut = Cut::new(&hir).map_err(in_pattern)?;
        let min_len = cut.secret.properties().minimum_len().unwrap_or(0);
        if min_len == 0 {
            return Err(in_pattern("the secret can be empty".into()));
        }
        if min_len > MAX_HOLD / 2 {
            return Err(in_pattern(format!(
                "the secret has at least {min_len} bytes; {} are held at most",
                MAX_HOLD / 2
            )));
        }
        Ok(Self {
            id: spec.id.into(),
            description: spec.description,
            source: spec.source,
            class: spec.class,
            pattern: spec.pattern,
            entropy: spec.entropy,
            check: spec.check,
            true_samples: spec.true_samples,
            false_samples: spec.false_samples,
            openings,
            begins_word: hir.properties().look_set_prefix().contains(Look::WordAscii),
            min_len,
            before: spec.before,
            allow: Arc::new(Patterns::new(spec.allow)),
            cut,
            program: OnceLock::new(),
        })
    }

    /// Shares its allow patterns with rules before it that have the same: their automata are the largest.
    pub(super) fn share_allow(&mut self, known: &mut HashMap<Vec<String>, Arc<Patterns>>) {
        let texts = self.allow.texts().to_vec();
        self.allow = Arc::clone(known.entry(texts).or_insert_with(|| Arc::clone(&self.allow)));
    }

    /// The automata, built when first asked for.
    #[inline]
    pub(crate) fn program(&self) -> &Program {
        self.program.get_or_init(|| {
            self.compile()
                .expect("a rule's program was built once when it was loaded, or is built by the tests")
        })
    }

    /// Builds the program and keeps it; what explodes is found here.
    pub(crate) fn try_program(&self) -> Result<&Program, Fault> {
        if self.program.get().is_none() {
            let program = self.compile()?;
            return Ok(self.program.get_or_init(|| program));
        }
        Ok(self.program())
    }

    /// Whether a match that begins with `quad` begins a word, so that nothing of a word can stand before.
    pub(crate) fn is_at_word(&self, quad: Quad) -> bool {
        self.begins_word && quad.at(0).iter().all(|&byte| is_word_byte(byte))
    }

    /// Whether the secret may begin within the match's first four bytes, which are held back before they are known.
    pub(crate) fn holds_from_start(&self) -> bool {
        self.cut.lead.as_ref().is_none_or(|lead| lead.properties().minimum_len().is_none_or(|len| len < 4))
    }

    /// Whether the first bytes alone tell that a secret has begun, so that no pause releases them.
    pub(crate) fn is_distinctive(&self) -> bool {
        matches!(self.class, Class::Token | Class::Key)
    }

    fn compile(&self) -> Result<Program, Fault> {
        let in_pattern = |reason| Fault { field: Field::Pattern, reason };
        let body = automaton(&self.cut.body).map_err(in_pattern)?;
        let chains = Chains::new(&body);
        let lead = self.cut.lead.as_ref().map(Lead::new).transpose().map_err(in_pattern)?;
        let (first, first_chains) = lead.as_ref().map_or((&body, &chains), |lead| (&lead.dfa, &lead.chains));
        let starts = [false, true].map(|at_word| starts(first, at_word));
        let enter = |&(quad, _): &(Quad, Follow)| {
            entry(first, first_chains, &starts[usize::from(self.is_at_word(quad))], quad)
        };
        Ok(Program {
            entries: self.openings.iter().map(enter).collect(),
            lead,
            chains,
            body,
            end: self.cut.end().transpose().map_err(in_pattern)?,
            before: self
                .before
                .as_ref()
                .map(|pattern| parse(pattern).and_then(|hir| build(&hir, true)))
                .transpose()
                .map_err(|reason| Fault { field: Field::Before, reason })?,
            allow: self
                .allow
                .build()
                .map_err(|(index, reason)| Fault { field: Field::Allow(index), reason })?,
        })
    }
}

impl Lead {
    fn new(hir: &Hir) -> Result<Self, String> {
        let dfa = automaton(hir)?;
        let chains = Chains::new(&dfa);
        let rest = resting_state(&dfa).map(|state| chains.name(state));
        Ok(Self { dfa, chains, rest })
    }
}

/// A pattern cut at its secret group.
struct Cut {
    lead: Option<Hir>,
    secret: Hir,
    body: Hir,
    /// What stands after the secret, where that takes bytes.
    after: Option<Hir>,
}

impl Cut {
    fn new(hir: &Hir) -> Result<Self, String> {
        let parts = match hir.kind() {
            HirKind::Concat(parts) => parts.clone(),
            HirKind::Empty
            | HirKind::Literal(_)
            | HirKind::Class(_)
            | HirKind::Look(_)
            | HirKind::Repetition(_)
            | HirKind::Capture(_)
            | HirKind::Alternation(_) => vec![hir.clone()],
        };
        let Some((at, group)) = secret_group(&parts) else {
            if hir.properties().explicit_captures_len() > 0 {
                return Err(
                    "the secret group must not stand inside of another group or an alternation".into()
                );
            }
            return Ok(Self { lead: None, secret: hir.clone(), body: hir.clone(), after: None });
        };
        let secret = (*group.sub).clone();
        let (before, after) = (Hir::concat(parts[..at].to_vec()), Hir::concat(parts[at + 1..].to_vec()));
        let takes = |part: &Hir| part.properties().maximum_len() != Some(0);
        let lead = takes(&before).then(|| before.clone());
        let look = if takes(&before) { Hir::empty() } else { before };
        let body = Hir::concat(vec![look, secret.clone(), after.clone()]);
        let after = Some(after).filter(takes);
        Ok(Self { lead, secret, body, after })
    }

    fn end(&self) -> Option<Result<End, String>> {
        self.after.as_ref().map(|after| {
            let group = Hir::capture(Capture { index: 1, name: None, sub: Box::new(self.secret.clone()) });
            End::new(&self.secret, after, &Hir::concat(vec![group, after.clone()]))
        })
    }
}

/// The group named `secret`, or else the first group.
fn secret_group(parts: &[Hir]) -> Option<(usize, &Capture)> {
    let mut groups = parts.iter().enumerate().filter_map(|(at, part)| match part.kind() {
        HirKind::Capture(group) => Some((at, group)),
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Concat(_)
        | HirKind::Alternation(_) => None,
    });
    let first = groups.next()?;
    let named = |group: &Capture| group.name.as_deref() == Some("secret");
    if named(first.1) { Some(first) } else { groups.find(|(_, group)| named(group)).or(Some(first)) }
}

/// ASCII semantics: `\w`, `\d`, `\s`, `\b` and `(?i)` know nothing of Unicode.
pub(super) fn parse(pattern: &str) -> Result<Hir, String> {
    let parsed = ParserBuilder::new().unicode(false).utf8(false).nest_limit(50).build().parse(pattern);
    parsed.map_err(|error| match error {
        regex_syntax::Error::Parse(error) => {
            format!("{} at byte {}", error.kind(), error.span().start.offset)
        }
        regex_syntax::Error::Translate(error) => {
            format!("{} at byte {}", error.kind(), error.span().start.offset)
        }
        other => other.to_string(),
    })
}

/// Whether `byte` is of a word as `\b` sees it.
#[inline]
pub(crate) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether no [`Lead::rest`] is left by `byte`.
#[inline]
pub(crate) fn is_of_word(byte: u8) -> bool {
    is_word_byte(byte) || byte == b'-'
}

/// The states that a match can begin in, whatever stands before, or with nothing of a word there.
pub(super) fn starts(dfa: &Dfa, at_word: bool) -> BTreeSet<StateID> {
    let behind = (0..=u8::MAX).filter(|&byte| !(at_word && is_word_byte(byte))).map(Some).chain([None]);
    let start =
        |behind| dfa.start_state(&start::Config::new().anchored(Anchored::Yes).look_behind(behind)).ok();
    behind.filter_map(start).collect()
}

/// The one state that `quad` leads to from each of `starts`, in each of its variants.
fn entry(dfa: &Dfa, chains: &Chains, starts: &BTreeSet<StateID>, quad: Quad) -> Option<StateID> {
    let mut entry = None;
    for (start, bytes) in starts.iter().flat_map(|&start| quad.variants().map(move |bytes| (start, bytes))) {
        let state = bytes.iter().try_fold(start, |state, &byte| {
            Some(dfa.next_state(state, byte)).filter(|&next| !dfa.is_special_state(next))
        });
        let state = chains.name(state?);
        if *entry.get_or_insert(state) != state {
            return None;
        }
    }
    entry
}

fn resting_state(dfa: &Dfa) -> Option<StateID> {
    let word: Vec<u8> = (0..=u8::MAX).filter(|&byte| is_of_word(byte)).collect();
    let bytes: Vec<u8> = dfa.byte_classes().representatives(..).filter_map(|unit| unit.as_u8()).collect();
    let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
    let (mut open, mut seen) = (vec![start], BTreeSet::from([start]));
    while let Some(state) = open.pop() {
        if !dfa.is_special_state(state) && word.iter().all(|&byte| dfa.next_state(state, byte) == state) {
            return Some(state);
        }
        open.extend(bytes.iter().map(|&byte| dfa.next_state(state, byte)).filter(|&next| seen.insert(next)));
    }
    None
}

pub(super) fn automaton(hir: &Hir) -> Result<Dfa, String> {
    build(hir, false)
}

fn build(hir: &Hir, reverse: bool) -> Result<Dfa, String> {
    let nfa = nfa(&[hir], reverse)?;
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .match_kind(MatchKind::All)
        .accelerate(false)
        .dfa_size_limit(Some(DFA_BYTES))
        .determinize_size_limit(Some(BUILD_BYTES));
    dense::Builder::new()
        .configure(config)
        .build_from_nfa(&nfa)
        .map_err(|_| format!("the pattern needs an automaton of more than {} KiB", DFA_BYTES >> 10))
}

/// An automaton of all of them.
pub(super) fn nfa<H: Borrow<Hir>>(hirs: &[H], reverse: bool) -> Result<NFA, String> {
    thompson::Compiler::new()
        .configure(
            thompson::Config::new()
                .utf8(false)
                .reverse(reverse)
                .which_captures(WhichCaptures::None)
                .nfa_size_limit(Some(BUILD_BYTES)),
        )
        .build_many_from_hir(hirs)
        .map_err(|error| format!("the pattern is too large: {error}"))
}

pub(super) fn search_config() -> meta::Config {
    meta::Config::new().utf8_empty(false).nfa_size_limit(Some(BUILD_BYTES)).hybrid_cache_capacity(1 << 18)
}

pub(super) fn search_hir(hir: &Hir) -> Result<meta::Regex, String> {
    meta::Builder::new().configure(search_config()).build_from_hir(hir).map_err(|error| error.to_string())
}
