//! A web server whose files may be written: Apache with mod_dav, as git http-push expects it.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::leash::Leash;
use crate::{ObjectFormat, Port, Repo, nginx, wait};

/// A running server of bare repositories, for anybody to read and write; it ends with this value.
#[derive(Debug)]
pub struct DavServer {
    port: Port,
    folder: TempDir,
    _leash: Leash,
}

impl DavServer {
    /// Starts it.
    ///
    /// # Errors
    /// When Apache is missing or does not come up.
    pub fn start() -> Result<Self> {
        let (port, folder) = (Port::reserve()?, tempfile::tempdir()?);
        let path = folder.path();
        let all = std::fs::Permissions::from_mode(0o777);
        for name in ["", "repos", "locks"] {
            std::fs::create_dir_all(path.join(name))?;
            std::fs::set_permissions(path.join(name), all.clone())?;
        }
        let config = CONFIG.replace("{user}", user()).replace("{listen}", &port.addr().to_string());
        std::fs::write(path.join("httpd.conf"), config.replace("{folder}", &path.display().to_string()))?;
        let mut command = Command::new(nginx::program("apache2")?);
        command.args(["-D", "FOREGROUND", "-f"]).arg(path.join("httpd.conf"));
        let leash = Leash::start(&command, path, "apache2")?;
        let log = || {
            let read = |name| std::fs::read_to_string(path.join(name)).unwrap_or_default();
            read("error.log") + &read("apache2.log")
        };
        wait::until("Apache", || TcpStream::connect(port.addr()).ok()).with_context(log)?;
        Ok(Self { port, folder, _leash: leash })
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.addr())
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// A new bare repository with a history of so many commits; `name` is its path below the URL.
    ///
    /// # Errors
    /// When git fails.
    pub fn create(&self, name: &str, commits: u32) -> Result<Repo> {
        let path = self.path(name);
        let repo = Repo::init(&path, &format!("{}/{name}", self.url()), ObjectFormat::Sha1)?;
        // The server may be another user.
        repo.git(&["config", "core.sharedRepository", "0666"])?;
        repo.seed(commits)?;
        repo.git(&["update-server-info"])?;
        let opened = Command::new("chmod").args(["-R", "a+rwX"]).arg(path).status()?;
        ensure!(opened.success(), "chmod failed");
        Ok(repo)
    }

    /// The requests that it has answered, in their order: a line each, as `METHOD path status`.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests(&self) -> Result<Vec<String>> {
        let log = std::fs::read_to_string(self.folder.path().join("access.log")).context("the access log")?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("repos").join(name)
    }
}

const CONFIG: &str = "
ServerName dummy
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/httpd.pid
Listen {listen}
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dav_module /usr/lib/apache2/modules/mod_dav.so
LoadModule dav_fs_module /usr/lib/apache2/modules/mod_dav_fs.so
{user}
StartServers 2
LogFormat \"%m %U %>s\" requests
CustomLog {folder}/access.log requests
ErrorLog {folder}/error.log
DocumentRoot {folder}/repos
DAVLockDB {folder}/locks/db
<Location />
    Dav on
</Location>
";

/// Apache does not serve as root.
fn user() -> &'static str {
    if rustix::process::geteuid().is_root() { "User nobody\nGroup nogroup" } else { "" }
}
