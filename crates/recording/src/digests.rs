//! Length and SHA-256 of the octets of an exchange, per direction: kept by the writer, checked by the reader.

use aws_lc_rs::digest::{Context, SHA256};

use crate::event::{BodyDigest, Direction};

/// The octets of both directions so far.
pub(crate) struct Digests {
    request: Running,
    response: Running,
}

struct Running {
    length: u64,
    sha256: Context,
}

impl Default for Digests {
    fn default() -> Self {
        let running = || Running { length: 0, sha256: Context::new(&SHA256) };
        Self { request: running(), response: running() }
    }
}

impl Digests {
    pub(crate) fn update(&mut self, direction: Direction, octets: &[u8]) {
        let running = match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        };
        running.length += octets.len() as u64;
        running.sha256.update(octets);
    }

    /// The digest of one direction so far.
    pub(crate) fn so_far(&self, direction: Direction) -> BodyDigest {
        self.running(direction).finish()
    }

    /// What makes the digest of one direction, after all there was so far.
    pub(crate) fn running_on(&self, direction: Direction) -> Context {
        self.running(direction).sha256.clone()
    }

    /// How many octets there were in one direction so far.
    pub(crate) fn length(&self, direction: Direction) -> u64 {
        self.running(direction).length
    }

    fn running(&self, direction: Direction) -> &Running {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    /// The digests of request and response.
    pub(crate) fn finish(&self) -> (BodyDigest, BodyDigest) {
        (self.request.finish(), self.response.finish())
    }
}

impl Running {
    fn finish(&self) -> BodyDigest {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.clone().finish().as_ref());
        BodyDigest { length: self.length, sha256 }
    }
}
