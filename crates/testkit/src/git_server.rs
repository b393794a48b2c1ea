//! A real Git server: `git http-backend` behind nginx and fcgiwrap, as Debian runs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::leash::Leash;
use crate::lfs_server::{LfsServer, LfsStorage};
use crate::nginx::{self, Nginx};
use crate::{Identity, ObjectFormat, Repo, wait};

/// What the server asks of its callers.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Nothing: everyone may fetch and push.
    #[default]
    Anyone,
    /// This user and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// This bearer token.
    Bearer(String),
}

/// How the server is set up.
#[derive(Clone, Debug, Default)]
pub struct GitServerOptions {
    /// Who may call.
    pub auth: Auth,
    /// TLS with h2 and http/1.1, instead of plain http/1.1.
    pub tls: Option<Identity>,
    /// LFS beside the repositories, for the user of [`Auth::Basic`].
    pub lfs: Option<LfsStorage>,
}

/// A running Git server; its repositories and processes end with this value.
#[derive(Debug)]
pub struct GitServer {
    nginx: Nginx,
    lfs: Option<LfsServer>,
    _fcgiwrap: Leash,
}

/// One request that the server has answered, or that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedRequest {
    /// The method.
    pub method: String,
    /// The path as it was sent, with the query.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// The status; 499 when the client went away.
    pub status: u16,
    /// Bytes of the request, head included.
    pub request_bytes: u64,
    /// The headers that a gateway sets, strips or keeps, where they were sent; names in lower case.
    pub headers: Vec<(String, String)>,
}

impl ServedRequest {
    /// A header that was sent. Known are those of `LOGGED`: Authorization, identity and forwarding headers,
    /// Git-Protocol, Content-Encoding, Transfer-Encoding, Content-Length, Cookie, Host, Expect, User-Agent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl GitServer {
    /// A plain server that asks for nothing.
    ///
    /// # Errors
    /// When nginx, fcgiwrap or git is missing or does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(&GitServerOptions::default())
    }

    /// A server with the given options.
    ///
    /// # Errors
    /// When nginx, fcgiwrap or git is missing or does not come up.
    pub fn start_with(options: &GitServerOptions) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("repos"))?;
        let fcgiwrap = start_fcgiwrap(folder.path())?;
        let lfs = match (options.lfs, &options.auth) {
            (None, _) => None,
            (Some(storage), Auth::Basic { user, password }) => {
                Some(LfsServer::start(folder.path(), (user, password), storage)?)
            }
            (Some(_), Auth::Anyone | Auth::Bearer(_)) => {
                bail!("the LFS server knows a user and password only")
            }
        };
        let beside = lfs.as_ref().map(LfsServer::location).unwrap_or_default();
        let server = [auth(&options.auth, folder.path())?.as_str(), &location()?, &beside].concat();
        let nginx = Nginx::start_in(folder, &log_format(), &server, options.tls.as_ref())?;
        Ok(Self { nginx, lfs, _fcgiwrap: fcgiwrap })
    }

    /// `http://127.0.0.1:<port>`, or https.
    #[must_use]
    pub fn url(&self) -> String {
        self.nginx.url()
    }

    /// The address of the LFS server itself, behind the web server.
    ///
    /// # Errors
    /// When there is none.
    pub fn lfs_url(&self) -> Result<String> {
        Ok(self.lfs.as_ref().context("the server has no LFS")?.url())
    }

    /// The file of a repository's LFS object, there or not.
    #[must_use]
    pub fn lfs_object(&self, repository: &str, oid: &str) -> PathBuf {
        self.nginx.folder().join("lfs").join(repository).join(oid)
    }

    /// The web server.
    #[must_use]
    pub fn nginx(&self) -> &Nginx {
        &self.nginx
    }

    /// A new empty bare repository, which can be pushed to; `name` is its path below the URL.
    ///
    /// # Errors
    /// When git fails.
    pub fn create(&self, name: &str) -> Result<Repo> {
        self.create_with(name, ObjectFormat::Sha1)
    }

    /// As [`GitServer::create`], with another object format.
    ///
    /// # Errors
    /// When git fails.
    pub fn create_with(&self, name: &str, format: ObjectFormat) -> Result<Repo> {
        Repo::init(&self.path(name), &format!("{}/{name}", self.url()), format)
    }

    /// A copy of a repository that is somewhere else on disk.
    ///
    /// # Errors
    /// When git fails.
    pub fn copy(&self, name: &str, source: &Path) -> Result<Repo> {
        Repo::copy(&self.path(name), &format!("{}/{name}", self.url()), source)
    }

    /// The requests that reached the server and have ended, in the order of their ends.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests(&self) -> Result<Vec<ServedRequest>> {
        let log = match std::fs::read_to_string(self.nginx.folder().join("requests.log")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            log => log.context("cannot read the access log")?,
        };
        // The last line may be half written.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| parse(line).with_context(|| format!("access log: {line}"))).collect()
    }

    /// Waits until a request that fits has ended.
    ///
    /// # Errors
    /// When none came within [`wait::PATIENCE`].
    pub fn wait_for(&self, what: &str, fits: impl Fn(&ServedRequest) -> bool) -> Result<ServedRequest> {
        wait::until(what, || self.requests().ok()?.into_iter().find(&fits))
    }

    /// Waits until the server is busy with nothing, whatever happened to its clients.
    ///
    /// # Errors
    /// When it is still busy after [`wait::PATIENCE`].
    pub fn wait_idle(&self) -> Result<()> {
        self.nginx.wait_idle()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.nginx.folder().join("repos").join(name)
    }
}

