//! Real histories, with a real upstream to ask, and packs that lie.

use std::time::Duration;

use bytes::Bytes;
use lockgate_core::protocol::Probe;

use super::*;
use crate::{
    parse::Command,
    testing::{Backend, Repo, Rig, Unreachable},
};

const SHA1: ObjectFormat = ObjectFormat::Sha1;

/// What is found out of a push of one ref from `old` to `new` with that pack.
async fn prove(probe: &dyn Probe, config: AncestryConfig, (old, new): (Oid, Oid), pack: &[u8]) -> Ancestry {
    let rig = Rig::new();
    let mut writer = rig.spools.create();
    writer.write(&Bytes::from_static(b"what comes before")).await.unwrap();
    let start = writer.len();
    writer.write(&Bytes::copy_from_slice(pack)).await.unwrap();
    let (spool, method) = (writer.finish().await.unwrap(), http::Method::POST);
    let route = Route::parse(&method, &"/app.git/git-receive-pack".parse().unwrap()).unwrap();
    let commands = [Command { old, new, name: "refs/heads/main".to_owned() }];
    let format = new.format();
    let pushed =
        Pushed { route: &route, format, commands: &commands, spool: &spool, pack: start, known: None };
    Prover::new(config).prove(rig.context(probe), &pushed).await[0]
}

async fn check(backend: &Backend, update: (Oid, Oid), pack: &[u8], expected: Ancestry) {
    assert_eq!(prove(backend, AncestryConfig::default(), update, pack).await, expected);
}

/// A history `main` of three commits, which the upstream has.
fn pushed(format: ObjectFormat) -> (Repo, Oid) {
    let repo = Repo::new(format);
    repo.commit("one");
    repo.commit("two");
    let old = repo.commit("three");
    repo.git(&["push", "-q", "upstream", "main"]);
    (repo, old)
}

#[tokio::test]
async fn follows_the_pack_alone_where_it_suffices() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let (repo, old) = pushed(format);
        repo.commit("four");
        let new = repo.commit("five");
        let pack = repo.pack(&["main", "^upstream/main"], &[]);
        check(&repo.backend(), (old, new), &pack, Ancestry::FastForward).await;
        assert_eq!(
            prove(&Unreachable, AncestryConfig::default(), (old, new), &pack).await,
            Ancestry::FastForward
        );
    }
}

#[tokio::test]
async fn asks_the_upstream_for_what_the_pack_lacks() {
    for filter in ["true", "false"] {
        let (repo, old) = pushed(SHA1);
        repo.run("app.git", &["config", "uploadpack.allowFilter", filter]);
        repo.git(&["switch", "-q", "-c", "side"]);
        repo.commit("four");
        repo.commit("five");
        let side = repo.oid("side");
        repo.git(&["push", "-q", "upstream", "side"]);
        let backend = repo.backend();

        // The branch is there already: an empty pack.
        let empty = repo.pack(&["side", "^upstream/side"], &[]);
        check(&backend, (old, side), &empty, Ancestry::FastForward).await;
        assert_eq!(
            backend.asked(),
            ["GET /app.git/info/refs?service=git-upload-pack", "POST /app.git/git-upload-pack",]
        );

        // A merge that reaches the old tip through the other branch only.
        repo.git(&["switch", "-q", "--orphan", "island"]);
        repo.commit("six");
        repo.git(&["merge", "-q", "--allow-unrelated-histories", "-m", "merge", "side"]);
        let pack = repo.pack(&["island", "^upstream/side"], &[]);
        check(&backend, (old, repo.oid("island")), &pack, Ancestry::FastForward).await;
        let unproven = prove(&Unreachable, AncestryConfig::default(), (old, repo.oid("island")), &pack).await;
        assert_eq!(unproven, Ancestry::Unknown);
    }
}

