//! How a push is answered: the report of `git-receive-pack`, alone or within the side-band, whole or as
//! the end of a stream that is kept alive while people decide.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Response, StatusCode, header, response};
use lockgate_core::{
    approval::Ticket,
    body::Body,
    protocol::{Content, Dialect, HeldStream, HoldStyle},
    refusal::{Refusal, RefusalKind},
};

use super::{content, has_type, plain, result, text};
use crate::{
    parse::PushRequest,
    pkt::{self, Band},
    refname::printable,
    route::Service,
};

/// The answers to one push.
#[derive(Debug, Clone)]
pub(crate) struct PushDialect {
    refs: Vec<String>,
    report: bool,
    side_band: bool,
    wait: Duration,
}

impl PushDialect {
    /// How this push wants to be answered. `wait`: how long it is held where nothing keeps it alive.
    pub(crate) fn new(request: &PushRequest, wait: Duration) -> Self {
        let capabilities = &request.capabilities;
        Self {
            refs: request.commands.iter().map(|command| command.name.clone()).collect(),
            report: capabilities.has("report-status") || capabilities.has("report-status-v2"),
            side_band: capabilities.has("side-band-64k"),
            wait,
        }
    }

    /// The report that refuses every ref: a request is never split.
    fn report(&self, refusal: &Refusal) -> Bytes {
        let mut report = BytesMut::new();
        pkt::write(&mut report, b"unpack ok\n");
        for (place, name) in self.refs.iter().enumerate() {
            let mut line = format!("ng {name} {}", reason(refusal, place));
            line.truncate(line.floor_char_boundary(pkt::MAX_DATA - 1));
            line.push('\n');
            pkt::write(&mut report, line.as_bytes());
        }
        report.put_slice(pkt::FLUSH);
        report.freeze()
    }

    fn bytes(&self, refusal: &Refusal) -> Bytes {
        let report = if self.report { self.report(refusal) } else { Bytes::new() };
        if self.side_band { framed(refusal, &self.refs, &report) } else { report }
    }
}

impl Dialect for PushDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        if self.report || self.side_band {
            result(Service::ReceivePack, self.bytes(refusal))
        } else {
            plain(refusal)
        }
    }

    fn hold(&self) -> HoldStyle {
        if self.side_band { HoldStyle::Stream(Box::new(self.clone())) } else { HoldStyle::Wait(self.wait) }
    }

    fn content(&self, head: &response::Parts) -> Content {
        content(head)
    }
}

/// Only of clients with a side-band: the others could not be kept alive.
impl HeldStream for PushDialect {
    fn head(&self) -> Response<()> {
        result(Service::ReceivePack, Bytes::new()).map(drop)
    }

    fn notice(&self, ticket: &Ticket, hold: Duration) -> Bytes {
        let refs = match &*self.refs {
            [only] => only.clone(),
            [first, others @ ..] => format!("{first} and {} more refs", others.len()),
            [] => "this push".to_owned(),
        };
        let first = format!("lockgate: waiting for the approval of {refs}, for {} at most", spoken(hold));
        let mut lines = vec![first];
        lines.extend(text::places(ticket.url.as_deref(), Some(&ticket.command)));
        let mut notice = BytesMut::new();
        remote(&mut notice, &lines);
        notice.freeze()
    }

    /// What `git receive-pack` itself sends while it works.
    fn keepalive(&self) -> Bytes {
        Bytes::from_static(b"0005\x01")
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        self.bytes(refusal)
    }

    fn resume(&self, response: Response<Body>) -> Result<Body, Refusal> {
        let status = response.status();
        let as_begun = has_type(response.headers(), &Service::ReceivePack.media_type("result"))
            && !response.headers().contains_key(header::CONTENT_ENCODING);
        if status == StatusCode::OK && as_begun {
            return Ok(response.into_body());
        }
        let reason = format!("the upstream did not take the push: it answered {}", status.as_u16());
        Err(Refusal::new(RefusalKind::UpstreamInvalid, reason))
    }
}

/// A refusal of a push whose refs and capabilities are not known: every git since 2010 understands the
/// side-band, and prints the reason as that of a failed unpacking.
pub(crate) fn refuse_unread(refusal: &Refusal) -> Response<Body> {
    let line = format!("unpack {}\n", printable(text::short(&refusal.reason)));
    let mut report = BytesMut::new();
    pkt::write(&mut report, line.as_bytes());
    report.put_slice(pkt::FLUSH);
    result(Service::ReceivePack, framed(refusal, &[], &report))
}

/// The side-band's frames: text for people, then the report, then the end.
fn framed(refusal: &Refusal, refs: &[String], report: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    remote(&mut out, &text::lines(refusal, refs));
    if !report.is_empty() {
        pkt::write_band(&mut out, Band::Data, report);
    }
    out.put_slice(pkt::FLUSH);
    out.freeze()
}

fn remote(out: &mut BytesMut, lines: &[String]) {
    for line in lines {
        pkt::write_band(out, Band::Progress, format!("{}\n", printable(line)).as_bytes());
    }
}

/// What git prints behind the ref, in brackets.
fn reason(refusal: &Refusal, place: usize) -> String {
    let approve = refusal.url.as_deref().or(refusal.command.as_deref());
    let text = match (refusal.kind, approve, refusal.accesses.get(place)) {
        (RefusalKind::ApprovalNeeded, Some(place), _) => &format!("approval required: {place}"),
        (_, _, Some(access)) => text::reason(access),
        (_, _, None) => text::short(&refusal.reason),
    };
    printable(text)
}

fn spoken(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}
