//! The real clients of registries, kept apart from the configuration of whoever runs the tests.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::leash::{Ending, Leash};
use crate::{Output, Running, nginx, wait};

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
}

impl ImageTool {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Skopeo, Self::Podman, Self::Buildah, Self::Docker, Self::Ctr];

    fn program(self) -> &'static str {
        match self {
            Self::Skopeo => "skopeo",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
            Self::Docker => "docker",
            Self::Ctr => "ctr",
        }
    }
}

/// A user of a client: a home, and a user name with a password.
#[derive(Debug)]
pub struct ImageClient {
    tool: ImageTool,
    credential: Option<String>,
    home: TempDir,
    _daemon: Option<Leash>,
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
        let daemon = daemon(tool, home.path())?;
        Ok(Self { tool, credential: credential.map(str::to_owned), home, _daemon: daemon })
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
        }
        Running::start(&mut command)?.finish(LIMIT)
    }

    /// Where skopeo puts what it pulls.
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

    /// Takes an image into the storage of its own; gives its id.
    fn take(&self, layout: &Path) -> Result<String> {
        // It makes a name of the path, and takes no name with capital letters.
        let mut copy = Command::new("cp");
        succeed(
            copy.args(["--recursive", "--no-target-directory"]).arg(layout).arg(self.home().join("layout")),
        )?;
        let output =
            Running::start(self.command()?.args(["pull", "--quiet", "oci:layout:image"]))?.finish(LIMIT)?;
        anyhow::ensure!(output.status.success(), "{}", output.stderr);
        Ok(output.stdout)
    }

    /// Writes down the credential for the host of an image, as `docker login` does.
    fn log_in(&self, reference: &str) -> Result<()> {
        let host = reference.split('/').next().unwrap_or_default();
        let mut config = json!({});
        if let Some(credential) = &self.credential {
            config["auths"][host]["auth"] = BASE64_STANDARD.encode(credential).into();
        }
        std::fs::create_dir_all(self.home().join("docker"))?;
        Ok(std::fs::write(self.home().join("docker/config.json"), config.to_string())?)
    }

    /// Takes an image into docker's engine.
    fn load(&self, layout: &Path, reference: &str) -> Result<()> {
        let archive = self.home().join("archive.tar");
        // skopeo does not write over one.
        let _ = std::fs::remove_file(&archive);
        let mut skopeo = Command::new(nginx::program("skopeo")?);
        skopeo.arg("--policy").arg(self.home().join("policy.json")).env("TMPDIR", self.home()).arg("copy");
        skopeo.arg(format!("oci:{}:image", layout.display()));
        skopeo.arg(format!("docker-archive:{}:{reference}", archive.display()));
        succeed(&mut skopeo)?;
        succeed(self.command()?.args(["load", "--input"]).arg(archive))
    }

    /// Takes an image into containerd.
    fn import(&self, layout: &Path, reference: &str) -> Result<()> {
        let archive = self.home().join("layout.tar");
        let mut tar = Command::new("tar");
        succeed(tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(layout).arg("."))?;
        succeed(
            self.command()?.args(["images", "import", "--no-unpack", "--base-name", "local"]).arg(archive),
        )?;
        succeed(self.command()?.args(["images", "tag", "--force", "local:image", reference]))
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(nginx::program(self.tool.program())?);
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
        }
        Ok(command)
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = Running::start(command)?.finish(LIMIT)?;
    anyhow::ensure!(output.status.success(), "{command:?}: {}", output.stderr);
    Ok(())
}

/// The server that a client needs to have any images.
fn daemon(tool: ImageTool, home: &Path) -> Result<Option<Leash>> {
    let (program, socket) = match tool {
        ImageTool::Skopeo | ImageTool::Podman | ImageTool::Buildah => return Ok(None),
        ImageTool::Docker => ("dockerd", home.join("docker.sock")),
        ImageTool::Ctr => ("containerd", home.join("containerd.sock")),
    };
    let mut command = Command::new(nginx::program(program)?);
    match tool {
        ImageTool::Docker => {
            command.args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"]);
            command.args(["--insecure-registry", "127.0.0.0/8", "--host"]);
            command.arg(format!("unix://{}", socket.display()));
            command.arg("--data-root").arg(home.join("data")).arg("--exec-root").arg(home.join("exec"));
            command.arg("--pidfile").arg(home.join("dockerd.id"));
        }
        ImageTool::Skopeo | ImageTool::Podman | ImageTool::Buildah | ImageTool::Ctr => {
            let config = home.join("containerd.toml");
            std::fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")?;
            command.arg("--config").arg(config).arg("--address").arg(&socket);
            command.arg("--root").arg(home.join("data")).arg("--state").arg(home.join("exec"));
        }
    }
    // Asked to end first: it has children of its own, and mounts.
    let leash = Leash::start_with(&command, home, program, Ending { ask: true, sweep: None })?;
    wait::until(program, || UnixStream::connect(&socket).ok())
        .with_context(|| std::fs::read_to_string(home.join(format!("{program}.log"))).unwrap_or_default())?;
    Ok(Some(leash))
}
