//! Tickets: what the upstream gave for one transfer, sealed, in the client's hands.
//!
//! The upstream's address and headers are credentials that no client may see, and the transfer comes
//! later than the batch, perhaps to another proxy. So the gateway keeps nothing: it seals them
//! (AES-256-GCM-SIV, whose nonces may be random also where one key lives long) into a ticket that the
//! client sends along as a header. The ticket is bound to principal, upstream, repository, operation and
//! object: none of that is in it, all of it must be the same for it to open. It is bounded in size and
//! time, and worth nothing without the principal's own credential.
//!
//! Proxies that take each other's tickets share the key; by default it is of one process.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use lockgate_core::principal::Principal;
use serde::{Deserialize, Serialize};

use super::{oid::LfsOid, route::Transfer};

/// A key that tickets are sealed with. `Debug` shows nothing.
#[derive(Clone)]
pub struct TicketKey([u8; 32]);

impl From<[u8; 32]> for TicketKey {
    fn from(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(..)")
    }
}

/// What a ticket is good for.
#[derive(Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) principal: &'a Principal,
    pub(super) upstream: &'a str,
    pub(super) repository: &'a str,
    pub(super) transfer: Transfer,
    pub(super) oid: LfsOid,
}

impl Purpose<'_> {
    fn bytes(&self) -> Vec<u8> {
        let oid = self.oid.to_string();
        let (issuer, subject) = (&*self.principal.issuer, &*self.principal.subject);
        let parts = [issuer, subject, self.upstream, self.repository, self.transfer.word(), &oid];
        // The length first, so that ("ab", "c") and ("a", "bc") differ.
        let parts =
            parts.into_iter().flat_map(|part| [&(part.len() as u64).to_be_bytes(), part.as_bytes()].concat());
        b"lockgate lfs ticket 1".iter().copied().chain(parts).collect()
    }
}

/// What a ticket holds.
#[derive(Clone)]
pub(super) struct Grant {
    /// Where the upstream takes or gives the object.
    pub(super) url: Uri,
    /// The headers that it wants to see there.
    pub(super) headers: HeaderMap,
    /// The object's bytes.
    pub(super) size: u64,
    /// Until when, in seconds since 1970.
    pub(super) expires: i64,
    /// Whether the upstream said that no other credential is needed.
    pub(super) authenticated: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    url: String,
    headers: Vec<(String, String)>,
    size: u64,
    expires: i64,
    authenticated: bool,
}

/// The client's fault: it has no ticket for this, or had one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum TicketError {
    /// Made up, altered, or for something or somebody else; or of a process that is gone.
    #[error("this transfer was not offered to you by this gateway; ask for it in a batch")]
    Unknown,
    /// Its time is over.
    #[error("the time for this transfer is over; ask for it again in a batch")]
    Expired,
}

/// Seals and opens tickets.
pub(super) struct Tickets {
    key: RandomizedNonceKey,
    longest: usize,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(..)")
    }
}

impl Tickets {
    /// With this key, or one of this process alone; no ticket is longer than `longest` characters.
    pub(super) fn new(key: Option<&TicketKey>, longest: usize) -> Self {
        let key = match key {
            Some(TicketKey(key)) => *key,
            None => {
                let mut key = [0; 32];
                rand::fill(&mut key).expect("the system has random bytes, or nothing can be secured");
                key
            }
        };
        let key =
            RandomizedNonceKey::new(&AES_256_GCM_SIV, &key).expect("the key has the algorithm's length");
        Self { key, longest }
    }

    /// A ticket; `None` where it would be too long for a header.
    pub(super) fn seal(&self, purpose: &Purpose<'_>, grant: &Grant) -> Option<String> {
        let headers = grant
            .headers
            .iter()
            .map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        let written = Written {
            url: grant.url.to_string(),
            headers: headers.collect::<Option<_>>()?,
            size: grant.size,
            expires: grant.expires,
            authenticated: grant.authenticated,
        };
        let mut sealed = serde_json::to_vec(&written).ok()?;
        let nonce = self.key.seal_in_place_append_tag(Aad::from(purpose.bytes()), &mut sealed).ok()?;
        let ticket = URL_SAFE_NO_PAD.encode([nonce.as_ref(), &*sealed].concat());
        (ticket.len() <= self.longest).then_some(ticket)
    }

