//! A real registry: `docker-registry`, as Debian packages it, with its files in a folder.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::leash::Leash;
use crate::{Idp, Lockgate, Port, nginx, wait};

/// The password of [`Registry::USER`], as the registry's file of users has it (bcrypt).
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuDrwW6sPI2Vv2AOaWD9AUrKm4vD23IjO";

/// How the registry is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistryOptions {
    /// Only [`Registry::USER`] may call.
    pub with_password: bool,
}

/// A running registry; its content and process end with this value.
#[derive(Debug)]
pub struct Registry {
    port: Port,
    folder: TempDir,
    _leash: Leash,
}

impl Registry {
    /// The user of a registry with a password.
    pub const USER: &str = "gate";
    /// Its password.
    pub const PASSWORD: &str = "registry-s3cret";

    /// A registry that asks for nothing.
    ///
    /// # Errors
    /// When docker-registry is missing or does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(RegistryOptions::default())
    }

    /// A registry with the given options.
    ///
    /// # Errors
    /// When docker-registry is missing or does not come up.
    pub fn start_with(options: RegistryOptions) -> Result<Self> {
        let (port, folder) = (Port::reserve()?, tempfile::tempdir()?);
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config(&port, folder.path(), options)?.to_string())?;
        let mut command = Command::new(nginx::program("docker-registry")?);
        command.arg("serve").arg(&file);
        // It would send its traces there.
        command.env("OTEL_TRACES_EXPORTER", "none");
        let leash = Leash::start(&command, folder.path(), "registry")?;
        wait::until("the registry", || TcpStream::connect(port.addr()).ok()).with_context(|| {
            std::fs::read_to_string(folder.path().join("registry.log")).unwrap_or_default()
        })?;
        Ok(Self { port, folder, _leash: leash })
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// `127.0.0.1:<port>`, as names of images begin.
    #[must_use]
    pub fn host(&self) -> String {
        self.port.addr().to_string()
    }

    /// A running gateway before it, where it is `hub`, for whom `idp` vouches. `program` is the binary.
    ///
    /// # Errors
    /// When the gateway does not start.
    pub fn gate(&self, program: &Path, idp: &Idp, policy: &str) -> Result<Lockgate> {
        let mut gate = Lockgate::prepare(program.canonicalize().context("the lockgate binary")?)?;
        std::fs::write(gate.folder().join("policy.yaml"), policy)?;
        let config = json!({
            "listen": { "address": gate.port().addr().to_string() },
            "data_dir": "data",
            "policy": "policy.yaml",
            "upstreams": [{ "name": "hub", "kind": "oci", "url": self.url() }],
            "issuers": [{ "name": "idp", "issuer": idp.issuer(), "audiences": ["lockgate"] }],
            "control": { "listen": gate.control_port().addr().to_string() },
        });
        gate.configure(&config.to_string())?;
        gate.start()?;
        Ok(gate)
    }

    /// All it has logged: a line for each request.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(self.folder.path().join("registry.log")).context("the registry's log")
    }

    /// Whether it stores a blob or manifest of this digest, in any repository.
    #[must_use]
    pub fn stores(&self, digest: &str) -> bool {
        let hex = digest.trim_start_matches("sha256:");
        let place =
            format!("storage/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2.min(hex.len())]);
        self.folder.path().join(place).is_file()
    }

    /// The digest that a tag stands for.
    #[must_use]
    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        let place = format!(
            "storage/docker/registry/v2/repositories/{repository}/_manifests/tags/{tag}/current/link"
        );
        std::fs::read_to_string(self.folder.path().join(place)).ok()
    }
}

fn config(port: &Port, folder: &Path, options: RegistryOptions) -> Result<Value> {
    let mut config = json!({
        "version": "0.1",
        "log": { "level": "info", "accesslog": { "disabled": false } },
        "storage": {
            "filesystem": { "rootdirectory": folder.join("storage") },
            "delete": { "enabled": true },
        },
        "http": { "addr": port.addr().to_string() },
    });
    if options.with_password {
        let users = folder.join("users");
        std::fs::write(&users, format!("{}:{HASH}\n", Registry::USER))?;
        config["auth"] = json!({ "htpasswd": { "realm": "registry", "path": users } });
    }
    Ok(config)
}
