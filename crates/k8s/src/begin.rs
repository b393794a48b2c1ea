//! The beginning of a stream: its two halves are made once the upstream has said how it speaks.

use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, Response, header};
use lockgate_core::{
    body::Body,
    layers::mask::{PAUSE, Secrets},
    refusal::{Refusal, RefusalKind},
};
use lockgate_detect::Placeholder;
use tokio::sync::oneshot;

use crate::{
    stream::{
        self, Channel, ClientHalf, Event, Limits, Maskers, Purpose, Subprotocol, Transport, Upgrade, Watcher,
        transcript::Copying,
    },
    upgrade::{Framing, STREAM_PROTOCOL, Stream},
};

/// A stream that begins when the upstream agrees.
pub(crate) struct Begin {
    asked: Stream,
    purpose: Purpose,
    /// Whether what comes is a tar, in which lengths must stay as they are.
    is_download: bool,
    client: Mutex<Option<oneshot::Sender<ClientHalf>>>,
}

impl Begin {
    /// Nothing of what the client sends passes before the stream has begun.
    pub(crate) fn of(asked: Stream, purpose: Purpose, command: &[String], body: Body) -> (Self, Body) {
        let (client, half) = oneshot::channel();
        let body = stream::watched(body, async { half.await.ok() });
        let is_download = Copying::of(command) == Some(Copying::Download);
        (Self { asked, purpose, is_download, client: Mutex::new(Some(client)) }, body)
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
            let (secrets, is_download) = (secrets.clone(), self.is_download);
            Box::new(move |channel| match channel {
                Channel::Stdout if is_download => Some(secrets.masker_with(Placeholder::SameLength)),
                Channel::Data { .. } | Channel::DataError { .. } => None,
                Channel::Stdin | Channel::Stdout | Channel::Stderr | Channel::Error | Channel::Resize => {
                    Some(secrets.masker())
                }
            }) as Maskers
        });
        let upgrade = Upgrade { transport, purpose: self.purpose.clone() };
        let (client, server) = stream::halves(&upgrade, Limits::default(), watcher(&self.purpose), maskers);
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

/// Holds a port-forward that names ports in its query to them: that is what was judged, and the upstream heeds only
/// what its streams name.
fn watcher(purpose: &Purpose) -> Watcher {
    let ports = match purpose {
        Purpose::Forward(ports) => ports.clone(),
        Purpose::Command => Vec::new(),
    };
    Box::new(move |event: Event<'_>| {
        let Event::Opened { channel, .. } = event else { return Ok(()) };
        match channel.port() {
            Some(port) if !ports.is_empty() && !ports.contains(&port) => {
                Err(format!("port {port} is not one that the request names"))
            }
            Some(_) | None => Ok(()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Channel;

    #[test]
    fn a_port_forward_is_held_to_the_ports_that_it_names() {
        let opens = |ports: &[u16], port: u16| {
            let mut watcher = watcher(&Purpose::Forward(ports.to_vec()));
            watcher(Event::Opened { id: 1, channel: Channel::Data { port } })
        };
        assert_eq!(opens(&[80, 443], 443), Ok(()));
        assert!(opens(&[80, 443], 5432).is_err());
        assert_eq!(opens(&[], 5432), Ok(()), "the streams alone name them");
    }
}
