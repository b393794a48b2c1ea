//! A push: read whole into a spool, its updates understood on the way, then forwarded from there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header, request};
use http_body_util::BodyExt as _;
use lockgate_core::{
    body::{Body, BodyError},
    protocol::{Classified, Context},
    refusal::{Refusal, RefusalKind},
    spool::{Spool, SpoolError, Spools},
};

use super::{Git, drain};
use crate::{
    Config,
    ancestry::Pushed,
    classify,
    oid::ObjectFormat,
    parse::{ParseError, Progress, PushParser, PushRequest},
    respond::{self, PushDialect},
    route::{Route, Service},
};

/// A push that was read to its end.
pub(super) struct Push {
    pub(super) request: PushRequest,
    /// The whole decoded body.
    pub(super) spool: Spool,
    /// Where in it the pack begins.
    pub(super) pack: u64,
}

impl Git {
    pub(super) async fn push(
        &self,
        context: Context<'_>,
        route: &Route,
        mut head: request::Parts,
        mut body: Body,
    ) -> Result<Classified, Refusal> {
        let push = match Push::read(&mut body, &self.config, context.spools).await {
            Ok(push) => push,
            Err(refusal) => {
                drain(&mut body, &self.config).await;
                return Err(refusal);
            }
        };
        if push.request.commands.is_empty() {
            return Ok(Classified::Answer(respond::nothing(Service::ReceivePack)));
        }
        let ancestry = self.prover.prove(context, &push.history(route)).await;
        head.headers.remove(header::ACCEPT_ENCODING);
        Ok(Classified::Asks {
            accesses: classify::push(&route.repository, &push.request, &ancestry),
            request: Request::from_parts(head, push.spool.body_after(Bytes::new())),
            dialect: Arc::new(PushDialect::new(&push.request, self.config.wait)),
        })
    }
}

impl Push {
    async fn read(body: &mut Body, config: &Config, spools: &Spools) -> Result<Self, Refusal> {
        let mut parser = PushParser::new(config.commands, config.section);
        let (mut spool, mut pack) = (spools.create(), None);
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(broken)?.into_data().unwrap_or_default();
            if pack.is_none()
                && let Progress::Complete { consumed } = parser.feed(&data).map_err(malformed)?
            {
                pack = Some(spool.len() + consumed as u64);
            }
            spool.write(&data).await.map_err(unspooled)?;
        }
        let request = parser.finish().map_err(malformed)?;
        let spool = spool.finish().await.map_err(unspooled)?;
        let push = Self { request, pack: pack.unwrap_or(spool.len()), spool };
        push.check_pack().await?;
        Ok(push)
    }

    fn history<'a>(&'a self, route: &'a Route) -> Pushed<'a> {
        Pushed {
            route,
            format: self.request.format().unwrap_or(ObjectFormat::Sha1),
            commands: &self.request.commands,
            spool: &self.spool,
            pack: self.pack,
        }
    }

    /// What follows the updates must be what they say: a pack, or nothing.
    async fn check_pack(&self) -> Result<(), Refusal> {
        let start = self.spool.read_at(self.pack, 4).await.map_err(unspooled)?;
        match (self.request.has_pack(), &*start) {
            (true, b"PACK") | (false, b"") => Ok(()),
            (true, _) => Err(malformed(ParseError::NoPack)),
            (false, _) => Err(malformed(ParseError::Trailing)),
        }
    }
}

fn malformed(error: ParseError) -> Refusal {
    let kind = match &error {
        ParseError::TooLarge { .. } | ParseError::TooMany { .. } => RefusalKind::TooLarge,
        ParseError::Pkt(_)
        | ParseError::Line { .. }
        | ParseError::Ref { .. }
        | ParseError::Duplicate { .. }
        | ParseError::Format
        | ParseError::Truncated
        | ParseError::NoPack
        | ParseError::Trailing => RefusalKind::Invalid,
    };
    Refusal::new(kind, error.to_string()).because(&error)
}

fn broken(error: BodyError) -> Refusal {
    let refusal = match &error {
        BodyError::Client(_) => {
            Refusal::new(RefusalKind::Invalid, "the push broke off or is not what it is encoded as")
        }
        BodyError::Upstream(_) => Refusal::new(RefusalKind::UpstreamUnavailable, "the upstream broke off"),
        BodyError::Ours(_) => Refusal::new(RefusalKind::RecordingUnavailable, "the push can't be recorded"),
    };
    refusal.because(&error)
}

fn unspooled(error: SpoolError) -> Refusal {
    match error {
        SpoolError::TooLarge { max } => {
            Refusal::new(RefusalKind::TooLarge, format!("the push is larger than {max} bytes"))
        }
        SpoolError::Body(error) => broken(error),
        SpoolError::Disk(_) => {
            Refusal::new(RefusalKind::Internal, "the push can't be stored for inspection").because(&error)
        }
    }
}
