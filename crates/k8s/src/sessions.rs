//! The secrets that were seen in a session: masked there wherever else they appear.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use lockgate_core::{
    principal::{Principal, SessionId},
    protocol::Context,
};
use lockgate_detect::KnownValues;

/// Sessions that are remembered. For another, one is forgotten: the one that was quiet for the longest time, of those
/// who have the most.
const SESSIONS: usize = 256;
/// Sessions of one principal that are remembered, so that nobody's many sessions are a burden to others.
const OF_PRINCIPAL: usize = 32;

/// Whose session it is, before which upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    upstream: String,
    issuer: String,
    subject: String,
    session: SessionId,
}

impl Owner {
    /// Of a request.
    pub(crate) fn of(context: Context<'_>) -> Self {
        Self::new(&context.upstream.name, context.principal, context.session)
    }

    fn new(upstream: &str, principal: &Principal, session: &SessionId) -> Self {
        let Principal { issuer, subject, .. } = principal;
        Self {
            upstream: upstream.to_owned(),
            issuer: issuer.clone(),
            subject: subject.clone(),
            session: session.clone(),
        }
    }

    fn principal(&self) -> (&str, &str) {
        (&self.issuer, &self.subject)
    }
}

/// Values by session. A session that is forgotten is as a new one, which has seen nothing: what stands in its place
/// is masked, and copies of it once it is seen again.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Owner, (KnownValues, Instant)>>);

impl Sessions {
    /// The values of a session; those of the gateway itself are among them.
    pub(crate) fn of(&self, owner: &Owner, own: &KnownValues) -> KnownValues {
        // Each entry is inserted whole.
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !sessions.contains_key(owner)
            && let Some(forgotten) = forgotten(&sessions, owner)
        {
            sessions.remove(&forgotten);
        }
        let now = Instant::now();
        let (values, last) = sessions.entry(owner.clone()).or_insert_with(|| (KnownValues::within(own), now));
        *last = now;
        values.clone()
    }
}

/// Which session is forgotten for one of `owner`, if one must be.
fn forgotten(sessions: &HashMap<Owner, (KnownValues, Instant)>, owner: &Owner) -> Option<Owner> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for owner in sessions.keys() {
        *counts.entry(owner.principal()).or_default() += 1;
    }
    let own = counts.get(&owner.principal()).copied().unwrap_or_default();
    let most = counts.values().copied().max().unwrap_or_default();
    let is_full = sessions.len() >= SESSIONS;
    let candidates = sessions.iter().filter(|(other, _)| {
        if own >= OF_PRINCIPAL || is_full && own == most {
            other.principal() == owner.principal()
        } else {
            is_full && counts[&other.principal()] == most
        }
    });
    candidates.min_by_key(|(_, (_, last))| *last).map(|(owner, _)| owner.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(upstream: &str, subject: &str, session: &str) -> Owner {
        let session = SessionId::derive(&Principal::passthrough(Some(session)), &[]);
        Owner::new(upstream, &Principal::passthrough(Some(subject)), &session)
    }

    #[test]
    fn values_are_of_one_session_of_one_upstream() {
        let (sessions, own) = (Sessions::default(), KnownValues::new());
        let count = |upstream: &str, session: &str| sessions.of(&owner(upstream, "ada", session), &own).len();
        sessions.of(&owner("prod", "ada", "a"), &own).add("x", b"hunter2hunter2").unwrap();
        assert_eq!((count("prod", "a"), count("test", "a"), count("prod", "b")), (1, 0, 0));
        assert_eq!(sessions.of(&owner("prod", "bob", "a"), &own).len(), 0);
        own.add("own", b"gateway's own token").unwrap();
        assert_eq!(count("prod", "a"), 2);
    }

    #[test]
    fn the_quietest_session_is_forgotten() {
        let (sessions, own) = (Sessions::default(), KnownValues::new());
        let of = |name: usize| sessions.of(&owner("prod", &name.to_string(), "one"), &own);
        of(0).add("x", b"hunter2hunter2").unwrap();
        (1..SESSIONS).for_each(|name| drop(of(name)));
        assert_eq!(of(0).len(), 1, "it is used again");
        drop(of(SESSIONS));
        assert_eq!(of(0).len(), 1);
        assert_eq!(sessions.0.lock().unwrap().len(), SESSIONS);
    }

    #[test]
    fn who_has_many_sessions_forgets_their_own() {
        let (sessions, own) = (Sessions::default(), KnownValues::new());
        let of =
            |subject: &str, session: usize| sessions.of(&owner("prod", subject, &session.to_string()), &own);
        let learn = |values: KnownValues| values.add("x", b"hunter2hunter2").unwrap();
        learn(of("ada", 0));
        (0..2 * SESSIONS).for_each(|session| learn(of("bob", session)));
        assert_eq!(of("ada", 0).len(), 1);
        assert_eq!(of("bob", 2 * SESSIONS - OF_PRINCIPAL).len(), 1);
        assert_eq!(sessions.0.lock().unwrap().len(), 1 + OF_PRINCIPAL);
        // Others fill what is left: those who have the most make room, and not those who have one.
        for subject in 0..SESSIONS {
            (0..2).for_each(|session| learn(of(&format!("other-{subject}"), session)));
            assert_eq!(of("ada", 0).len(), 1, "{subject}");
        }
        assert_eq!(sessions.0.lock().unwrap().len(), SESSIONS);
    }
}
