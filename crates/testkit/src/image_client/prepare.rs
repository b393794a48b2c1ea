//! What a client has to have before it pushes: the image in its own storage, a server, a login.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{ImageClient, ImageTool, LIMIT, split, succeed};
use crate::leash::{Ending, Leash};
use crate::{Running, nginx, wait};

impl ImageClient {
    /// Takes an image into the storage of its own; gives its id.
    pub(super) fn take(&self, layout: &Path) -> Result<String> {
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
    pub(super) fn log_in(&self, reference: &str) -> Result<()> {
        let host = reference.split('/').next().unwrap_or_default();
        let mut config = json!({});
        if let Some(credential) = &self.credential {
            config["auths"][host]["auth"] = BASE64_STANDARD.encode(credential).into();
        }
        std::fs::create_dir_all(self.home().join("docker"))?;
        Ok(std::fs::write(self.home().join("docker/config.json"), config.to_string())?)
    }

    /// Takes an image into docker's engine.
    pub(super) fn load(&self, layout: &Path, reference: &str) -> Result<()> {
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
    pub(super) fn import(&self, layout: &Path, reference: &str) -> Result<()> {
        let archive = self.home().join("layout.tar");
        let mut tar = Command::new("tar");
        succeed(tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(layout).arg("."))?;
        succeed(
            self.command()?.args(["images", "import", "--no-unpack", "--base-name", "local"]).arg(archive),
        )?;
        succeed(self.command()?.args(["images", "tag", "--force", "local:image", reference]))
    }

    /// Makes a chart with the name and the version of a reference, and the image as a file; gives the chart, and where
    /// it is pushed to.
    pub(super) fn chart(&self, layout: &Path, reference: &str) -> Result<(PathBuf, String)> {
        let (name, version) = split(reference)?;
        let (registry, chart) = name.rsplit_once('/').context("a name with a path")?;
        let source = self.home().join(chart);
        std::fs::create_dir_all(source.join("files"))?;
        std::fs::copy(layout.join("index.json"), source.join("files/index.json"))?;
        let about = json!({ "apiVersion": "v2", "name": chart, "version": version });
        std::fs::write(source.join("Chart.yaml"), about.to_string())?;
        succeed(self.command()?.arg("package").arg(&source))?;
        Ok((self.home().join(format!("{chart}-{version}.tgz")), format!("oci://{registry}")))
    }
}

/// The server that a client needs to have any images.
pub(super) fn daemon(tool: ImageTool, home: &Path) -> Result<Option<Leash>> {
    let (program, socket) = match tool {
        ImageTool::Skopeo
        | ImageTool::Podman
        | ImageTool::Buildah
        | ImageTool::Crane
        | ImageTool::Oras
        | ImageTool::OrasPy
        | ImageTool::Regctl
        | ImageTool::Helm => return Ok(None),
        ImageTool::Docker => ("dockerd", home.join("docker.sock")),
        ImageTool::Ctr => ("containerd", home.join("containerd.sock")),
    };
    let mut command = Command::new(nginx::program(program)?);
    if tool == ImageTool::Docker {
        command.args(["--iptables=false", "--bridge=none", "--storage-driver=vfs"]);
        command.args(["--insecure-registry", "127.0.0.0/8", "--host"]);
        command.arg(format!("unix://{}", socket.display()));
        command.arg("--data-root").arg(home.join("data")).arg("--exec-root").arg(home.join("exec"));
        command.arg("--pidfile").arg(home.join("dockerd.id"));
    } else {
        let config = home.join("containerd.toml");
        std::fs::write(&config, "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n")?;
        command.arg("--config").arg(config).arg("--address").arg(&socket);
        command.arg("--root").arg(home.join("data")).arg("--state").arg(home.join("exec"));
    }
    // Asked to end first: it has children of its own, and mounts.
    let leash = Leash::start_with(&command, home, program, Ending { ask: true, sweep: None })?;
    wait::until(program, || UnixStream::connect(&socket).ok())
        .with_context(|| std::fs::read_to_string(home.join(format!("{program}.log"))).unwrap_or_default())?;
    Ok(Some(leash))
}
