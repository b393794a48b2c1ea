//! The real clients of registries, kept apart from the configuration of whoever runs the tests.

mod prepare;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::leash::Leash;
use crate::{Output, Running, nginx, packages};

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A client of registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageTool {
    /// skopeo, which copies images.
    Skopeo,
    /// podman, with storage of its own.
    Podman,
    /// buildah, with storage of its own.
    Buildah,
    /// docker, with an engine of its own.
    Docker,
    /// containerd's ctr, with a containerd of its own.
    Ctr,
    /// crane, of go-containerregistry.
    Crane,
    /// oras.
    Oras,
    /// oras's library in Python, behind a driver.
    OrasPy,
    /// regctl, of regclient.
    Regctl,
    /// helm, which pushes a chart, whatever image it is given.
    Helm,
}

impl ImageTool {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Skopeo,
        Self::Podman,
        Self::Buildah,
        Self::Docker,
        Self::Ctr,
        Self::Crane,
        Self::Oras,
        Self::OrasPy,
        Self::Regctl,
        Self::Helm,
    ];

    /// A tag that it can push and that ends with this word: helm's are the versions of charts.
    #[must_use]
    pub fn tag(self, word: &str) -> String {
        let is_version = self == Self::Helm;
        if is_version { format!("1.0.0-{word}") } else { word.to_owned() }
    }

    fn program(self) -> Result<PathBuf> {
        let built = |name: &str| Ok(packages::installed("image-clients")?.join(name));
        match self {
            Self::Skopeo => nginx::program("skopeo"),
            Self::Podman => nginx::program("podman"),
            Self::Buildah => nginx::program("buildah"),
            Self::Docker => nginx::program("docker"),
            Self::Ctr => nginx::program("ctr"),
            Self::Crane => built("crane"),
            Self::Oras => built("oras"),
            Self::OrasPy => Ok(packages::installed("image-clients-python")?.join("bin/python")),
            Self::Regctl => built("regctl"),
            Self::Helm => Ok(packages::installed("kubernetes")?.join("helm")),
        }
    }
}

/// A user of a client: a home, and a user name with a password.
#[derive(Debug)]
pub struct ImageClient {
    tool: ImageTool,
    credential: Option<String>,
    /// Ends before its home is removed, which it has mounted.
    _daemon: Option<Leash>,
    home: TempDir,
}