/// As many requests at once as are plausible in a test; more of them wait in the socket's queue.
const PROCESSES: &str = "64";

fn start_fcgiwrap(folder: &Path) -> Result<Leash> {
    let socket = folder.join("fcgi.sock");
    let mut command = Command::new(nginx::program("fcgiwrap")?);
    command.args(["-f", "-c", PROCESSES, "-s"]).arg(format!("unix:{}", socket.display()));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let leash = Leash::start(&command, folder, "fcgiwrap")?;
    wait::until("fcgiwrap", || socket.exists().then_some(()))?;
    Ok(leash)
}

fn auth(auth: &Auth, folder: &Path) -> Result<String> {
    Ok(match auth {
        Auth::Anyone => String::new(),
        Auth::Basic { user, password } => {
            let path = folder.join("users");
            std::fs::write(&path, format!("{user}:{{PLAIN}}{password}\n"))?;
            format!("auth_basic upstream; auth_basic_user_file {};\n", path.display())
        }
        Auth::Bearer(token) => format!("if ($http_authorization != \"Bearer {token}\") {{ return 401; }}\n"),
    })
}

/// Bodies stream in both directions, chunked requests included: neither nginx nor fcgiwrap (which knows
/// `NO_BUFFERING`) keeps anything back.
fn location() -> Result<String> {
    let exec_path = Command::new("git").arg("--exec-path").output().context("cannot run git")?;
    let backend = Path::new(String::from_utf8(exec_path.stdout)?.trim()).join("git-http-backend");
    if !backend.is_file() {
        bail!("{} is missing: install all of git", backend.display());
    }
    Ok(LOCATION.replace("{backend}", &backend.display().to_string()))
}

const LOCATION: &str = "
location / {
    fastcgi_pass unix:{folder}/fcgi.sock;
    fastcgi_request_buffering off;
    fastcgi_buffering off;
    fastcgi_read_timeout 600s;
    fastcgi_param SCRIPT_FILENAME {backend};
    fastcgi_param GIT_PROJECT_ROOT {folder}/repos;
    fastcgi_param GIT_HTTP_EXPORT_ALL 1;
    fastcgi_param GIT_PROTOCOL $http_git_protocol;
    fastcgi_param GIT_CONFIG_NOSYSTEM 1;
    fastcgi_param HOME {folder};
    fastcgi_param PATH_INFO $uri;
    fastcgi_param QUERY_STRING $query_string;
    fastcgi_param REQUEST_METHOD $request_method;
    fastcgi_param CONTENT_TYPE $content_type;
    fastcgi_param CONTENT_LENGTH $content_length;
    fastcgi_param REMOTE_ADDR $remote_addr;
    fastcgi_param REMOTE_USER $remote_user;
    fastcgi_param NO_BUFFERING 1;
}
access_log {folder}/requests.log requests;
";

/// The headers that the access log keeps.
const LOGGED: [&str; 17] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "git-protocol",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-user",
    "x-remote-user",
];

fn log_format() -> String {
    let headers = LOGGED.map(|name| format!(r#""{name}":"$http_{}""#, name.replace('-', "_")));
    format!(
        r#"log_format requests escape=json '{{"method":"$request_method","path":"$request_uri","protocol":"$server_protocol","status":$status,"bytes":$request_length,"headers":{{{}}}}}';"#,
        headers.join(",")
    )
}

fn parse(line: &str) -> Result<ServedRequest> {
    let entry: Value = serde_json::from_str(line)?;
    let text = |name: &str| entry[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    let headers = entry["headers"].as_object().context("no headers")?.iter();
    let sent = headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Ok(ServedRequest {
        method: text("method")?,
        path: text("path")?,
        protocol: text("protocol")?,
        status: entry["status"].as_u64().and_then(|status| status.try_into().ok()).context("no status")?,
        request_bytes: entry["bytes"].as_u64().context("no bytes")?,
        headers: sent.filter(|(_, value)| !value.is_empty()).collect(),
    })
}
