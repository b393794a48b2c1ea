//! A push: read whole into a spool, its updates understood on the way, then forwarded from there.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures::FutureExt as _;
use http::{Request, header, request};
use http_body_util::BodyExt as _;
use lockgate_core::{
    body::{Body, BodyError},
    protocol::{Classified, Context, Early, Gate},
    refusal::{Refusal, RefusalKind},
    spool::{Spool, SpoolError, SpoolWriter},
    upstream::Auth,
};

use super::{Git, aside::Aside, shown::ShownPush};
use crate::{
    ancestry::Pushed,
    classify::{self, Content},
    facts::Wanted,
    inspect::{Arrival, Arrived},
    oid::{ObjectFormat, Oid},
    pack::Commits,
    parse::{Command, ParseError, Progress, PushParser, PushRequest},
    respond::{self, PushDialect},
    route::{Route, Service},
};

/// Bytes of a pack from which on it is worth while to begin the push upstream before it is there.
const EARLY: u64 = 128 * 1024;

/// What is known of a push before it is read.
#[derive(Clone, Copy)]
struct Known<'a, 'b> {
    context: Context<'a>,
    route: &'a Route,
    head: &'b request::Parts,
    /// What is looked for in its pack.
    wanted: Wanted,
}

impl Known<'_, '_> {
    /// Begins the push upstream, where that may be.
    fn begin(
        self,
        early: &dyn Early,
        request: &PushRequest,
        spool: &mut SpoolWriter,
    ) -> Result<Option<Gate>, Refusal> {
        let outlines = classify::outline(&self.route.repository, request, self.wanted)?;
        Ok(early.begin(&outlines, self.head, spool.follow()))
    }
}

/// A push that was read to its end.
pub(super) struct Push {
    pub(super) request: Arc<PushRequest>,
    /// The whole decoded body.
    pub(super) spool: Spool,
    /// Where in it the pack begins.
    pub(super) pack: u64,
    /// The pack, looked through, where something is wanted of it.
    arrived: Option<Arrived>,
}

impl Git {
    pub(super) async fn push(
        &self,
        context: Context<'_>,
        route: &Route,
        mut head: request::Parts,
        mut body: Body,
    ) -> Result<Classified, Refusal> {
        head.headers.remove(header::ACCEPT_ENCODING);
        let wanted = classify::wanted(context.needs).or(self.config.inspect.wanted);
        let mut request = None;
        let known = Known { context, route, head: &head, wanted };
        let mut base = Aside::NOTHING;
        let mut push = match self.read_push(&mut body, known, &mut request, &mut base).await {
            Ok(push) => push,
            Err(refusal) => {
                self.config.drain.drain(&mut body).await;
                let Some(request) = request else { return Err(refusal) };
                let dialect = Arc::new(PushDialect::new(&request, self.config.wait));
                return Ok(Classified::Refused { refusal, dialect });
            }
        };
        if push.request.commands.is_empty() {
            return Ok(self.nothing(context, route, head, &push));
        }
        let arrived = push.arrived.take();
        // Nothing is taken for an empty pack that was not looked through.
        let looked = arrived.is_some() || !push.request.has_pack();
        let known = arrived.as_ref().map(|arrived| Arc::clone(arrived.index.commits()));
        let pushed = push.pushed(route, known);
        let ancestry = self.prover.prove(context, &pushed).await;
        let base = base.answer().await.flatten();
        let facts = self.inspector.facts(context, &pushed, arrived, wanted, base).await?;
        for (facts, command) in facts.iter().zip(&push.request.commands).filter(|_| wanted.any()) {
            let (paths, findings) = (facts.paths.len(), facts.findings.len());
            tracing::debug!(command.name, facts.commits, paths, findings, "a push was looked into");
        }
        let content = Content { wanted, facts: looked.then_some(&facts) };
        Ok(Classified::Asks {
            accesses: classify::push(&route.repository, &push.request, &ancestry, content)?,
            request: Request::from_parts(head, push.spool.body_after(Bytes::new())),
            dialect: Arc::new(self.dialect(route, &push)),
        })
    }

    /// A push of nothing: a probe, or a shallow client that has nothing to send. Callers with a credential of
    /// their own learn from the upstream whether they may push.
    fn nothing(&self, context: Context<'_>, route: &Route, head: request::Parts, push: &Push) -> Classified {
        match context.upstream.auth {
            Auth::Oidc => Classified::Answer(respond::nothing(Service::ReceivePack)),
            Auth::Passthrough => self.fetch(context, route, head, push.spool.body_after(Bytes::new())),
        }
    }
}

