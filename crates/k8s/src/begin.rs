//! The beginning of a stream: its two halves are made once the upstream has said how it speaks.

use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, Response, header};
use lockgate_core::{
    body::Body,
    layers::mask::{PAUSE, Secrets},
    refusal::{Refusal, RefusalKind},
};
use tokio::sync::oneshot;

use crate::{
    stream::{self, ClientHalf, Limits, Maskers, Purpose, Subprotocol, Transport, Upgrade},
    upgrade::{Framing, STREAM_PROTOCOL, Stream},
};

/// A stream that begins when the upstream agrees.
pub(crate) struct Begin {
    asked: Stream,
    purpose: Purpose,
    client: Mutex<Option<oneshot::Sender<ClientHalf>>>,
}

impl Begin {
    /// Nothing of what the client sends passes before the stream has begun.
    pub(crate) fn of(asked: Stream, purpose: Purpose, body: Body) -> (Self, Body) {
        let (client, half) = oneshot::channel();
        let body = stream::watched(body, async { half.await.ok() });
        (Self { asked, purpose, client: Mutex::new(Some(client)) }, body)
    }

    /// Begins the stream: lets pass what the client sends, and masks what the upstream does.
    ///
    /// # Errors
    /// A refusal of a stream that can't be read, or not be masked as the policy demands.
    pub(crate) fn join(
        &self,
        response: Response<Body>,
        secrets: &Secrets,
    ) -> Result<Response<Body>, Refusal> {
        let strange = || {
            let reason = "the upstream begins a stream of a protocol that was not offered to it";
            Refusal::new(RefusalKind::UpstreamInvalid, reason)
        };
        let transport = self.transport(response.headers()).ok_or_else(strange)?;
        if secrets.demanded && matches!(self.purpose, Purpose::Forward(_)) {
            let reason = "the policy demands a mask, and what a port-forward carries can't be masked";
            return Err(Refusal::new(RefusalKind::Denied, reason));
        }
        let maskers: Option<Maskers> = (!secrets.is_empty()).then(|| {
            let secrets = secrets.clone();
            Box::new(move |channel: stream::Channel| channel.port().is_none().then(|| secrets.masker()))
                as Maskers
        });
        let upgrade = Upgrade { transport, purpose: self.purpose.clone() };
        let (client, server) = stream::halves(&upgrade, Limits::default(), Box::new(|_| Ok(())), maskers);
        // Sent once: a stream begins once. Whoever does not wait for it any more has ended.
        if let Some(waits) = self.client.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = waits.send(client);
        }
        Ok(response.map(|body| stream::masked(body, server, PAUSE)))
    }

    /// What was agreed on, of what was offered.
    fn transport(&self, answer: &HeaderMap) -> Option<Transport> {
        let name = |field| answer.get(field).and_then(|value| value.to_str().ok());
        match self.asked.framing {
            Framing::WebSocket => {
                let chosen = name(header::SEC_WEBSOCKET_PROTOCOL)?;
                let offered = self.asked.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
                let is_offered = offered.split(", ").any(|name| name == chosen);
                is_offered.then(|| Subprotocol::of(chosen).map(Transport::WebSocket))?
            }
            Framing::Spdy => {
                let chosen = name(STREAM_PROTOCOL)?;
                let mut offered = self.asked.headers().get_all(STREAM_PROTOCOL).iter();
                offered.any(|name| name == chosen).then_some(Transport::Spdy)
            }
        }
    }
}