impl ImageClient {
    /// A user who presents this, `user:password`.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn new(tool: ImageTool, credential: Option<&str>) -> Result<Self> {
        let home = tempfile::tempdir()?;
        std::fs::write(
            home.path().join("policy.json"),
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        )?;
        std::fs::write(home.path().join("registries.conf"), "")?;
        std::fs::write(home.path().join("auth.json"), "{}")?;
        let daemon = prepare::daemon(tool, home.path())?;
        Ok(Self { tool, credential: credential.map(str::to_owned), _daemon: daemon, home })
    }

    /// The home, where commands run.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Pushes the image of a layout, as [`crate::Image::write`] makes them, to `host/repository:tag`.
    ///
    /// # Errors
    /// When the client cannot be run or hangs.
    pub fn push(&self, layout: &Path, reference: &str) -> Result<Output> {
        self.begin_push(layout, reference)?.finish(LIMIT)
    }

    /// Begins to.
    ///
    /// # Errors
    /// When the client cannot be run.
    pub fn begin_push(&self, layout: &Path, reference: &str) -> Result<Running> {
        let (source, target) = (format!("oci:{}:image", layout.display()), format!("docker://{reference}"));
        let mut command = self.command()?;
        match self.tool {
            ImageTool::Skopeo => {
                command.args(["copy", "--dest-tls-verify=false"]);
                command.args(self.credential.iter().flat_map(|credential| ["--dest-creds", credential]));
                command.args([&source, &target]);
            }
            ImageTool::Podman | ImageTool::Buildah => {
                let id = self.take(layout)?;
                command.args(["push", "--tls-verify=false"]);
                command.args(self.credential.iter().flat_map(|credential| ["--creds", credential]));
                command.args([id.trim(), &target]);
            }
            ImageTool::Docker => {
                self.log_in(reference)?;
                self.load(layout, reference)?;
                command.args(["push", reference]);
            }
            ImageTool::Ctr => {
                self.import(layout, reference)?;
                command.args(["images", "push", "--plain-http"]);
                command
                    .args(self.credential.iter().flat_map(|credential| ["--user", credential]))
                    .arg(reference);
            }
            ImageTool::Crane => {
                self.log_in(reference)?;
                command.args(["push", "--insecure"]).arg(layout).arg(reference);
            }
            ImageTool::Oras => {
                self.log_in(reference)?;
                command.args(["copy", "--to-plain-http", "--from-oci-layout"]);
                command.arg(format!("{}:image", layout.display())).arg(reference);
            }
            ImageTool::OrasPy => drop(command.arg("push").arg(layout).arg(reference)),
            ImageTool::Regctl => {
                self.log_in(reference)?;
                command.args(["image", "copy", "--host", &plain(reference)]);
                command.arg(format!("ocidir://{}:image", layout.display())).arg(reference);
            }
            ImageTool::Helm => {
                self.log_in(reference)?;
                let (chart, registry) = self.chart(layout, reference)?;
                command.args(["push", "--plain-http"]).arg(chart).arg(registry);
            }
        }
        Running::start(&mut command)
    }

    /// Pulls an image.
    ///
    /// # Errors
    /// When the client cannot be run or hangs.
    pub fn pull(&self, reference: &str) -> Result<Output> {
        let source = format!("docker://{reference}");
        let mut command = self.command()?;
        match self.tool {
            ImageTool::Skopeo => {
                command.args(["copy", "--src-tls-verify=false"]);
                command.args(self.credential.iter().flat_map(|credential| ["--src-creds", credential]));
                command.arg(&source).arg(format!("oci:{}:image", self.pulled().display()));
            }
            ImageTool::Podman | ImageTool::Buildah => {
                command.args(["pull", "--tls-verify=false"]);
                command.args(self.credential.iter().flat_map(|credential| ["--creds", credential]));
                command.arg(&source);
            }
            ImageTool::Docker => {
                self.log_in(reference)?;
                command.args(["pull", reference]);
            }
            ImageTool::Ctr => {
                command.args(["images", "pull", "--plain-http", "--snapshotter", "native"]);
                command
                    .args(self.credential.iter().flat_map(|credential| ["--user", credential]))
                    .arg(reference);
            }
            ImageTool::Crane => {
                self.log_in(reference)?;
                command.args(["pull", "--insecure", "--format", "oci", reference]).arg(self.pulled());
            }
            ImageTool::Oras => {
                self.log_in(reference)?;
                command.args(["copy", "--from-plain-http", "--to-oci-layout", reference]);
                command.arg(format!("{}:image", self.pulled().display()));
            }
            ImageTool::OrasPy => drop(command.arg("pull").arg(reference).arg(self.pulled())),
            ImageTool::Regctl => {
                self.log_in(reference)?;
                command.args(["image", "copy", "--host", &plain(reference), reference]);
                command.arg(format!("ocidir://{}:image", self.pulled().display()));
            }
            ImageTool::Helm => {
                self.log_in(reference)?;
                std::fs::create_dir_all(self.pulled())?;
                let (name, version) = split(reference)?;
                command.args(["pull", "--plain-http", "--version", version, "--destination"]);
                command.arg(self.pulled()).arg(format!("oci://{name}"));
            }
        }
        Running::start(&mut command)?.finish(LIMIT)
    }

    /// Where those put what they pull that have no storage of their own.
    #[must_use]
    pub fn pulled(&self) -> PathBuf {
        self.home().join("pulled")
    }

    /// Runs the client with these arguments.
    ///
    /// # Errors
    /// When the client cannot be run or hangs.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        Running::start(self.command()?.args(args))?.finish(LIMIT)
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.tool.program()?);
        let home = self.home();
        command.current_dir(home).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run")).env("TMPDIR", home);
        command.env("REGISTRY_AUTH_FILE", home.join("auth.json"));
        command.env("CONTAINERS_REGISTRIES_CONF", home.join("registries.conf"));
        std::fs::create_dir_all(home.join("run"))?;
        std::fs::create_dir_all(home.join(".config/containers"))?;
        std::fs::copy(home.join("policy.json"), home.join(".config/containers/policy.json"))?;
        match self.tool {
            ImageTool::Skopeo => {
                command.arg("--policy").arg(home.join("policy.json"));
            }
            ImageTool::Podman | ImageTool::Buildah => {
                command.arg("--root").arg(home.join("storage"));
                command.arg("--runroot").arg(home.join("run")).args(["--storage-driver", "vfs"]);
            }
            ImageTool::Docker => {
                command.env("DOCKER_CONFIG", home.join("docker"));
                command.arg("--host").arg(format!("unix://{}", home.join("docker.sock").display()));
            }
            ImageTool::Ctr => {
                command.arg("--address").arg(home.join("containerd.sock"));
            }
            ImageTool::OrasPy => {
                let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/python");
                // Compiled, the driver would leave files beside itself.
                command.arg("-B").arg(drivers.join("oras_client.py"));
                command.env("CREDENTIAL", self.credential.as_deref().unwrap_or_default());
            }
            ImageTool::Crane | ImageTool::Oras | ImageTool::Regctl => {
                command.env("DOCKER_CONFIG", home.join("docker"));
            }
            ImageTool::Helm => drop(command.env("HELM_REGISTRY_CONFIG", home.join("docker/config.json"))),
        }
        Ok(command)
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = Running::start(command)?.finish(LIMIT)?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", output.stderr);
    Ok(())
}

/// How regctl is told that a registry is reached without TLS.
fn plain(reference: &str) -> String {
    format!("reg={},tls=disabled", reference.split('/').next().unwrap_or_default())
}

/// A reference's name and tag.
fn split(reference: &str) -> Result<(&str, &str)> {
    reference.rsplit_once(':').context("a reference with a tag")
}
