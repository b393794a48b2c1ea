//! Verification of what is in a store.

use std::collections::BTreeSet;

use futures::StreamExt;
use uuid::Uuid;

use super::{Part, ProblemKind, Report, Verifier};
use crate::{
    archive::{Archive, Listed, ReadError, TimeRange},
    recorder::{Head, Location},
};

/// What is to be verified.
#[derive(Clone, Debug)]
pub enum Scope {
    /// One bundle by itself.
    Bundle(Uuid),
    /// One exchange, and the bundles that it lies in.
    Exchange {
        /// Its id.
        exchange: Uuid,
        /// Where it lies. Without it, it is [looked for](Archive::find).
        location: Option<Location>,
    },
    /// The exchanges of a session in bundles of a time range, and these bundles. Their indexes are believed when
    /// they say that they hold nothing of the session.
    Session {
        /// Its id.
        session: String,
        /// When its bundles were opened.
        range: TimeRange,
    },
    /// All bundles of a time range, and that none is missing between its beginning and the last one that is there.
    /// A retention time that has run out is told by a range that begins after it.
    All(TimeRange),
}

impl Archive {
    /// Verifies part or all of the archive.
    ///
    /// What is not covered: bundles that are removed behind the last one of a chain (see
    /// [`verify_up_to`](Self::verify_up_to)), and a recorder that lies before it writes.
    ///
    /// # Errors
    /// When the store cannot be read, or the exchange is not to be found. What is wrong with the recordings stands
    /// in the report.
    pub async fn verify(&self, scope: &Scope) -> Result<Report, ReadError> {
        match scope {
            Scope::Bundle(bundle) => {
                let verifier = Verifier::new(format!("bundle {bundle}"), Part::Some);
                self.verify_some(verifier, [*bundle]).await
            }
            Scope::Exchange { exchange, location } => {
                let bundles = self.locate(*exchange, location.as_ref()).await?;
                let mut verifier = Verifier::new(format!("exchange {exchange}"), Part::Some);
                verifier.only([*exchange]);
                self.verify_some(verifier, bundles).await
            }
            Scope::Session { session, range } => {
                let found = self.session(session, *range).await?;
                let mut verifier = Verifier::new(format!("session {session}"), Part::Some);
                if found.exchanges.is_empty() {
                    verifier.problem(ProblemKind::NoExchange { session: session.clone() });
                }
                verifier.only(found.exchanges.iter().map(|(exchange, _)| *exchange));
                let bundles = found.exchanges.into_iter().flat_map(|(_, bundles)| bundles);
                let bundles: BTreeSet<Uuid> = bundles.chain(found.damaged).collect();
                self.verify_some(verifier, bundles).await
            }
            Scope::All(range) => self.verify_all(*range, None).await,
        }
    }

    /// Verifies all of the archive, and that one of its chains reaches as far as its recorder knows. The head must be
    /// read before: what is recorded meanwhile comes behind it.
    ///
    /// # Errors
    /// When the store cannot be read. What is wrong with the recordings stands in the report.
    pub async fn verify_up_to(&self, head: Head) -> Result<Report, ReadError> {
        self.verify_all(TimeRange::ALL, Some(head)).await
    }

    async fn verify_some(
        &self,
        mut verifier: Verifier,
        bundles: impl IntoIterator<Item = Uuid>,
    ) -> Result<Report, ReadError> {
        for bundle in bundles {
            self.feed(&mut verifier, bundle).await?;
        }
        self.verify_repeats(&mut verifier).await?;
        Ok(verifier.finish())
    }

    async fn verify_all(&self, range: TimeRange, head: Option<Head>) -> Result<Report, ReadError> {
        let mut verifier = Verifier::new("archive", Part::AllSince(*range.millis().start()));
        if let Some(head) = head {
            verifier.expect(head);
        }
        let mut listing = self.list(range);
        while let Some(listed) = listing.next().await? {
            match listed {
                Listed::Bundle(listed) => self.feed(&mut verifier, listed.bundle).await?,
                Listed::Stranger(path) => verifier.problem(ProblemKind::Stranger(path)),
            }
        }
        self.verify_repeats(&mut verifier).await?;
        verifier.not_empty();
        Ok(verifier.finish())
    }

    /// Reads the exchanges whose octets stand elsewhere in part.
    async fn verify_repeats(&self, verifier: &mut Verifier) -> Result<(), ReadError> {
        for (exchange, bundles) in verifier.take_repeating() {
            let problem = match self.read_through(exchange, bundles).await {
                Ok(()) => None,
                Err(ReadError::Damaged { bundle, fault }) => Some((bundle, ProblemKind::Bundle(fault))),
                Err(ReadError::Exchange { bundle, fault, .. }) => {
                    Some((bundle, ProblemKind::Exchange(fault)))
                }
                Err(ReadError::NotFound(bundle)) => Some((bundle, ProblemKind::NotThere)),
                Err(error @ (ReadError::Store(_) | ReadError::Spool(_))) => return Err(error),
            };
            verifier.repeated(exchange, problem);
        }
        Ok(())
    }

    async fn read_through(&self, exchange: Uuid, bundles: Vec<Uuid>) -> Result<(), ReadError> {
        let mut reader = self.exchange(exchange, Some(&Location { bundles })).await?;
        while reader.next().await?.is_some() {}
        Ok(())
    }

    async fn feed(&self, verifier: &mut Verifier, bundle: Uuid) -> Result<(), ReadError> {
        let mut octets = match self.open(bundle).await {
            Ok(octets) => octets,
            Err(ReadError::NotFound(_)) => {
                verifier.not_there(bundle);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        verifier.begin(Some(bundle));
        while let Some(piece) = octets.next().await {
            verifier.feed(&piece?);
        }
        verifier.end();
        Ok(())
    }
}
