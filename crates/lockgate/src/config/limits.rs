//! What bounds time and memory. Every default suits a gateway for some hundred clients.

use lockgate_core::client::Timeouts;
use lockgate_oci::TokenKey;
use serde::Deserialize;

use super::scalar::{Count, Size, Span};

/// `limits:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Connections at once; more wait to be accepted. 4096.
    pub(crate) connections: Count,
    /// Requests at once on one HTTP/2 connection. 100.
    pub(crate) streams: Count,
    /// The head of a request. 64 KiB.
    pub(crate) head: Size,
    /// Header fields of a request. 100.
    pub(crate) headers: Count,
    /// For a TLS handshake, and for the head of a request. 10 s.
    pub(crate) head_timeout: Span,
    /// A connection without a request is closed after this. 75 s.
    pub(crate) keep_alive: Span,
    /// A client that sends nothing of a body for so long is given up. 60 s.
    pub(crate) client_idle: Span,
    /// A push, with its pack, as it is sent upstream. 4 GiB.
    pub(crate) push: Size,
    /// What of a push is held in memory before it goes to a file. 1 MiB.
    pub(crate) push_memory: Size,
    /// For a connection to an upstream. 10 s.
    pub(crate) upstream_connect: Span,
    /// From the end of a request to the upstream's answer. 15 m.
    pub(crate) upstream_response: Span,
    /// An upstream that sends nothing of its answer for so long, once it began, is given up. 5 m.
    pub(crate) upstream_silence: Span,
    /// How long an upstream may still answer a change whose client has gone. 15 m.
    pub(crate) orphan: Span,
    /// How long a push waits for people whose client gives up after 30 s without an answer (containerd, and docker from
    /// 29.7 on); then it is told to try again. 25 s.
    pub(crate) hold_impatient: Span,
    /// How long a token is good that a client of registries is given for its own. 1 h.
    pub(crate) registry_token: Span,
    /// Uploads to registries of one caller's at once; the one that rests longest goes for another. 64.
    pub(crate) registry_uploads: Count,
    /// How long requests under way may take when the gateway is asked to end. 30 s.
    pub(crate) shutdown: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Count(4096),
            streams: Count(100),
            head: Size::kib(64),
            headers: Count(100),
            head_timeout: Span::seconds(10),
            keep_alive: Span::seconds(75),
            client_idle: Span::seconds(60),
            push: Size::mib(4096),
            push_memory: Size::mib(1),
            upstream_connect: Span::seconds(10),
            upstream_response: Span::seconds(900),
            upstream_silence: Span::seconds(300),
            orphan: Span::seconds(900),
            hold_impatient: Span::seconds(25),
            registry_token: Span::seconds(3600),
            registry_uploads: Count(64),
            shutdown: Span::seconds(30),
        }
    }
}

impl Limits {
    /// What bounds requests to registries; tokens are sealed with this key.
    pub(crate) fn registries(&self, key: [u8; 32]) -> lockgate_oci::Config {
        lockgate_oci::Config {
            token: self.registry_token.0,
            token_key: TokenKey::new(key),
            uploads_of_one: self.registry_uploads.len(),
            wait_impatient: self.hold_impatient.0,
            ..lockgate_oci::Config::default()
        }
    }

    /// How long the gateway waits for an upstream.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            connect: self.upstream_connect.0,
            response: self.upstream_response.0,
            silence: self.upstream_silence.0,
            ..Timeouts::default()
        }
    }
}
