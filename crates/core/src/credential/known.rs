//! The values that were presented, for the mask: as long as they are in use and a while after.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lockgate_detect::{KnownError, KnownValues};
use tokio::time::Instant;

use super::CredentialError;
use crate::secret::Secret;

/// Values at once; those in use are never forgotten.
const MAX: usize = 2048;
/// How long a value is looked for after it can be presented no more.
const AFTER: Duration = Duration::from_hours(1);

/// Known values, of which the old ones are forgotten.
#[derive(Default)]
pub(super) struct Known {
    values: KnownValues,
    /// With the time until which each may be presented; in the order in which they came.
    held: Mutex<Vec<(Secret, Option<Instant>)>>,
}

impl Known {
    pub(super) fn values(&self) -> &KnownValues {
        &self.values
    }

    /// Looks for a value that may be presented until then; for ever without a time.
    pub(super) fn add(&self, secret: &Secret, until: Option<Instant>) -> Result<(), CredentialError> {
        // The list and the set change together, a panic between them is impossible.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, last)) = held.iter_mut().find(|(other, _)| other == secret) {
            *last = last.zip(until).map(|(last, until)| last.max(until));
            return Ok(());
        }
        let now = Instant::now();
        self.forget(&mut held, |until| until + AFTER < now);
        while held.len() >= MAX {
            self.forget_one(&mut held, now)?;
        }
        loop {
            match self.values.add("upstream-credential", secret.expose().as_bytes()) {
                Ok(()) => break,
                Err(error @ KnownError::TooShort) => {
                    tracing::warn!(%error, "an upstream's credential can't be masked");
                    return Ok(());
                }
                Err(KnownError::Full) => self.forget_one(&mut held, now)?,
            }
        }
        held.push((secret.clone(), until));
        Ok(())
    }

    /// A value is presented no more: it makes room for another where there is none left.
    pub(super) fn retire(&self, secret: &Secret) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, Some(until))) = held.iter_mut().find(|(other, _)| other == secret) {
            *until = Instant::now();
        }
    }

    /// Forgets the oldest one that is presented no more.
    fn forget_one(
        &self,
        held: &mut Vec<(Secret, Option<Instant>)>,
        now: Instant,
    ) -> Result<(), CredentialError> {
        let past = |(_, until): &(Secret, Option<Instant>)| until.is_some_and(|until| until <= now);
        let oldest = held.iter().position(past).ok_or(CredentialError::Unmaskable)?;
        self.values.remove(held.remove(oldest).0.expose().as_bytes());
        Ok(())
    }

    fn forget(&self, held: &mut Vec<(Secret, Option<Instant>)>, past: impl Fn(Instant) -> bool) {
        held.retain(|(secret, until)| {
            let keep = !until.is_some_and(&past);
            if !keep {
                self.values.remove(secret.expose().as_bytes());
            }
            keep
        });
    }
}
