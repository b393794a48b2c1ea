//! What a verification found, for programs and for people.

use std::fmt::{self, Display, Formatter};

use object_store::path::Path;
use uuid::Uuid;

use crate::{
    archive::ExchangeFault,
    format::{chain::Link, fault::Fault},
};

/// So many problems are kept; more are only counted.
const PROBLEMS_MAX: usize = 1000;
/// So many entries of a list are printed.
const PRINTED_MAX: usize = 50;

/// What was checked and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a report may say that the recording is damaged"]
pub struct Report {
    /// What was to be checked.
    pub scope: String,
    /// How many bundles were read.
    pub bundles: u64,
    /// How many chunks of them were good.
    pub chunks: u64,
    /// How many records were in these.
    pub records: u64,
    /// The size of the bundles.
    pub bytes: u64,
    /// How many exchanges are there from beginning to end, with the octets that were recorded.
    pub complete: u64,
    /// Exchanges that have no end in what was checked.
    pub incomplete: Vec<Incomplete>,
    /// How many exchanges could not be checked, because they begin outside of what was checked, or are wrong.
    pub unchecked: u64,
    /// How many exchanges are there from beginning to end, but for octets that stand in bundles that were not looked at.
    pub repeating: u64,
    /// Bundles that were sealed after a crash.
    pub recovered: Vec<RecoveredSeal>,
    /// The chains that the bundles are part of.
    pub chains: Vec<ChainPart>,
    /// What is wrong. Empty means intact.
    pub problems: Vec<Problem>,
    /// How many more problems there are.
    pub more_problems: u64,
}

/// An exchange without an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Its id.
    pub exchange: Uuid,
    /// Its session.
    pub session: String,
    /// The last bundle that has something of it.
    pub last_bundle: Uuid,
}

/// A bundle that was sealed after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredSeal {
    /// Its id.
    pub bundle: Uuid,
    /// How many bytes were cut off its end.
    pub cut_bytes: u64,
}

/// What was seen of a chain of bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPart {
    /// Its id.
    pub chain: Uuid,
    /// The proxy that recorded.
    pub proxy: String,
    /// The number of the first bundle seen.
    pub first: u64,
    /// The number of the last bundle seen.
    pub last: u64,
    /// The root of the last bundle seen, unless that is damaged. Kept elsewhere, it proves later that nothing up to
    /// there was changed.
    pub root: Option<Link>,
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In which bundle.
    pub bundle: Option<Uuid>,
    /// In which exchange.
    pub exchange: Option<Uuid>,
    /// What.
    pub kind: ProblemKind,
}

/// The ways in which recordings can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// A bundle is damaged.
    #[error("{0}")]
    Bundle(Fault),
    /// An exchange is not what its bundle says.
    #[error("{0}")]
    Exchange(ExchangeFault),
    /// A bundle stands under the name of another.
    #[error("stands under the name of bundle {named}")]
    OtherName {
        /// The bundle whose name it has.
        named: Uuid,
    },
    /// A bundle that is named somewhere is not in the store.
    #[error("is not in the store")]
    NotThere,
    /// Bundles of a chain are missing.
    #[error("missing before it in chain {chain}: {count}, the last of them {last}")]
    Missing {
        /// The chain.
        chain: Uuid,
        /// The last one that is missing.
        last: Uuid,
        /// How many.
        count: u64,
    },
    /// The last bundles of a chain are missing that its recorder has brought to the store.
    #[error("missing at the end of chain {chain}: bundles {first} to {last}, the last of them {bundle}")]
    MissingEnd {
        /// The chain.
        chain: Uuid,
        /// The number of the first one that is missing.
        first: u64,
        /// The number of the last one.
        last: u64,
        /// The last one.
        bundle: Uuid,
    },
    /// The chain was replaced: it is not the one that its recorder has written.
    #[error("is number {number} of its chain, where its recorder has written another: bundle {recorded}")]
    OtherHead {
        /// The number.
        number: u64,
        /// The bundle that the recorder has written.
        recorded: Uuid,
    },
    /// There is nothing to verify: the store is not the right one, or was emptied.
    #[error("there is no bundle here")]
    NoBundle,
    /// Nothing of the session is there.
    #[error("there is no exchange of session {session} here")]
    NoExchange {
        /// The session.
        session: String,
    },
    /// Bundles of a chain do not stand in order, or there are two with one number.
    #[error("is number {number} of its chain, but follows number {after}")]
    Order {
        /// The number of this one.
        number: u64,
        /// The number of the one before.
        after: u64,
    },
    /// The bundle before this one is not the one it was written after.
    #[error("was written after another bundle {previous} than the one that is there")]
    OtherPrevious {
        /// The bundle that it names.
        previous: Uuid,
    },
    /// There is something in the folder of the bundles that is no bundle.
    #[error("{0} is no bundle")]
    Stranger(Path),
}

impl Report {
    /// Whether nothing is wrong. Exchanges may be incomplete all the same.
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn add(&mut self, bundle: Option<Uuid>, exchange: Option<Uuid>, kind: ProblemKind) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { bundle, exchange, kind });
        } else {
            self.more_problems += 1;
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { scope, bundles, chunks, records, bytes, .. } = self;
        writeln!(
            f,
            "checked     {scope}: bundles {bundles}, chunks {chunks}, records {records}, bytes {bytes}"
        )?;
        for chain in &self.chains {
            writeln!(f, "chain       {chain}")?;
        }
        let (complete, incomplete, unchecked) = (self.complete, self.incomplete.len(), self.unchecked);
        writeln!(f, "exchanges   complete {complete}, incomplete {incomplete}, not checked {unchecked}")?;
        if self.repeating > 0 {
            let repeating = self.repeating;
            writeln!(
                f,
                "repeating   {repeating} complete but for octets in bundles that were not looked at"
            )?;
        }
        list(f, "incomplete", &self.incomplete, self.incomplete.len() as u64)?;
        list(f, "recovered", &self.recovered, self.recovered.len() as u64)?;
        list(f, "WRONG", &self.problems, self.problems.len() as u64 + self.more_problems)?;
        write!(f, "result      {}", if self.is_intact() { "intact" } else { "DAMAGED" })
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, title: &str, items: &[T], count: u64) -> fmt::Result {
    for item in items.iter().take(PRINTED_MAX) {
        writeln!(f, "{title:<12}{item}")?;
    }
    match count.saturating_sub(PRINTED_MAX as u64) {
        0 => Ok(()),
        more => writeln!(f, "{title:<12}and {more} more"),
    }
}

impl Display for ChainPart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of proxy {}: bundles {} to {}", self.chain, self.proxy, self.first, self.last)?;
        match self.root {
            Some(root) => write!(f, ", root {root}"),
            None => Ok(()),
        }
    }
}

impl Display for Incomplete {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exchange {} of session {}: no end, last seen in bundle {}",
            self.exchange, self.session, self.last_bundle
        )
    }
}

impl Display for RecoveredSeal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bundle {}: sealed after a crash, {} bytes of an unfinished write cut off",
            self.bundle, self.cut_bytes
        )
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(bundle) = self.bundle {
            write!(f, "bundle {bundle}: ")?;
        }
        if let Some(exchange) = self.exchange {
            write!(f, "exchange {exchange}: ")?;
        }
        write!(f, "{}", self.kind)
    }
}
