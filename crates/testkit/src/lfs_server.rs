//! A real LFS server: the Python package `giftless`, in a virtual environment of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::leash::Leash;
use crate::packages::installed;
use crate::{Port, wait};

/// Where `cargo xtask setup` installs the packages.
const PACKAGES: &str = "lfs-server";

const SCRIPT: &str = include_str!("../py/lfs_server.py");

/// Where the server says that objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LfsStorage {
    /// At the Git server's own address.
    Here,
    /// At an address of its own, as with an object storage.
    Elsewhere,
}

/// A running server; it ends with this value.
#[derive(Debug)]
pub(crate) struct LfsServer {
    port: Port,
    storage: LfsStorage,
    _python: Leash,
}

impl LfsServer {
    /// Starts the server, with this one user.
    pub(crate) fn start(folder: &Path, (user, password): (&str, &str), storage: LfsStorage) -> Result<Self> {
        let python = installed(PACKAGES)?.join("bin/python");
        let script = folder.join("lfs_server.py");
        std::fs::write(&script, SCRIPT)?;
        let port = Port::reserve()?;
        let mut command = Command::new(python);
        command.arg(&script).arg(port.number().to_string()).arg(folder.join("lfs"));
        command.env("LFS_USER", user).env("LFS_PASSWORD", password);
        let leash = Leash::start(&command, folder, "giftless")?;
        let log = || std::fs::read_to_string(folder.join("giftless.log")).unwrap_or_default();
        wait::until("the LFS server", || std::net::TcpStream::connect(port.addr()).ok()).with_context(log)?;
        Ok(Self { port, storage, _python: leash })
    }

    /// The server's own address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.port.addr())
    }

    /// Its place in nginx. It knows its callers by itself.
    pub(crate) fn location(&self) -> String {
        let host = match self.storage {
            LfsStorage::Here => "$http_host".to_owned(),
            LfsStorage::Elsewhere => self.port.addr().to_string(),
        };
        format!(
            "location ~ /info/lfs/ {{
                auth_basic off;
                client_max_body_size 0;
                proxy_http_version 1.1;
                proxy_set_header Host {host};
                proxy_pass {};
            }}\n",
            self.url()
        )
    }
}
