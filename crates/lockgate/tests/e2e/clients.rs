//! Clients that are not git: the same story with each library, told in its own words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lockgate_testkit::{Client, Git, Library, ObjectFormat, Output, Repo, Scheme};

use crate::world::World;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn libgit2_passes_is_refused_and_waits() -> Result<()> {
    story(Library::Libgit2)
}

#[test]
fn dulwich_passes_is_refused_and_waits() -> Result<()> {
    story(Library::Dulwich)
}

#[test]
fn isomorphic_git_passes_is_refused_and_waits() -> Result<()> {
    story(Library::Isomorphic)
}

#[test]
fn jgit_passes_is_refused_and_waits() -> Result<()> {
    story(Library::Jgit)
}

fn story(library: Library) -> Result<()> {
    let mut tale = Tale::begin(library)?;
    tale.a_wrong_token_is_refused()?;
    tale.fetches()?;
    tale.pushes()?;
    tale.is_refused_with_the_reason()?;
    tale.waits_and_passes()?;
    tale.waits_in_vain()?;
    tale.repo.fsck()?;
    tale.world.stop_and_verify()
}

/// A gateway, a library that has cloned through it, and git to commit in its work tree.
struct Tale {
    world: World,
    repo: Repo,
    library: Library,
    client: Client,
    git: Git,
    work: PathBuf,
}

impl Tale {
    fn begin(library: Library) -> Result<Self> {
        let world = World::start()?;
        let repo = world.repo("team/app")?;
        let client = Client::new(library, Scheme::Basic, &world.token("ada").sign()?)?;
        let work = client.home().join("work");
        let tale = Self { world, repo, library, client, git: Git::new()?, work };
        tale.clone(&tale.client)?;
        ensure!(tale.rev("HEAD")? == tale.repo.rev("main")?.unwrap_or_default(), "the tip is there");
        Ok(tale)
    }

    fn clone(&self, client: &Client) -> Result<Output> {
        succeeded(client.run(&["clone", &self.world.url("team/app"), &utf8(&client.home().join("work"))?])?)
    }

    fn a_wrong_token_is_refused(&self) -> Result<()> {
        for scheme in [Scheme::Basic, Scheme::Bearer] {
            let token = self.world.token("eve").expires_in(-120).sign()?;
            let client = Client::new(self.library, scheme, &token)?;
            let said = client.run(&["clone", &self.world.url("team/app"), "work"])?;
            ensure!(!said.status.success() && !said.stderr.trim().is_empty(), "{}", said.stderr);
        }
        Ok(())
    }

    fn fetches(&self) -> Result<()> {
        let tree = self.repo.git(&["rev-parse", "main^{tree}"])?;
        let tip = self.repo.git(&["commit-tree", "-p", "main", "-m", "news", tree.trim_end()])?;
        self.repo.git(&["update-ref", "refs/heads/news", tip.trim_end()])?;
        succeeded(self.client.run(&["fetch", &utf8(&self.work)?])?)?;
        ensure!(self.rev("refs/remotes/origin/news")? == tip.trim_end(), "what is new is there");
        Ok(())
    }

    /// The second time with a bearer, in a work tree of its own.
    fn pushes(&self) -> Result<()> {
        let tip = self.git.commit(&self.work, "a", "1")?;
        succeeded(self.push(&self.client, "refs/heads/main:refs/heads/topic")?)?;
        ensure!(self.repo.rev("topic")? == Some(tip), "the new branch is there");

        let bearer = Client::new(self.library, Scheme::Bearer, &self.world.token("bob").sign()?)?;
        self.clone(&bearer)?;
        let tip = self.git.commit(&bearer.home().join("work"), "b", "2")?;
        succeeded(self.push(&bearer, "refs/heads/main:refs/heads/bearer")?)?;
        ensure!(self.repo.rev("bearer")? == Some(tip), "the new branch is there");
        self.world.exchanges(&["--action", "push", "--principal", "idp:bob"], 1).map(drop)
    }

    fn is_refused_with_the_reason(&self) -> Result<()> {
        self.repo.git(&["branch", "protected/x", "main"])?;
        self.git.ok(&self.work, &["checkout", "-q", "-b", "fork", "main~2"])?;
        self.git.commit(&self.work, "c", "3")?;
        self.git.ok(&self.work, &["checkout", "-q", "main"])?;
        let before = self.repo.refs()?;
        let said = self.push(&self.client, "+refs/heads/fork:refs/heads/protected/x")?;
        refused(&said, "refs/heads/protected/x is protected")?;
        ensure!(self.repo.refs()? == before, "nothing reached the server");
        Ok(())
    }

    /// Two signs of life at least pass before anybody answers.
    fn waits_and_passes(&self) -> Result<()> {
        let tip = self.rev("refs/heads/main")?;
        let push = self.client.spawn(&["push", &utf8(&self.work)?, "refs/heads/main:refs/heads/main"])?;
        let id = self.world.gate.pending()?;
        push.wait_for_stderr(&id).context("it is said where to approve")?;
        ensure!(self.world.approve(&id)?.status.success());
        succeeded(push.finish(LIMIT)?)?;
        ensure!(self.repo.rev("main")? == Some(tip), "what was approved is there");
        Ok(())
    }

    fn waits_in_vain(&self) -> Result<()> {
        self.git.commit(&self.work, "d", "4")?;
        let push = self.client.spawn(&["push", &utf8(&self.work)?, "refs/heads/main:refs/heads/main"])?;
        let id = self.world.gate.pending()?;
        let denied = self.world.gate.run_configured(&[
            "approvals",
            "deny",
            &id,
            "--reason",
            "not before the release",
        ])?;
        ensure!(denied.status.success(), "{}", denied.stderr);
        refused(&push.finish(LIMIT)?, "not before the release")
    }

    fn push(&self, client: &Client, refspec: &str) -> Result<Output> {
        client.run(&["push", &utf8(&client.home().join("work"))?, refspec])
    }

    fn rev(&self, revision: &str) -> Result<String> {
        Ok(self.git.ok(&self.work, &["rev-parse", revision])?.stdout.trim_end().to_owned())
    }
}

/// Its pushes don't say which format their object names are in, which servers refuse without a word.
#[test]
fn dulwich_clones_sha256_and_is_told_why_it_cannot_push() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo_with("team/two", ObjectFormat::Sha256)?;
    let client = Client::new(Library::Dulwich, Scheme::Basic, &world.token("ada").sign()?)?;
    let work = client.home().join("work");
    succeeded(client.run(&["clone", &world.url("team/two"), &utf8(&work)?])?)?;
    let git = Git::new()?;
    let head = git.ok(&work, &["rev-parse", "HEAD"])?.stdout;
    ensure!(repo.rev("main")?.as_deref() == Some(head.trim_end()), "the tip is there");
    git.commit(&work, "a", "1")?;
    let said = client.run(&["push", &utf8(&work)?, "refs/heads/main:refs/heads/topic"])?;
    refused(&said, "in another format than its object-format")
}

fn succeeded(said: Output) -> Result<Output> {
    ensure!(said.status.success(), "{}{}", said.stdout, said.stderr);
    Ok(said)
}

/// It failed, and the reason is both in what the library itself says of the ref and in the server's messages.
fn refused(said: &Output, reason: &str) -> Result<()> {
    ensure!(!said.status.success(), "{}", said.stderr);
    ensure!(said.stderr.matches(reason).count() >= 2, "{}", said.stderr);
    Ok(())
}

fn utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("a UTF-8 path")
}
