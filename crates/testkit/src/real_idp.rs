//! A certified OpenID provider: the npm package `oidc-provider`, under node.

use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::leash::Leash;
use crate::{Port, nginx, packages, wait};

const SCRIPT: &str = include_str!("../js/provider.mjs");

/// The one client that the provider knows; its id is the subject of its tokens.
const CLIENT: (&str, &str) = ("ci-runner", "ci-runner-secret");

/// A running provider; it ends with this value.
#[derive(Debug)]
pub struct RealIdp {
    port: Port,
    _node: Leash,
    _folder: TempDir,
}

impl RealIdp {
    /// Starts the provider.
    ///
    /// # Errors
    /// When node or the packages are missing, or it does not come up.
    pub fn start() -> Result<Self> {
        let packages = packages::installed("oidc-provider/node_modules")?;
        let folder = tempfile::tempdir()?;
        let script = folder.path().join("provider.mjs");
        std::fs::write(&script, SCRIPT)?;
        std::os::unix::fs::symlink(packages, folder.path().join("node_modules"))?;

        let port = Port::reserve()?;
        let mut node = Command::new(nginx::program("node")?);
        node.arg(script).arg(port.number().to_string()).args([CLIENT.0, CLIENT.1]);
        let leash = Leash::start(&node, folder.path(), "node")?;
        let log = || std::fs::read_to_string(folder.path().join("node.log")).unwrap_or_default();
        wait::until("the provider", || std::net::TcpStream::connect(port.addr()).ok()).with_context(log)?;
        Ok(Self { port, _node: leash, _folder: folder })
    }

    /// The issuer, `iss`.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}", self.port.addr())
    }

    /// The subject of the tokens.
    #[must_use]
    pub fn subject(&self) -> &'static str {
        CLIENT.0
    }

    /// A JWT access token for an audience, by the client credentials grant.
    ///
    /// # Errors
    /// When the provider refuses.
    pub fn token(&self, audience: &str) -> Result<String> {
        // The test may be on a runtime of its own, where another cannot block: a thread can.
        std::thread::scope(|scope| scope.spawn(|| self.ask(audience)).join())
            .unwrap_or_else(|_| bail!("the request for a token panicked"))
    }

    fn ask(&self, audience: &str) -> Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer: Value = serde_json::from_slice(&runtime.block_on(self.post(audience))?)?;
        answer["access_token"].as_str().map(str::to_owned).with_context(|| format!("no token: {answer}"))
    }

    async fn post(&self, audience: &str) -> Result<Bytes> {
        let stream = TcpStream::connect(self.port.addr()).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post("/token")
            .header(header::HOST, self.port.addr().to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(
                header::AUTHORIZATION,
                format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1))),
            )
            .body(Full::new(Bytes::from(format!("grant_type=client_credentials&resource=urn:{audience}"))))?;
        let answer = sender.send_request(request).await?.into_body();
        #[expect(clippy::disallowed_methods, reason = "limited")]
        let body = Limited::new(answer, 1 << 20).collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!(error))?.to_bytes())
    }
}
