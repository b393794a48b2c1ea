//! A gateway in small: the protocol, a few words instead of a policy, and a git as its client.

use std::{
    convert::Infallible,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _, channel::mpsc};
use http::{Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use lockgate_core::{
    access::Access,
    approval::{Ticket, TicketState},
    body::{Body, BodyError},
    protocol::{Classified, Dialect, HeldStream, HoldStyle, Narrow, Narrowed, Permits, Protocol as _},
    refusal::{AccessRefusal, Refusal, RefusalKind},
};
use tokio::net::TcpListener;

use crate::{
    Config, Git,
    oid::ObjectFormat,
    testing::{self, Backend, Repo, Rig},
};

/// The words that decide: part of the ref, or of the repository for a fetch.
const REFUSED: &str = "refused";
const HELD: &str = "held";
const HELD_AND_DENIED: &str = "held-and-denied";
/// Part of the refs that are not to be seen, where some are not.
const HIDDEN: &str = "hidden";

pub(super) struct Gateway {
    pub(super) repo: Repo,
    url: String,
    state: Arc<State>,
}

struct State {
    git: Git,
    rig: Rig,
    backend: Backend,
    hides: bool,
    asked: Mutex<Vec<String>>,
}

impl Gateway {
    pub(super) async fn new(format: ObjectFormat) -> Self {
        Self::with(format, Config::default(), 64 << 20).await
    }

    /// One that hides refs.
    pub(super) async fn hiding(format: ObjectFormat) -> Self {
        Self::start(format, Config::default(), 64 << 20, true).await
    }

    /// With limits, and pushes of so many bytes at most.
    pub(super) async fn with(format: ObjectFormat, config: Config, max: u64) -> Self {
        Self::start(format, config, max, false).await
    }

    async fn start(format: ObjectFormat, config: Config, max: u64, hides: bool) -> Self {
        let repo = Repo::new(format);
        let (backend, mut rig) = (repo.backend(), Rig::new());
        rig.spools.max = max;
        let state = State { git: Git::new(config), rig, backend, hides, asked: Mutex::default() };
        let state = Arc::new(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { repo, url, state }
    }

    /// Runs git in the clone, with a token, and returns what it printed.
    pub(super) async fn git(&self, arguments: &[&str]) -> String {
        let token = ["-c", "http.extraHeader=Authorization: Bearer token"];
        self.run(&[&token[..], arguments].concat()).await
    }

    /// The same without a token.
    pub(super) async fn run(&self, arguments: &[&str]) -> String {
        let (url, host) = (&*self.url, self.url.trim_start_matches("http://"));
        let arguments = arguments.iter().map(|argument| {
            argument.replace("{url}", "{gate}/app.git").replace("{gate}", url).replace("{host}", host)
        });
        let mut command = testing::git(&self.repo.dir.path().join("work"));
        command.args(arguments).stdin(Stdio::null());
        self.printed(&tokio::process::Command::from(command).output().await.unwrap())
    }

    /// Posts a request to `git-upload-pack` and returns the answer's body.
    pub(super) async fn post(&self, path: &str, protocol: &str, body: Vec<u8>) -> Vec<u8> {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, "Bearer token")
            .header(header::CONTENT_TYPE, "application/x-git-upload-pack-request")
            .header("git-protocol", protocol)
            .body(lockgate_core::body::full(body));
        let response = Arc::clone(&self.state).handle(request.unwrap()).await;
        testing::read(response.into_body()).await.to_vec()
    }

    /// What was asked for since the last look: one line per access.
    pub(super) fn asked(&self) -> String {
        std::mem::take(&mut *self.state.asked.lock().unwrap()).join("\n")
    }

    /// What git prints, without what differs from run to run; ends with how it exited.
    fn printed(&self, output: &Output) -> String {
        let text = [&*output.stdout, &*output.stderr].concat();
        let text = String::from_utf8(text).unwrap().replace(&self.url, "http://gate");
        let lines = text.lines().map(|line| line.rsplit('\r').next().unwrap_or_default().trim_end());
        let mut lines: Vec<&str> = lines.filter(|line| !line.starts_with("hint: ")).collect();
        let status = format!("exit {}", output.status.code().unwrap());
        lines.push(&status);
        lines.join("\n")
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let (state, body) = (Arc::clone(&state), |body: Incoming| {
                    body.map_err(|error| BodyError::Client(error.into())).boxed_unsync()
                });
                async move { Ok::<_, Infallible>(state.handle(request.map(body)).await) }
            });
            // A client that goes away is not this test's concern.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl State {
    async fn handle(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let request = match self.git.unauthenticated(request).await {
            Ok(answer) => {
                self.asked.lock().unwrap().push("probe".to_owned());
                return answer;
            }
            Err(request) => request,
        };
        let (head, body) = request.into_parts();
        // The test's client sends Basic only where it knows no better.
        let token = head.headers.get(header::AUTHORIZATION);
        if token.is_none_or(|token| token != "Bearer token") {
            let refusal = Refusal::new(RefusalKind::Unauthenticated, "a token is needed");
            return self.git.refuse(&head, &refusal);
        }
        let request = Request::from_parts(head.clone(), body);
        let classified = self.git.classify(self.rig.context(&self.backend), request).await;
        let (accesses, request, dialect) = match classified {
            Ok(Classified::Asks { accesses, request, dialect }) => (accesses, request, dialect),
            Ok(Classified::Answer(response)) => return response,
            Ok(Classified::Refused { refusal, dialect }) => return dialect.refuse(&refusal),
            Err(refusal) => return self.git.refuse(&head, &refusal),
        };
        self.asked.lock().unwrap().extend(accesses.iter().map(line));
        let says = |word: &str| accesses.iter().any(|access| access.binding.contains(word));
        if says(REFUSED) {
            return dialect.refuse(&refusal(RefusalKind::Denied, &accesses, REFUSED));
        }
        if says(HELD) {
            return match dialect.hold() {
                HoldStyle::Stream(stream) => self.hold(stream, accesses, request, dialect),
                HoldStyle::Wait(_) | HoldStyle::Retry => {
                    dialect.refuse(&refusal(RefusalKind::ApprovalNeeded, &accesses, HELD))
                }
            };
        }
        if !self.hides || accesses.iter().any(|access| access.action != "fetch") {
            return dialect.respond(self.backend.call(request).await);
        }
        let permits: Permits = Arc::new(|name| !name.contains(HIDDEN));
        let narrow = Narrow { permits: &permits, probe: &self.backend };
        match dialect.narrow(narrow, request).await {
            Ok(Narrowed { request, dialect }) => dialect.respond(self.backend.call(request).await),
            Err(refusal) => dialect.refuse(&refusal),
        }
    }

    /// Waits for no longer than it takes to say so.
    fn hold(
        self: Arc<Self>,
        stream: Box<dyn HeldStream>,
        accesses: Vec<Access>,
        request: Request<Body>,
        dialect: Arc<dyn Dialect>,
    ) -> Response<Body> {
        let (mut sender, frames) = mpsc::channel::<Result<Frame<Bytes>, BodyError>>(1);
        let (head, ()) = stream.head().into_parts();
        tokio::spawn(async move {
            let ticket = Ticket {
                id: "a1".to_owned(),
                url: Some("https://gate.example/approvals/a1".to_owned()),
                command: "lockgate approvals approve a1".to_owned(),
                state: TicketState::Pending,
            };
            for bytes in [stream.notice(&ticket, Duration::from_mins(10)), stream.keepalive()] {
                sender.send(Ok(Frame::data(bytes))).await.unwrap();
            }
            let denied = accesses.iter().any(|access| access.binding.contains(HELD_AND_DENIED));
            let resumed = if denied {
                Err(refusal(RefusalKind::ApprovalDenied, &accesses, HELD_AND_DENIED))
            } else {
                stream.resume(dialect.respond(self.backend.call(request).await))
            };
            let mut body =
                resumed.unwrap_or_else(|refusal| lockgate_core::body::full(stream.refuse(&refusal)));
            while let Some(frame) = body.frame().await {
                sender.send(frame).await.unwrap();
            }
        });
        Response::from_parts(head, StreamBody::new(frames.boxed()).boxed_unsync())
    }
}

fn refusal(kind: RefusalKind, accesses: &[Access], word: &str) -> Refusal {
    let refused = accesses.iter().map(|access| match access.binding.contains(word) {
        true => AccessRefusal { reason: format!("nobody may have {word} ones"), rule: Some("words".into()) },
        false => AccessRefusal { reason: "refused together with the others".into(), rule: None },
    });
    let refusal = Refusal::new(kind, format!("nobody may have {word} ones")).with_accesses(refused.collect());
    if kind == RefusalKind::ApprovalNeeded {
        refusal.with_url("https://gate.example/approvals/a1")
    } else {
        refusal
    }
}

/// `push update branch refs/heads/main`, and what else differs from the usual.
fn line(access: &Access) -> String {
    let value = |name| access.attributes.get(name).map(ToString::to_string).unwrap_or_default();
    let mut line = match access.action {
        "push" => format!("push {} {} {}", value("change"), value("kind"), value("ref")),
        other => format!("{other} {}", access.resource),
    };
    for name in ["ancestry", "option", "atomic"] {
        let value = value(name);
        if !["", "false", "fast-forward"].contains(&&*value) {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    line
}
