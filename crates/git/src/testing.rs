//! What the tests share: real repositories, and `git http-backend` as their upstream.

pub(crate) mod packs;

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use lockgate_core::{
    access::Needs,
    body::{self, Body},
    principal::{Principal, SessionId},
    protocol::{Context, Probe},
    refusal::Refusal,
    spool::Spools,
    upstream::{Auth, Upstream},
};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::oid::{ObjectFormat, Oid};

/// A folder with a bare repository `app.git` that is the upstream, and a clone `work`.
pub(crate) struct Repo {
    pub(crate) dir: TempDir,
}

impl Repo {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        let format = format!("--object-format={}", format.word());
        repo.run(".", &["init", "-q", "--bare", "-b", "main", &format, "app.git"]);
        repo.run(".", &["init", "-q", "-b", "main", &format, "work"]);
        repo.run("work", &["remote", "add", "upstream", "../app.git"]);
        for (name, value) in [("http.receivepack", "true"), ("receive.advertisePushOptions", "true")] {
            repo.run("app.git", &["config", name, value]);
        }
        repo
    }

    /// Runs git in the clone.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        self.run("work", arguments)
    }

    /// Runs git in a folder; it must succeed.
    pub(crate) fn run(&self, folder: &str, arguments: &[&str]) -> String {
        let output = git(&self.dir.path().join(folder)).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {text}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Commits a change of its own.
    pub(crate) fn commit(&self, message: &str) -> Oid {
        let file = self.dir.path().join("work").join(message.split(' ').next().unwrap());
        std::fs::write(file, message).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", message]);
        self.oid("HEAD")
    }

    pub(crate) fn oid(&self, revision: &str) -> Oid {
        Oid::from_hex(self.git(&["rev-parse", revision]).as_bytes()).unwrap()
    }

    /// A pack of revisions, as `git rev-list` takes them.
    pub(crate) fn pack(&self, revisions: &[&str], options: &[&str]) -> Vec<u8> {
        let arguments = [&["pack-objects", "--revs", "--stdout", "-q"], options].concat();
        self.feed(&arguments, &(revisions.join("\n") + "\n"))
    }

    /// Makes what a stream for `git fast-import` says.
    pub(crate) fn import(&self, stream: &str) {
        self.feed(&["fast-import", "--quiet"], stream);
    }

    fn feed(&self, arguments: &[&str], input: &str) -> Vec<u8> {
        let mut command = git(&self.dir.path().join("work"));
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        output.stdout
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend { root: self.dir.path().to_owned(), asked: Arc::default() }
    }
}

/// A git that knows nothing of this machine's settings.
pub(crate) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env_clear().envs(environment());
    command
}

pub(crate) fn environment() -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("PATH", std::env::var("PATH").unwrap()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
        ("HOME", "/nonexistent".to_owned()),
        ("GIT_TERMINAL_PROMPT", "0".to_owned()),
    ];
    for (name, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.com"), ("DATE", "1700000000 +0100")] {
        environment.push((leak("AUTHOR", name), value.to_owned()));
        environment.push((leak("COMMITTER", name), value.to_owned()));
    }
    environment
}

fn leak(who: &str, what: &str) -> &'static str {
    format!("GIT_{who}_{what}").leak()
}

/// `git http-backend`, called as a web server would.
#[derive(Clone)]
pub(crate) struct Backend {
    root: std::path::PathBuf,
    /// The requests so far, as `METHOD path?query`.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        self.asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let (head, body) = request.into_parts();
        let mut command = tokio::process::Command::from(self.command(&head));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let body = read(body).await;
        let feed = async {
            // A backend that refuses does not read.
            let _ = input.write_all(&body).await;
            drop(input);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        response(&output.unwrap().stdout)
    }

    fn command(&self, head: &http::request::Parts) -> Command {
        let header = |name: &str| {
            head.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let mut command = git(&self.root);
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REMOTE_USER", "gate")
            .env("REQUEST_METHOD", head.method.as_str())
            .env("PATH_INFO", head.uri.path())
            .env("QUERY_STRING", head.uri.query().unwrap_or_default())
            .env("CONTENT_TYPE", header("content-type"))
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("GIT_PROTOCOL", header("git-protocol"));
        command
    }
}

impl Probe for Backend {
    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        Box::pin(async { Ok(self.call(request).await) })
    }
}

/// Parses what a CGI program wrote.
fn response(output: &[u8]) -> Response<Body> {
    let end = output.windows(4).position(|part| part == b"\r\n\r\n").expect("a CGI head");
    let mut response = Response::new(body::full(output[end + 4..].to_vec()));
    for line in std::str::from_utf8(&output[..end]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            *response.status_mut() = value.split(' ').next().unwrap().parse().unwrap();
        } else {
            let name: http::HeaderName = name.parse().unwrap();
            response.headers_mut().append(name, value.parse().unwrap());
        }
    }
    response
}

/// An upstream's client that has none.
pub(crate) struct Unreachable;

impl Probe for Unreachable {
    fn send(&self, _: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        let refusal = Refusal::new(lockgate_core::refusal::RefusalKind::UpstreamUnavailable, "down");
        Box::pin(async { Err(refusal) })
    }
}

/// What classifying needs.
pub(crate) struct Rig {
    pub(crate) upstream: Arc<Upstream>,
    principal: Arc<Principal>,
    session: SessionId,
    pub(crate) spools: Spools,
    pub(crate) needs: Needs,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Auth::Oidc)
    }

    pub(crate) fn with(auth: Auth) -> Self {
        let upstream =
            Upstream { auth, ..Upstream::new("box", "git", "http://upstream.example/".parse().unwrap()) };
        let spools = Spools { dir: std::env::temp_dir(), memory: 64 * 1024, max: 64 << 20 };
        let principal = Arc::new(Principal::passthrough(Some("ada")));
        let session = SessionId::derive(&principal, &[]);
        Self { upstream: Arc::new(upstream), principal, session, spools, needs: Needs::default() }
    }

    /// Takes names for the same that differ in case.
    pub(crate) fn ignore_case(&mut self) {
        let upstream = Upstream { ignore_case: true, ..Upstream::clone(&self.upstream) };
        self.upstream = Arc::new(upstream);
    }

    pub(crate) fn context<'a>(&'a self, probe: &'a dyn Probe) -> Context<'a> {
        Context {
            upstream: &self.upstream,
            principal: &self.principal,
            session: &self.session,
            exchange: Default::default(),
            recorded: None,
            spools: &self.spools,
            probe,
            early: None,
            needs: &self.needs,
        }
    }
}

/// The whole of a body of some megabytes at most.
pub(crate) async fn read(body: Body) -> Bytes {
    #[expect(clippy::disallowed_methods, reason = "limited")]
    let whole = Limited::new(body, 64 << 20).collect().await;
    whole.unwrap().to_bytes()
}

/// A body that comes in pieces of these lengths, over and over.
pub(crate) fn pieces(bytes: &[u8], cuts: &[usize]) -> Body {
    let (mut rest, mut frames, mut cuts) = (bytes, Vec::new(), cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len())));
        frames.push(Ok(http_body::Frame::data(Bytes::copy_from_slice(piece))));
        rest = after;
    }
    http_body_util::StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

/// What git and its server once said to each other.
pub(crate) fn transcript(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name)).unwrap()
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
