//! The secrets that were seen in a session: masked there wherever else they appear.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use lockgate_core::principal::SessionId;
use lockgate_detect::KnownValues;

/// Sessions that are remembered. The one that was quiet for the longest time is forgotten for another.
const SESSIONS: usize = 256;

type Key = (String, SessionId);

/// Values by upstream and session.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<Key, (KnownValues, Instant)>>);

impl Sessions {
    /// The values of a session; those of the gateway itself are among them.
    pub(crate) fn of(&self, upstream: &str, session: &SessionId, own: &KnownValues) -> KnownValues {
        let key = (upstream.to_owned(), session.clone());
        // Each entry is inserted whole.
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !sessions.contains_key(&key) && sessions.len() >= SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, (_, last))| *last).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                sessions.remove(&oldest);
            }
        }
        let now = Instant::now();
        let (values, last) = sessions.entry(key).or_insert_with(|| (KnownValues::within(own), now));
        *last = now;
        values.clone()
    }
}

#[cfg(test)]
mod tests {
    use lockgate_core::principal::Principal;

    use super::*;

    fn session(name: &str) -> SessionId {
        SessionId::derive(&Principal::passthrough(Some(name)), &[])
    }

    #[test]
    fn values_are_of_one_session_of_one_upstream() {
        let (sessions, own) = (Sessions::default(), KnownValues::new());
        sessions.of("prod", &session("a"), &own).add("x", b"hunter2hunter2").unwrap();
        assert_eq!(sessions.of("prod", &session("a"), &own).len(), 1);
        assert_eq!(sessions.of("test", &session("a"), &own).len(), 0);
        assert_eq!(sessions.of("prod", &session("b"), &own).len(), 0);
        own.add("own", b"gateway's own token").unwrap();
        assert_eq!(sessions.of("prod", &session("a"), &own).len(), 2);
    }

    #[test]
    fn the_quietest_session_is_forgotten() {
        let (sessions, own) = (Sessions::default(), KnownValues::new());
        let of = |name: usize| sessions.of("prod", &session(&name.to_string()), &own);
        of(0).add("x", b"hunter2hunter2").unwrap();
        (1..SESSIONS).for_each(|name| drop(of(name)));
        assert_eq!(of(0).len(), 1, "it is used again");
        drop(of(SESSIONS));
        assert_eq!(of(0).len(), 1);
        assert_eq!(sessions.0.lock().unwrap().len(), SESSIONS);
    }
}
