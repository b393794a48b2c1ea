//! The control plane and the proxy as two processes, with mTLS between them.

use std::path::Path;

use anyhow::Result;
use lockgate_testkit::{Ca, GitServerOptions, Identity, Lockgate, Port, Running, wait};

use crate::world::{POLICY, World};

/// A control plane and a proxy, in folders of their own.
struct Apart {
    world: World,
    control: Lockgate,
    port: Port,
    running: Option<Running>,
}

impl Apart {
    fn prepare(proxies: &Ca) -> Result<Self> {
        let world = World::prepare(GitServerOptions::default())?;
        let control = Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))?;
        let (port, server) = (Port::reserve()?, Ca::new()?);
        write(&server.server()?, control.folder(), "server")?;
        std::fs::write(control.folder().join("proxies.pem"), proxies.pem())?;
        std::fs::write(world.gate.folder().join("control.pem"), server.pem())?;
        std::fs::write(control.folder().join("policy.yaml"), POLICY)?;
        let recordings = format!("file://{}", world.gate.folder().join("data/recordings").display());
        control.configure(&format!(
            "data_dir: data\n\
             policy: policy.yaml\n\
             recording: {{ store: \"{recordings}\" }}\n\
             control:\n  \
               proxies: {{ listen: \"{}\", cert: server.cert, key: server.key, ca: proxies.pem }}\n",
            port.addr()
        ))?;
        let mut apart = Self { world, control, port, running: None };
        apart.start_control()?;
        Ok(apart)
    }

    fn start_control(&mut self) -> Result<()> {
        let config = self.control.config();
        let running = Running::start(self.control.command().arg("control").arg("--config").arg(config))?;
        let addr = self.port.addr();
        wait::until("the control plane", || std::net::TcpStream::connect(addr).ok())?;
        self.running = Some(running);
        Ok(())
    }

    fn stop_control(&mut self) -> Result<()> {
        if let Some(running) = self.running.take() {
            running.terminate()?;
            running.finish(std::time::Duration::from_secs(60))?;
        }
        Ok(())
    }

    /// Starts the proxy with a certificate.
    fn start_proxy(&mut self, identity: &Identity) -> Result<Running> {
        let folder = self.world.gate.folder();
        write(identity, folder, "proxy")?;
        let config = self.world.config(&format!(
            "name: edge\nproxy: {{ control: \"https://localhost:{}\", cert: proxy.cert, key: proxy.key, ca: control.pem }}",
            self.port.addr().port()
        ));
        let config: String = config
            .lines()
            .filter(|line| !line.starts_with("control:") && !line.starts_with("policy:"))
            .map(|line| format!("{line}\n"))
            .collect();
        self.world.configure(&config)?;
        let config = self.world.gate.config();
        let running = Running::start(self.world.gate.command().arg("proxy").arg("--config").arg(config))?;
        let addr = self.world.gate.port().addr();
        wait::until("the proxy", || std::net::TcpStream::connect(addr).ok())?;
        Ok(running)
    }

    fn people(&self, args: &[&str]) -> Result<String> {
        let output = self.control.run(args)?;
        anyhow::ensure!(output.status.success(), "{args:?}: {}{}", output.stdout, output.stderr);
        Ok(output.stdout)
    }
}

fn write(identity: &Identity, folder: &Path, name: &str) -> Result<()> {
    std::fs::write(folder.join(format!("{name}.cert")), &identity.cert)?;
    Ok(std::fs::write(folder.join(format!("{name}.key")), &identity.key)?)
}

