//! Real pushes, with a real upstream to ask; what must not pass, and what must not be said of them.

mod bad;
mod findings;
mod history;
mod paths;
mod show;
mod upstream;

use std::path::Path;

use bytes::Bytes;
use lockgate_core::protocol::Probe;
use lockgate_detect::TagKey;

use super::*;
use crate::{
    facts::Found,
    oid::Oid,
    route::Route,
    testing::{Repo, Rig, Unreachable},
};

const SHA1: ObjectFormat = ObjectFormat::Sha1;
const ALL: Wanted = Wanted { history: true, paths: true, content: true };
const PATHS: Wanted = Wanted { history: false, paths: true, content: false };

/// A token, made up so that this file holds none.
fn secret(seed: u64) -> String {
    lockgate_detect::expand_sample("ghp_<A-Za-z0-9*36>", seed).unwrap()
}

fn command(old: Option<Oid>, new: Oid, name: &str) -> Command {
    let null = Oid::from_bytes(&vec![0; new.format().width()]).unwrap();
    Command { old: old.unwrap_or(null), new, name: name.to_owned() }
}

/// What is found in a push of that pack, which comes in pieces.
async fn inspect(
    probe: &dyn Probe,
    config: InspectConfig,
    commands: &[Command],
    pack: &[u8],
) -> Result<Vec<Facts>, InspectError> {
    let rig = Rig::new();
    let (wanted, format) = (config.wanted, commands[0].new.format());
    let inspector = Inspector::new(config);
    let mut arrival = inspector.begin(format, wanted);
    let mut writer = rig.spools.create();
    writer.write(&Bytes::from_static(b"what comes before")).await.unwrap();
    let start = writer.len();
    for piece in pack.chunks(777) {
        writer.write(&Bytes::copy_from_slice(piece)).await.unwrap();
        arrival = match arrival {
            Some(arrival) => Some(arrival.feed(Bytes::copy_from_slice(piece)).await?),
            None => None,
        };
    }
    let spool = writer.finish().await.unwrap();
    let arrived = match arrival {
        Some(arrival) => Some(arrival.finish().await?),
        None => None,
    };
    let route = Route::parse(&http::Method::POST, &"/app.git/git-receive-pack".parse().unwrap()).unwrap();
    let pushed = Pushed { route: &route, format, commands, spool: &spool, pack: start, known: None };
    inspector.facts(rig.context(probe), &pushed, arrived, wanted, None).await
}

fn config(wanted: Wanted) -> InspectConfig {
    InspectConfig { wanted, key: TagKey::new(b"test"), ..InspectConfig::default() }
}

impl Repo {
    /// Writes a file, or removes it.
    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let file = self.dir.path().join("work").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    fn save(&self, message: &str) -> Oid {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.oid("HEAD")
    }

    /// Makes the upstream have what `main` is now.
    fn publish(&self) -> Oid {
        self.git(&["push", "-q", "upstream", "HEAD:main"]);
        self.oid("HEAD")
    }

    /// What is found in a push of `main` as git would send it.
    async fn pushed(&self, wanted: Wanted, old: Oid) -> Facts {
        let pack = self.pack(&["HEAD", "^upstream/main"], &["--delta-base-offset"]);
        self.update(wanted, old, &pack).await.unwrap()
    }

    async fn update(&self, wanted: Wanted, old: Oid, pack: &[u8]) -> Result<Facts, InspectError> {
        let commands = [command(Some(old), self.oid("HEAD"), "refs/heads/main")];
        let mut facts = inspect(&self.backend(), config(wanted), &commands, pack).await?;
        Ok(facts.remove(0))
    }
}

/// A repository whose upstream has a little.
fn published(format: ObjectFormat) -> (Repo, Oid) {
    let repo = Repo::new(format);
    repo.file("README", "hello\n");
    repo.file("src/lib.rs", "fn main() {}\n");
    repo.file("old/ci.yml", "on: push\n");
    repo.save("one");
    let old = repo.publish();
    (repo, old)
}

/// Each finding as `rule commit path:line`, the commit by its message's first line.
fn places(repo: &Repo, findings: &[Found]) -> String {
    let lines = findings.iter().map(|found| {
        let commit = found
            .commit
            .map_or("none".into(), |commit| repo.git(&["log", "-1", "--format=%s", &commit.to_string()]));
        assert_eq!(found.tag.len(), 8);
        format!("{} {commit} {}:{}", found.rule, found.path, found.line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn write(path: &Path, content: &[u8]) {
    std::fs::write(path, content).unwrap();
}
