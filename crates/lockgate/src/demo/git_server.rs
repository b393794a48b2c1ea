//! The demo's upstream: `git http-backend` as a CGI program behind HTTP, with a password that lockgate alone
//! has.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use lockgate_core::{
    body::{self, Body, BodyError},
    secret::Secret,
    upstream::Credential,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::http::Server;

/// The user that lockgate is at the upstream.
pub(super) const USER: &str = "lockgate";
/// The head of a CGI answer is smaller than this.
const MAX_HEAD: usize = 16 << 10;

/// A running Git server.
#[derive(Debug)]
pub(super) struct GitServer {
    server: Server,
}

impl GitServer {
    /// Serves the repositories below a folder to whoever has the password.
    pub(super) async fn start(root: PathBuf, password: &Secret) -> Result<Self> {
        let credential = Credential::Basic { user: USER.into(), password: password.clone() };
        let expected = credential.header()?.context("a password of plain text")?;
        let root = Arc::new(root);
        let server = Server::start(move |request| answer(Arc::clone(&root), expected.clone(), request));
        Ok(Self { server: server.await? })
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }
}

async fn answer(
    root: Arc<PathBuf>,
    expected: HeaderValue,
    request: Request<Incoming>,
) -> Result<Response<Body>> {
    if request.headers().get(header::AUTHORIZATION) != Some(&expected) {
        let mut response = Response::new(body::full("a password is needed\n"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = HeaderValue::from_static("Basic realm=\"upstream\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return Ok(response);
    }
    let mut child = command(&root, &request).spawn().context("cannot run git http-backend")?;
    let stdin = child.stdin.take().context("stdin is piped")?;
    let mut stdout = child.stdout.take().context("stdout is piped")?;
    tokio::spawn(feed(request.into_body(), stdin));
    let (head, rest) = read_head(&mut stdout).await?;
    let mut response = Response::new(stream_body(rest, stdout, child));
    for line in head.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').context("a field of the CGI answer")?;
        if name.eq_ignore_ascii_case("status") {
            let code = value.split_whitespace().next().context("a status")?;
            *response.status_mut() = StatusCode::from_bytes(code.as_bytes())?;
        } else {
            response.headers_mut().append(HeaderName::try_from(name)?, HeaderValue::try_from(value.trim())?);
        }
    }
    Ok(response)
}

/// RFC 3875, section 4.1, and what `git help http-backend` says.
fn command(root: &Path, request: &Request<Incoming>) -> Command {
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", root)
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("REMOTE_USER", USER)
        .env("REMOTE_ADDR", "127.0.0.1");
    let fields = [
        (header::CONTENT_TYPE, "CONTENT_TYPE"),
        (header::CONTENT_LENGTH, "CONTENT_LENGTH"),
        (header::CONTENT_ENCODING, "HTTP_CONTENT_ENCODING"),
        (HeaderName::from_static("git-protocol"), "GIT_PROTOCOL"),
    ];
    for (field, variable) in fields {
        if let Some(value) = request.headers().get(field).and_then(|value| value.to_str().ok()) {
            command.env(variable, value);
        }
    }
    command
}

/// Carries the request's body to the program; its end closes the pipe.
async fn feed(mut body: Incoming, mut stdin: ChildStdin) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data()
            && stdin.write_all(&data).await.is_err()
        {
            return;
        }
    }
}

/// The head of the answer, and what was read behind it.
async fn read_head(stdout: &mut ChildStdout) -> Result<(String, Bytes)> {
    let mut read = BytesMut::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = read.split_to(end + 4);
            return Ok((String::from_utf8(head.to_vec())?, read.freeze()));
        }
        if read.len() > MAX_HEAD || stdout.read_buf(&mut read).await? == 0 {
            bail!("git http-backend gave no answer");
        }
    }
}

/// The rest of the answer as it comes; the program ends with it.
fn stream_body(first: Bytes, stdout: ChildStdout, child: Child) -> Body {
    let rest = stream::try_unfold((stdout, child), async |(mut stdout, mut child)| {
        let mut piece = BytesMut::with_capacity(64 << 10);
        if stdout.read_buf(&mut piece).await? == 0 {
            child.wait().await?;
            return Ok(None);
        }
        Ok::<_, std::io::Error>(Some((piece.freeze(), (stdout, child))))
    });
    let all = stream::once(async { Ok(first) }).chain(rest);
    let frames = all.map_ok(Frame::data).map_err(|error| BodyError::Upstream(error.into()));
    StreamBody::new(frames).boxed_unsync()
}
