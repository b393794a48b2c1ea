//! A real nginx in a temporary folder, on a loopback port.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::leash::Leash;
use crate::{Identity, Port, wait};

/// A running nginx with one server; it ends with this value.
#[derive(Debug)]
pub struct Nginx {
    leash: Leash,
    port: Port,
    tls: bool,
    folder: TempDir,
}

impl Nginx {
    /// Starts nginx: `http` goes into the `http` block, `server` into the one server, which listens with TLS
    /// and h2 when an identity is given. In both, `{folder}` is the temporary folder.
    ///
    /// # Errors
    /// When nginx is missing or does not come up; the error holds its log.
    pub fn start(http: &str, server: &str, tls: Option<&Identity>) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, http, server, tls)
    }

    /// As [`Nginx::start`], in a folder that was prepared.
    pub(crate) fn start_in(
        folder: TempDir,
        http: &str,
        server: &str,
        tls: Option<&Identity>,
    ) -> Result<Self> {
        let port = Port::reserve()?;
        let path = folder.path();
        let listen = match tls {
            None => format!("listen {};", port.addr()),
            Some(identity) => {
                let (cert, key) = identity.write(path)?;
                format!(
                    "listen {} ssl http2; ssl_certificate {}; ssl_certificate_key {};",
                    port.addr(),
                    cert.display(),
                    key.display()
                )
            }
        };
        let config = CONFIG.replace("{user}", user()).replace("{http}", http).replace("{server}", server);
        let config = config.replace("{listen}", &listen).replace("{folder}", &path.display().to_string());
        let config_path = path.join("nginx.conf");
        std::fs::write(&config_path, config)?;

        let mut command = Command::new(program("nginx")?);
        command.arg("-c").arg(&config_path).arg("-p").arg(path).arg("-e").arg(path.join("error.log"));
        let leash = Leash::start(&command, path, "nginx")?;
        let nginx = Self { leash, port, tls: tls.is_some(), folder };
        wait::until("nginx", || nginx.status().ok()).with_context(|| nginx.log())?;
        Ok(nginx)
    }

    /// `http://127.0.0.1:<port>`, or https.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.port.addr())
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// The master process; the workers are its children.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.leash.pid()
    }

    /// The temporary folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What nginx complained of.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("error.log") + &read("nginx.log")
    }

    /// Waits until no request is being read or answered, whoever sent it and however it ends.
    ///
    /// # Errors
    /// When requests are still going on after [`wait::PATIENCE`].
    pub fn wait_idle(&self) -> Result<()> {
        // The question itself is the one connection that is being answered.
        wait::until("nginx to be idle", || {
            self.status().ok().filter(|status| status.contains("Reading: 0 Writing: 1 ")).map(drop)
        })
    }

    /// nginx's own account of its connections.
    fn status(&self) -> Result<String> {
        let mut stream = UnixStream::connect(self.folder.path().join("status.sock"))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        #[expect(clippy::disallowed_methods, reason = "taken in bounds")]
        stream.take(4096).read_to_string(&mut answer)?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).context("no answer from nginx")
    }
}

const CONFIG: &str = "
daemon off;
{user}
worker_processes 2;
pid {folder}/nginx-master.pid;
error_log {folder}/error.log warn;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    client_max_body_size 0;
    {http}
    server {
        {listen}
        {server}
    }
    server {
        listen unix:{folder}/status.sock;
        location / { stub_status; }
    }
}
";

/// Started by root, nginx would give its workers to a user who may not read the temporary folder.
fn user() -> &'static str {
    if rustix::process::geteuid().is_root() { "user root;" } else { "" }
}

/// A program by its name; Debian keeps servers in a folder that is not on everyone's PATH.
///
/// # Errors
/// When it is not installed.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    found.with_context(|| format!("{name} is not installed: run `cargo xtask setup`"))
}