    /// What a ticket holds.
    pub(super) fn open(&self, purpose: &Purpose<'_>, ticket: &str, now: i64) -> Result<Grant, TicketError> {
        let grant = self.read(purpose, ticket).ok_or(TicketError::Unknown)?;
        if grant.expires <= now { Err(TicketError::Expired) } else { Ok(grant) }
    }

    fn read(&self, purpose: &Purpose<'_>, ticket: &str) -> Option<Grant> {
        if ticket.len() > self.longest {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(ticket).ok()?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = self.key.open_in_place(nonce, Aad::from(purpose.bytes()), &mut sealed).ok()?;
        let written: Written = serde_json::from_slice(opened).ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &written.headers {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            headers.append(name.parse::<HeaderName>().ok()?, value);
        }
        let Written { size, expires, authenticated, .. } = written;
        Some(Grant { url: written.url.parse().ok()?, headers, size, expires, authenticated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        let headers = [("authorization", "Bearer upstream"), ("x-a", "1"), ("x-a", "2")];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        Grant {
            url: "https://storage.example/a?sig=secret".parse().unwrap(),
            headers: headers.into_iter().collect(),
            size: 7,
            expires: 1000,
            authenticated: true,
        }
    }

    #[test]
    fn opens_for_what_it_was_sealed_for_alone() {
        let (ada, bob) = (Principal::passthrough(Some("ada")), Principal::passthrough(Some("bob")));
        let (one, two) = ("1".repeat(64), "2".repeat(64));
        let (one, two) = (LfsOid::from_hex(&one).unwrap(), LfsOid::from_hex(&two).unwrap());
        let purpose = Purpose {
            principal: &ada,
            upstream: "forge",
            repository: "team/app",
            transfer: Transfer::Upload,
            oid: one,
        };
        let tickets = Tickets::new(None, 8192);
        let ticket = tickets.seal(&purpose, &grant()).unwrap();
        let clear = URL_SAFE_NO_PAD.decode(&ticket).unwrap();
        assert!(!String::from_utf8_lossy(&clear).contains("secret"));

        let opened = tickets.open(&purpose, &ticket, 999).unwrap();
        assert_eq!((&opened.url, opened.size, opened.authenticated), (&grant().url, 7, true));
        assert_eq!(opened.headers, grant().headers);
        assert!(opened.headers.values().all(HeaderValue::is_sensitive));

        let check = |purpose: Purpose<'_>, now, expected| {
            assert_eq!(tickets.open(&purpose, &ticket, now).map(drop).unwrap_err(), expected);
        };
        check(purpose, 1000, TicketError::Expired);
        check(Purpose { principal: &bob, ..purpose }, 1, TicketError::Unknown);
        check(Purpose { upstream: "forge2", ..purpose }, 1, TicketError::Unknown);
        check(Purpose { upstream: "forgeteam", repository: "/app", ..purpose }, 1, TicketError::Unknown);
        check(Purpose { repository: "team/app2", ..purpose }, 1, TicketError::Unknown);
        check(Purpose { transfer: Transfer::Verify, ..purpose }, 1, TicketError::Unknown);
        check(Purpose { oid: two, ..purpose }, 1, TicketError::Unknown);
        for place in 0..clear.len() {
            let mut altered = clear.clone();
            altered[place] ^= 1;
            let altered = URL_SAFE_NO_PAD.encode(altered);
            assert_eq!(tickets.open(&purpose, &altered, 1).map(drop), Err(TicketError::Unknown));
        }
        for cut in 0..ticket.len() {
            assert_eq!(tickets.open(&purpose, &ticket[..cut], 1).map(drop), Err(TicketError::Unknown));
        }
        assert_eq!(Tickets::new(None, 8192).open(&purpose, &ticket, 1).map(drop), Err(TicketError::Unknown));
        let shared = TicketKey::from([7; 32]);
        let ticket = Tickets::new(Some(&shared), 8192).seal(&purpose, &grant()).unwrap();
        assert!(Tickets::new(Some(&shared), 8192).open(&purpose, &ticket, 1).is_ok());
        assert!(Tickets::new(Some(&shared), 64).seal(&purpose, &grant()).is_none());
    }
}
