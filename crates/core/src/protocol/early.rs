//! How a protocol begins a request upstream before its verdict.

use http::request;
use tokio::sync::watch;

use crate::{access::Outline, spool::Follower};

/// Sends the beginning of a request upstream before its verdict.
pub trait Early: Send + Sync {
    /// Begins it, where the policy can't ask for an approval of it, whatever is still found out. `outlines` are what
    /// is known of all that is asked for, `head` is the request as it will be classified, and `spool` its body.
    /// Nothing of it goes before [`Gate::open`] says how much, and its end never before the permit. What comes of it
    /// is the pipeline's: the protocol goes on as it would without.
    fn begin(&self, outlines: &[Outline], head: &request::Parts, spool: Follower) -> Option<Gate>;
}

/// Says how much of a request may go upstream before its verdict.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<Passage>);

/// How much of a request may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// So many bytes of the body.
    Until(u64),
    /// All: it is permitted.
    Whole,
    /// No more: it is not.
    Closed,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Passage::Until(0)))
    }

    /// Lets pass so many bytes of the body, all in all. They must be so few that no server could take them for a
    /// whole request, or act on them, whatever its client sends.
    pub fn open(&self, bytes: u64) {
        self.0.send_if_modified(|passage| match passage {
            Passage::Until(before) if *before < bytes => {
                *before = bytes;
                true
            }
            Passage::Until(_) | Passage::Whole | Passage::Closed => false,
        });
    }

    pub(crate) fn set(&self, passage: Passage) {
        self.0.send_replace(passage);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Passage> {
        self.0.subscribe()
    }
}
