//! Length and SHA-256 of the octets of an exchange, per direction: kept by the writer, checked by the reader.

use crate::{
    event::{BodyDigest, Direction},
    sha256::Sha256,
};

/// The octets of both directions so far.
#[derive(Default)]
pub(crate) struct Digests {
    request: Running,
    response: Running,
}

#[derive(Default)]
struct Running {
    length: u64,
    sha256: Sha256,
}

impl Digests {
    pub(crate) fn update(&mut self, direction: Direction, octets: &[u8]) {
        self.update_by(direction, octets, |sha256| sha256.update(octets));
    }

    /// The same by something that takes these octets in.
    pub(crate) fn update_by(&mut self, direction: Direction, octets: &[u8], by: impl FnOnce(&mut Sha256)) {
        let running = match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        };
        running.length += octets.len() as u64;
        by(&mut running.sha256);
    }

    /// The digest of one direction so far.
    pub(crate) fn so_far(&self, direction: Direction) -> BodyDigest {
        self.running(direction).finish()
    }

    /// What makes the digest of one direction, after all there was so far.
    pub(crate) fn running_on(&self, direction: Direction) -> Sha256 {
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
        BodyDigest { length: self.length, sha256: self.sha256.clone().finish() }
    }
}