impl Git {
    /// Reads it to its end. `request` says what was understood of it also where that fails.
    async fn read_push<'a>(
        &'a self,
        body: &mut Body,
        known: Known<'a, '_>,
        request: &mut Option<Arc<PushRequest>>,
        base: &mut Aside<'a, Option<Option<Oid>>>,
    ) -> Result<Push, Refusal> {
        let mut parser = Some(PushParser::new(self.config.commands, self.config.section));
        let (mut spool, mut arrival, mut pack) = (known.context.spools.create(), None, None);
        let mut early = known.context.early;
        while let Some(frame) = base.beside(body.frame()).await {
            let data = frame.map_err(broken)?.into_data().unwrap_or_default();
            let mut of_pack = data.clone();
            if let Some(reading) = &mut parser {
                match reading.feed(&data).map_err(malformed)? {
                    Progress::Incomplete => of_pack.clear(),
                    Progress::Complete { consumed } => {
                        pack = Some(spool.len() + consumed as u64);
                        of_pack.advance(consumed);
                        let read = parser.take().map(PushParser::finish).transpose().map_err(malformed)?;
                        *request = read.map(Arc::new);
                        arrival = request.as_ref().and_then(|request| self.arrival(request, known.wanted));
                        if let (Some(request), Some(_)) = (&*request, &arrival) {
                            self.ask_base(request, known, base);
                        }
                    }
                }
            }
            spool.write(&data).await.map_err(unspooled)?;
            if let (Some(request), Some(arrival), Some(pack)) = (&*request, &mut arrival, pack)
                && let Some(early) = early.take_if(|_| spool.len() - pack >= EARLY)
                && let Some(gate) = known.begin(early, request, &mut spool)?
            {
                arrival.lead_on(gate, pack);
            }
            arrival = match arrival {
                Some(arrival) => Some(arrival.feed(of_pack).await?),
                None => None,
            };
        }
        let request = request.clone().ok_or_else(|| malformed(ParseError::Truncated))?;
        let spool = spool.finish().await.map_err(unspooled)?;
        let mut push = Push { request, pack: pack.unwrap_or(spool.len()), spool, arrived: None };
        push.check_pack().await?;
        if let Some(arrival) = arrival {
            push.arrived = Some(arrival.finish().await?);
        }
        Ok(push)
    }

    /// Asks, while the push is read, what new refs are compared with.
    fn ask_base<'a>(
        &'a self,
        request: &PushRequest,
        known: Known<'a, '_>,
        base: &mut Aside<'a, Option<Option<Oid>>>,
    ) {
        let creates = |command: &Command| command.old.is_null() && !command.new.is_null();
        if let Some(format) = request.format().filter(|_| request.commands.iter().any(creates)) {
            base.ask(self.inspector.head(known.context, known.route, format).boxed());
        }
    }

    fn dialect(&self, route: &Route, push: &Push) -> ShownPush {
        ShownPush {
            dialect: PushDialect::new(&push.request, self.config.wait),
            inspector: self.inspector.clone(),
            route: route.clone(),
            format: push.request.format().unwrap_or(ObjectFormat::Sha1),
            commands: push.request.commands.clone(),
            spool: push.spool.clone(),
            pack: push.request.has_pack().then_some(push.pack),
        }
    }

    fn arrival(&self, request: &PushRequest, wanted: Wanted) -> Option<Arrival> {
        let format = request.format().filter(|_| request.has_pack())?;
        self.inspector.begin(format, wanted)
    }
}

impl Push {
    fn pushed<'a>(&'a self, route: &'a Route, known: Option<Arc<Commits>>) -> Pushed<'a> {
        Pushed {
            route,
            format: self.request.format().unwrap_or(ObjectFormat::Sha1),
            commands: &self.request.commands,
            spool: &self.spool,
            pack: self.pack,
            known,
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

pub(crate) fn broken(error: BodyError) -> Refusal {
    let refusal = match &error {
        BodyError::Client(_) => {
            Refusal::new(RefusalKind::Invalid, "the request broke off or is not what it is encoded as")
        }
        BodyError::Upstream(_) => Refusal::new(RefusalKind::UpstreamUnavailable, "the upstream broke off"),
        BodyError::Ours(_) => {
            Refusal::new(RefusalKind::RecordingUnavailable, "the request can't be recorded")
        }
    };
    refusal.because(&error)
}

pub(crate) fn unspooled(error: SpoolError) -> Refusal {
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