#[tokio::test]
async fn forced_updates_are_not_called_otherwise() {
    let (repo, old) = pushed(SHA1);
    let backend = repo.backend();
    let two = repo.oid("main~1");
    // Rewound: what it was before.
    check(&backend, (old, two), &repo.pack(&["main~1", "^upstream/main"], &[]), Ancestry::Diverged).await;
    // Rewritten.
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let new = repo.commit("three again");
    check(&backend, (old, new), &repo.pack(&["main", "^upstream/main"], &[]), Ancestry::Diverged).await;
    // Another history.
    repo.git(&["switch", "-q", "--orphan", "island"]);
    let new = repo.commit("four");
    check(&backend, (old, new), &repo.pack(&["island"], &[]), Ancestry::Diverged).await;
    // An old tip that nobody has.
    let nobody = Oid::from_bytes(&[7; 20]).unwrap();
    check(&backend, (nobody, new), &repo.pack(&["island"], &[]), Ancestry::Diverged).await;
}

#[tokio::test]
async fn what_cannot_be_followed_is_unknown() {
    let (repo, old) = pushed(SHA1);
    let new = repo.commit("four");
    let (backend, pack) = (repo.backend(), repo.pack(&["main", "^upstream/main"], &[]));
    // A new tip that neither the pack nor the upstream holds.
    let nobody = Oid::from_bytes(&[7; 20]).unwrap();
    check(&backend, (old, nobody), &pack, Ancestry::Unknown).await;
    // A pack that is cut short before its first commit, or none.
    check(&backend, (old, new), &pack[..20], Ancestry::Unknown).await;
    check(&backend, (old, new), b"PACK of wolves, many", Ancestry::Unknown).await;
    // Limits.
    for config in [
        AncestryConfig { commits: 0, ..AncestryConfig::default() },
        AncestryConfig { scan_time: Duration::ZERO, ..AncestryConfig::default() },
    ] {
        assert_eq!(prove(&backend, config, (old, new), &pack).await, Ancestry::Unknown);
    }
    let empty = repo.pack(&["upstream/main", "^upstream/main"], &[]);
    for config in [
        AncestryConfig { questions: 0, ..AncestryConfig::default() },
        AncestryConfig { answer: 8, ..AncestryConfig::default() },
        AncestryConfig { answer_time: Duration::ZERO, ..AncestryConfig::default() },
    ] {
        assert_eq!(prove(&backend, config, (repo.oid("main~2"), old), &empty).await, Ancestry::Unknown);
    }
    check(&backend, (repo.oid("main~2"), old), &empty, Ancestry::FastForward).await;
    // An upstream of another object format.
    let other = Repo::new(ObjectFormat::Sha256);
    check(&other.backend(), (repo.oid("main~2"), old), &empty, Ancestry::Unknown).await;
}

/// Commits of which git stores most as deltas of others.
fn similar(repo: &Repo) {
    let long: Vec<String> = (0..200).map(|n| format!("line {n} of a long message")).collect();
    for n in 0..20 {
        repo.git(&["commit", "-q", "--allow-empty", "-m", &format!("c{n}\n\n{}", long.join("\n"))]);
    }
}

#[tokio::test]
async fn follows_commits_that_are_deltas() {
    let (repo, old) = pushed(SHA1);
    similar(&repo);
    let new = repo.oid("HEAD");
    for options in [&["--delta-base-offset"][..], &[]] {
        let pack = repo.pack(&["main", "^upstream/main"], options);
        assert!(pack.len() < 20_000, "{} bytes: not deltas", pack.len());
        check(&repo.backend(), (old, new), &pack, Ancestry::FastForward).await;
        assert_eq!(
            prove(&Unreachable, AncestryConfig::default(), (old, new), &pack).await,
            Ancestry::FastForward
        );
    }
    // Deltas against what the pack lacks.
    repo.git(&["push", "-q", "upstream", "main"]);
    let old = new;
    similar(&repo);
    let thin = repo.pack(&["main", "^upstream/main"], &["--thin"]);
    let proven = prove(&Unreachable, AncestryConfig::default(), (old, repo.oid("HEAD")), &thin).await;
    assert_ne!(proven, Ancestry::Diverged);
}