#[test]
fn a_push_is_held_and_approved_across_processes_and_policy_outlives_the_control_plane() -> Result<()> {
    let ca = Ca::new()?;
    let mut apart = Apart::prepare(&ca)?;
    let proxy = apart.start_proxy(&ca.client("edge")?)?;
    let repo = apart.world.repo("team/app")?;
    let git = apart.world.git("ada")?;
    // The policy comes by the stream: until then everything is refused.
    let work = wait::until("the policy to arrive", || apart.world.work(&git, "team/app").ok())?;
    let tip = git.commit(&work, "a", "1")?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:main"])?;
    push.wait_for_stderr("remote: ")?;
    let list = apart.people(&["approvals", "list", "--json"])?;
    let list: serde_json::Value = serde_json::from_str(&list)?;
    let id = list[0]["id"].as_str().unwrap_or_default();
    apart.people(&["approvals", "approve", id])?;
    let done = push.finish(std::time::Duration::from_secs(60))?;
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(repo.rev("main")?.as_deref(), Some(&*tip));
    wait::until("the index", || {
        let found = apart.people(&["sessions", "search", "--action", "push", "--json"]).ok()?;
        found.contains(&tip).then_some(())
    })?;

    // Where only the proxy has the recordings, the index is shown all the same.
    let found =
        apart.people(&["sessions", "search", "--ref", "refs/heads/main", "--action", "push", "--json"])?;
    let found: serde_json::Value = serde_json::from_str(&found)?;
    let exchange = found[0]["exchange"].as_str().unwrap_or_default();
    let config = std::fs::read_to_string(apart.control.config())?;
    let config: String = config
        .lines()
        .filter(|line| !line.starts_with("recording:"))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(apart.control.folder().join("default.yaml"), config)?;
    let shown = apart.people(&["sessions", "show", exchange, "--config", "default.yaml"])?;
    for part in ["idp:ada", "push team/app refs/heads/main", "hold, by production", id] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(shown.ends_with("its recording is at the proxy: set `recording.store`\n"), "{shown}");
    let shown = apart.people(&["sessions", "show", exchange])?;
    assert!(shown.contains("forwarded  after"), "{shown}");

    // A new policy reaches the proxy without a restart.
    let closed = POLICY.replace("repositories: [\"team/**\"]", "repositories: [\"elsewhere/**\"]");
    std::fs::write(apart.control.folder().join("closed.yaml"), closed)?;
    apart.people(&["policy", "publish", "closed.yaml"])?;
    wait::until("the new policy", || git.fails(&work, &["ls-remote"]).ok())?;
    apart.people(&["policy", "rollback"])?;
    wait::until("the old policy", || git.ok(&work, &["ls-remote"]).ok())?;

    // Away, the control plane answers nobody: reading goes on by the last good policy, also after a
    // restart, and what needs people is refused.
    apart.stop_control()?;
    proxy.terminate()?;
    proxy.finish(std::time::Duration::from_secs(60))?;
    let proxy = apart.start_proxy(&ca.client("edge")?)?;
    wait::until("the last good policy", || git.ok(&work, &["ls-remote"]).ok())?;
    git.commit(&work, "a", "2")?;
    git.fails(&work, &["push", "origin", "HEAD:main"])?;
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/x"])?;
    // Back again, what happened meanwhile is in the index, also when the proxy ended in between.
    proxy.terminate()?;
    proxy.finish(std::time::Duration::from_secs(60))?;
    let proxy = apart.start_proxy(&ca.client("edge")?)?;
    apart.start_control()?;
    wait::until("the index to catch up", || {
        let found = apart.people(&["sessions", "search", "--ref", "refs/heads/x", "--json"]).ok()?;
        found.contains("refs/heads/x").then_some(())
    })?;
    proxy.terminate()?;
    assert!(proxy.finish(std::time::Duration::from_secs(60))?.status.success());
    Ok(())
}

#[test]
fn a_proxy_that_nobody_vouched_for_gets_no_policy() -> Result<()> {
    let mut apart = Apart::prepare(&Ca::new()?)?;
    let stranger = Ca::new()?.client("edge")?;
    let _proxy = apart.start_proxy(&stranger)?;
    apart.world.repo("team/app")?;
    let git = apart.world.git("ada")?;
    for _ in 0..3 {
        let said = git.fails(git.home(), &["ls-remote", &apart.world.url("team/app")])?;
        assert!(said.stderr.contains("503") || said.stderr.contains("no policy"), "{}", said.stderr);
    }
    assert_eq!(apart.world.server.requests()?, []);
    Ok(())
}
