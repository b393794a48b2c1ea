//! The steps of the demo, in order. A step that does not do what its title says ends the program with an error.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    stage::{Running, Stage, bold, note, proved},
    world::{AGENT, FORGE, World},
};
use crate::output::say;

/// The story.
pub(super) struct Story<'a> {
    pub(super) world: &'a World,
    /// Approves by itself.
    pub(super) yes: bool,
}

impl Story<'_> {
    pub(super) async fn tell(&self, stage: &mut Stage) -> Result<()> {
        self.introduce();
        self.clone_repository(stage).await.context("the clone")?;
        self.push_branch(stage).await.context("the push of a branch")?;
        self.push_main(stage).await.context("the push of main")?;
        self.delete_main(stage).await.context("the forbidden delete")?;
        let exchange = self.look_back(stage).await.context("the look at what was done")?;
        self.replay(stage, &exchange).await.context("the replay")?;
        self.verify(stage).await.context("the verification")
    }

    fn introduce(&self) {
        let World { git_server, idp, gateway, .. } = self.world;
        say!("{}", bold("lockgate demo: an agent pushes, a person approves, and all of it is evidence"));
        say!("  gateway            {}", gateway.url());
        say!("  upstream           {}   a Git server whose password only the gateway has", git_server.url());
        say!("  identity provider  {}   signs the agent's tokens ({AGENT})", idp.issuer());
        say!("  policy             {}", self.world.path("policy.yaml").display());
    }

    async fn clone_repository(&self, stage: &mut Stage) -> Result<()> {
        stage.title("An unmodified git clones through the gateway");
        note(&format!("One line of git's configuration sends {FORGE} through it: insteadOf."));
        let cloned = stage.git(&self.work(), &["clone", &format!("{FORGE}team/app.git")]).await?;
        cloned.succeeds()?;
        ensure!(self.app().join(".git").exists(), "there is no clone");
        proved("cloned: the agent's token was verified, the policy allows reading");
        Ok(())
    }

    async fn push_branch(&self, stage: &mut Stage) -> Result<()> {
        stage.title("The agent pushes to a branch of its own: it passes");
        let app = self.app();
        stage.git(&app, &["switch", "--quiet", "--create", "agent/greeting"]).await?.succeeds()?;
        fs::write(app.join("greeting.txt"), "Hello from an agent.\n")?;
        stage.git(&app, &["add", "greeting.txt"]).await?.succeeds()?;
        stage.git(&app, &["commit", "--quiet", "-m", "Say hello"]).await?.succeeds()?;
        stage.git(&app, &["push", "origin", "agent/greeting"]).await?.succeeds()?;
        ensure!(self.at("refs/heads/agent/greeting")? == Some(self.head()?), "the branch did not arrive");
        proved("the upstream has the branch");
        Ok(())
    }

    async fn push_main(&self, stage: &mut Stage) -> Result<()> {
        stage.title("The agent pushes to main: it waits for a person");
        let (before, app) = (self.at("refs/heads/main")?, self.app());
        fs::write(app.join("greeting.txt"), "Hello, world, from an agent.\n")?;
        stage.git(&app, &["commit", "--quiet", "-a", "-m", "Say hello to the world"]).await?.succeeds()?;
        let mut push = stage.start_git(&app, &["push", "origin", "HEAD:main"])?;
        ensure!(push.until("approvals approve").await, "git should have been told that it waits");
        let approval = self.pending(stage).await?;
        ensure!(self.at("refs/heads/main")? == before, "main has changed without approval");
        proved("nothing has reached the upstream; the push is held, and git is kept waiting");
        say!("\nWho may approve looks at it, and decides:");
        let shown = stage.lockgate(&self.work(), &["approvals", "show", &approval]).await?;
        shown.succeeds()?;
        shown.says(&["Say hello to the world", AGENT])?;
        self.approve(stage, &approval, &mut push).await?;
        push.end().await?.succeeds()?;
        ensure!(self.at("refs/heads/main")? == Some(self.head()?), "main did not arrive");
        proved("the upstream has exactly what was approved");
        Ok(())
    }

    /// Approves after a key, or by itself; or notices that somebody did so elsewhere.
    async fn approve(&self, stage: &Stage, approval: &str, push: &mut Running) -> Result<()> {
        let command = ["approvals", "approve", approval, "-m", "looks good"];
        if !self.yes {
            say!("\nPress Enter to run, or run it yourself in another terminal:");
            say!(
                "  LOCKGATE_CONFIG={} {} approvals approve {approval}",
                stage.lockgate_config.display(),
                stage.program.display()
            );
            let key = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
            tokio::select! {
                read = key => ensure!(read?? > 0, "there is no keyboard to approve with: use --yes"),
                _ = push.until("\u{0}") => return Ok(()),
            }
        }
        stage.lockgate(&self.work(), &command).await?.succeeds()
    }

    async fn delete_main(&self, stage: &mut Stage) -> Result<()> {
        stage.title("The agent tries to delete main: it is refused");
        let refused = stage.git(&self.app(), &["push", "origin", "--delete", "main"]).await?;
        refused.fails_with(&["[remote rejected]", "never rewritten or deleted"])?;
        ensure!(self.at("refs/heads/main")?.is_some(), "main is gone");
        proved("main is still there; the agent was told why, in git's own words");
        Ok(())
    }

    /// Gives the exchange of the push that was held.
    async fn look_back(&self, stage: &mut Stage) -> Result<String> {
        stage.title("What did the agent do?");
        self.indexed(stage, 3).await?;
        let listed = stage.lockgate(&self.work(), &["sessions", "list"]).await?;
        listed.succeeds()?;
        listed.says(&[AGENT])?;
        let found = stage.lockgate(&self.work(), &["sessions", "search", "--action", "push"]).await?;
        found.succeeds()?;
        found.says(&["refs/heads/main", "refs/heads/agent/greeting", "deny", "hold", "permit"])?;
        let json = stage.ask(&["sessions", "search", "--verdict", "hold", "--json"]).await?;
        let json: Value = serde_json::from_slice(&json)?;
        let exchange = json[0]["exchange"].as_str().context("the held push is not found")?.to_owned();
        let shown = stage.lockgate(&self.work(), &["sessions", "show", &exchange]).await?;
        shown.succeeds()?;
        shown.says(&["Say hello to the world", "local:operator", "main-needs-a-person"])?;
        proved("every request, with who, what, why and who approved it");
        Ok(exchange)
    }

    async fn replay(&self, stage: &mut Stage, exchange: &str) -> Result<()> {
        stage.title("The recording is exact: it can be replayed, and what was pushed rebuilt from it");
        let replayed = stage.lockgate(&self.work(), &["sessions", "replay", exchange]).await?;
        replayed.succeeds()?;
        replayed.says(&["git-receive-pack", "refs/heads/main"])?;
        let into = ["sessions", "replay", exchange, "--into", "rebuilt.git"];
        stage.lockgate(&self.work(), &into).await?.succeeds()?;
        let rebuilt = self.work().join("rebuilt.git");
        let shown = stage.git(&rebuilt, &["cat-file", "commit", &self.head()?]).await?;
        shown.succeeds()?;
        shown.says(&["Say hello to the world"])?;
        proved("the commit that the agent pushed, out of the recording alone");
        Ok(())
    }

    async fn verify(&self, stage: &mut Stage) -> Result<()> {
        stage.title("The recording proves itself: one changed bit in it is found");
        let verified = stage.lockgate(&self.work(), &["verify"]).await?;
        verified.succeeds()?;
        verified.says(&["intact"])?;
        let bundle = self.bundle()?;
        flip(&bundle)?;
        note(&format!("One bit in the middle of {} is flipped.", bundle.display()));
        let damaged = stage.lockgate(&self.work(), &["verify"]).await?;
        damaged.fails_with(&["DAMAGED"])?;
        proved("found");
        flip(&bundle)?;
        stage.lockgate(&self.work(), &["verify"]).await?.succeeds()?;
        proved("flipped back: intact again");
        Ok(())
    }

    /// Waits until so many pushes are in the index: it follows the answers by a moment.
    async fn indexed(&self, stage: &Stage, pushes: usize) -> Result<()> {
        for _ in 0..100 {
            let json = stage.ask(&["sessions", "search", "--action", "push", "--json"]).await?;
            let found: Vec<Value> = serde_json::from_slice(&json)?;
            if found.len() >= pushes {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the index does not have all pushes")
    }

    /// The approval that waits.
    async fn pending(&self, stage: &Stage) -> Result<String> {
        let json: Value = serde_json::from_slice(&stage.ask(&["approvals", "list", "--json"]).await?)?;
        let id = json[0]["id"].as_str().context("no approval is waiting")?;
        Ok(id.to_owned())
    }

    /// The largest bundle of the recording.
    fn bundle(&self) -> Result<PathBuf> {
        let mut folders = vec![self.world.path("data/recordings")];
        let mut largest = None;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if largest.as_ref().is_none_or(|(length, _)| *length < metadata.len()) {
                    largest = Some((metadata.len(), entry.path()));
                }
            }
        }
        largest.map(|(_, path)| path).context("there is no recording")
    }

    fn at(&self, name: &str) -> Result<Option<String>> {
        self.world.upstream_ref(name)
    }

    /// The commit that the agent has made.
    fn head(&self) -> Result<String> {
        let path = self.app().join(".git/refs/heads/agent/greeting");
        Ok(fs::read_to_string(path).context("the agent has no commit")?.trim().to_owned())
    }

    fn work(&self) -> PathBuf {
        self.world.path("work")
    }

    fn app(&self) -> PathBuf {
        self.world.path("work/app")
    }
}

/// Flips one bit in the middle of a file.
fn flip(path: &std::path::Path) -> Result<()> {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let middle = file.metadata()?.len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle))?;
    if file.read(&mut byte)? == 0 {
        bail!("{} is empty", path.display());
    }
    file.seek(SeekFrom::Start(middle))?;
    file.write_all(&[byte[0] ^ 1])?;
    Ok(())
}
