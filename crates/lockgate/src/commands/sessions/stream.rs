//! exec, attach and port-forward, out of the recording of their exchange: each channel on its own.
//!
//! How a stream was framed stands in the recorded answer. What is of no known framing is said to be so; it is not
//! guessed at.

mod summary;

use lockgate_core::access::Schema;
use lockgate_k8s::{
    SCHEMA,
    parse::side::Side,
    stream::{
        Channel, Subprotocol, Transport, Upgrade,
        transcript::{Asked, Moment, Subresource, Transcript},
    },
};
use lockgate_recording::{Event, Recorded, RequestHead, ResponseHead, What};

pub(super) use self::summary::Gathered;
use crate::recordings;

/// The status of an answer that begins a stream.
const SWITCHING: u16 = 101;

/// Whether this exchange became a stream of Kubernetes.
pub(super) fn is_stream(transcript: &recordings::Transcript) -> bool {
    let status = transcript.response.as_ref().map(|head| head.status);
    is_kubernetes(&transcript.opened.protocol) && status == Some(SWITCHING)
}

fn is_kubernetes(protocol: &str) -> bool {
    const KUBERNETES: &Schema = &SCHEMA;
    protocol == KUBERNETES.protocol
}

/// Reads the events of an exchange, and what happened on the stream that it became.
#[derive(Debug, Default)]
pub(super) struct Reading {
    is_kubernetes: bool,
    request: Option<RequestHead>,
    state: State,
    problems: Vec<String>,
}

#[derive(Debug, Default)]
enum State {
    /// There is no answer yet: a client's connection is read for a stream when there is one.
    #[default]
    Before,
    /// It is no stream, or none that can be read.
    Other,
    Stream(Box<Stream>),
}

#[derive(Debug)]
struct Stream {
    asked: Asked,
    upgrade: Upgrade,
    transcript: Transcript,
    /// Nothing is told behind a gap.
    has_gap: bool,
}

impl Reading {
    /// Takes the next event, and tells what it says of the stream. Whether it was one of a stream's bytes.
    pub(super) fn take(&mut self, recorded: &Recorded, tell: &mut impl FnMut(Moment<'_>)) -> bool {
        let event = match &recorded.what {
            What::Opened(opened) => {
                self.is_kubernetes = is_kubernetes(&opened.protocol);
                return false;
            }
            What::Event(event) => event,
            What::Closed(_) => return false,
        };
        let (side, data) = match event {
            Event::RequestData(data) => (Side::Client, data),
            Event::ResponseData(data) => (Side::Server, data),
            Event::RequestHead(head) => {
                self.request = Some(head.clone());
                return false;
            }
            Event::ResponseHead(head) => {
                self.answered(head);
                return false;
            }
            Event::Gap { .. } => {
                if let State::Stream(stream) = &mut self.state {
                    stream.has_gap = true;
                    self.problems.push("something is missing in the recording: no more can be told".into());
                }
                return false;
            }
            Event::RequestTrailers(_)
            | Event::ResponseTrailers(_)
            | Event::RequestEnd
            | Event::ResponseEnd { .. }
            | Event::Access(_)
            | Event::Verdict(_)
            | Event::Approval(_)
            | Event::Forwarded
            | Event::ChannelData { .. }
            | Event::Note { .. } => return false,
        };
        match &mut self.state {
            State::Before | State::Other => false,
            State::Stream(stream) => {
                if !stream.has_gap {
                    stream.transcript.push(recorded.at, side, data, tell);
                }
                true
            }
        }
    }

    /// What was asked for, and how it was framed; nothing where it is no stream that can be read.
    pub(super) fn stream(&self) -> Option<(&Asked, &Upgrade)> {
        match &self.state {
            State::Stream(stream) => Some((&stream.asked, &stream.upgrade)),
            State::Before | State::Other => None,
        }
    }

    /// Why not all that was recorded is told.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.problems.clone();
        if let State::Stream(stream) = &self.state {
            for side in [Side::Client, Side::Server] {
                if let Some(fault) = stream.transcript.fault(side) {
                    problems.push(format!("what the {side} sent can't be read to its end: {fault}"));
                }
            }
        }
        problems
    }

    fn answered(&mut self, answer: &ResponseHead) {
        if !matches!(self.state, State::Before) {
            return;
        }
        self.state = State::Other;
        let Some(request) = self.request.as_ref().filter(|_| self.is_kubernetes) else { return };
        if answer.status != SWITCHING {
            return;
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let asked = Asked::of(path, query);
        match asked.and_then(|asked| Some((upgrade(&asked, answer)?, asked))) {
            Some((upgrade, asked)) => {
                let transcript = Transcript::new(&upgrade);
                self.state = State::Stream(Box::new(Stream { asked, upgrade, transcript, has_gap: false }));
            }
            None => self.problems.push("it became a stream of a kind that is not known here".into()),
        }
    }
}

/// How the answer says that the connection is framed.
fn upgrade(asked: &Asked, answer: &ResponseHead) -> Option<Upgrade> {
    let field = |name: &str| recordings::exact(&answer.fields, name);
    if let Some(subprotocol) = field("sec-websocket-protocol") {
        return asked.upgrade(Some(&subprotocol));
    }
    let known = match asked.subresource {
        Subresource::Exec | Subresource::Attach => "v4.channel.k8s.io",
        Subresource::PortForward => "portforward.k8s.io",
    };
    let spoken = field("x-stream-protocol-version")?;
    if spoken == known { asked.upgrade(None) } else { None }
}

/// The name of a framing.
pub(super) fn transport(upgrade: &Upgrade) -> String {
    match upgrade.transport {
        Transport::WebSocket(Subprotocol::Tunnel) => "SPDY/3.1 in a WebSocket".into(),
        Transport::WebSocket(subprotocol) => format!("WebSocket, {}", subprotocol.name()),
        Transport::Spdy => "SPDY/3.1".into(),
    }
}

/// The name of what was asked for.
pub(super) fn kind(asked: &Asked) -> &'static str {
    match asked.subresource {
        Subresource::Exec => "exec",
        Subresource::Attach => "attach",
        Subresource::PortForward => "port-forward",
    }
}

/// The name of a channel.
pub(super) fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Stdin => "stdin",
        Channel::Stdout => "stdout",
        Channel::Stderr => "stderr",
        Channel::Error => "status",
        Channel::Resize => "resize",
        Channel::Data { .. } => "data",
        Channel::DataError { .. } => "error",
    }
}
