//! Commits and tags.

use super::*;
use crate::facts::TagKind;

const HISTORY: Wanted = Wanted { history: true, paths: false, content: false };

#[tokio::test]
async fn nothing_is_looked_into_where_nothing_is_wanted() {
    let (repo, old) = published(SHA1);
    let commands = [command(Some(old), old, "refs/heads/main")];
    let facts = inspect(&Unreachable, config(Wanted::default()), &commands, b"no pack").await.unwrap();
    assert_eq!(facts, [Facts::default()]);
    drop(repo);
}

#[tokio::test]
async fn every_commit_is_read() {
    for format in [SHA1, ObjectFormat::Sha256] {
        let (repo, old) = published(format);
        for n in 0..3 {
            repo.file(&format!("src/{n}.rs"), "x");
            repo.save(&format!("c{n}\n\nbody"));
        }
        let facts = repo.pushed(HISTORY, old).await;
        assert_eq!((facts.commits, facts.unsigned), (3, 3));
        assert_eq!(facts.messages, ["c2\n\nbody\n", "c1\n\nbody\n", "c0\n\nbody\n"]);
        assert_eq!(
            (facts.authors, facts.committers),
            (vec!["ada@example.com".into()], vec!["ada@example.com".into()])
        );
        assert_eq!((facts.paths, facts.findings), (vec![], vec![]));
    }
}

#[tokio::test]
async fn signatures_are_seen() {
    let (repo, old) = published(SHA1);
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    let commit = format!(
        "tree {tree}\nparent {old}\nauthor Eve <eve@example.com> 1 +0000\ncommitter Bob <bob@example.com> 1 +0000\n\
        gpgsig -----BEGIN SSH SIGNATURE-----\n x\n -----END SSH SIGNATURE-----\n\nsigned\n"
    );
    write(&repo.dir.path().join("work/raw"), commit.as_bytes());
    let oid = repo.git(&["hash-object", "-t", "commit", "-w", "raw"]);
    repo.git(&["reset", "-q", "--hard", &oid]);
    repo.save("unsigned");
    let facts = repo.pushed(HISTORY, old).await;
    assert_eq!((facts.commits, facts.unsigned), (2, 1));
    assert_eq!(facts.authors, ["ada@example.com", "eve@example.com"]);
    assert_eq!(facts.committers, ["ada@example.com", "bob@example.com"]);
}

#[tokio::test]
async fn tags_of_every_kind() {
    let (repo, _) = published(SHA1);
    repo.file("a", "a");
    repo.save("two");
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "-m", "v", "annotated"]);
    repo.git(&["tag", "-a", "-m", "v", "nested", "annotated"]);
    let armour = "v\n-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n";
    repo.git(&["tag", "-a", "-m", armour, "signed"]);
    repo.git(&["tag", "blob", "HEAD:a"]);
    repo.git(&["tag", "tree", "HEAD:"]);
    repo.git(&["tag", "-a", "-m", "v", "of-blob", "HEAD:a"]);
    let check = async |name: &str, kind, commits, paths: &[&str]| {
        let pack = repo.pack(&[name, "^upstream/main"], &[]);
        let commands = [command(None, repo.oid(name), &format!("refs/tags/{name}"))];
        let facts = inspect(&repo.backend(), config(ALL), &commands, &pack).await.unwrap().remove(0);
        assert_eq!((facts.tag, facts.commits), (Some(kind), commits), "{name}");
        assert_eq!(facts.paths, paths, "{name}");
    };
    check("light", TagKind::Lightweight, 1, &["a"]).await;
    check("annotated", TagKind::Annotated, 1, &["a"]).await;
    check("nested", TagKind::Annotated, 1, &["a"]).await;
    check("signed", TagKind::Signed, 1, &["a"]).await;
    check("blob", TagKind::Lightweight, 0, &[]).await;
    check("of-blob", TagKind::Annotated, 0, &[]).await;
    check("tree", TagKind::Lightweight, 0, &["README", "a", "old/ci.yml", "src/lib.rs"]).await;
}

#[tokio::test]
async fn tags_that_the_upstream_has_already() {
    let (repo, old) = published(SHA1);
    repo.git(&["tag", "-a", "-m", "v", "annotated"]);
    repo.git(&["push", "-q", "upstream", "annotated"]);
    let empty = repo.pack(&["HEAD", "^HEAD"], &[]);
    for (name, new, kind) in [
        ("refs/tags/again", repo.oid("annotated"), TagKind::Annotated),
        ("refs/tags/light", old, TagKind::Lightweight),
    ] {
        let commands = [command(None, new, name)];
        let facts = inspect(&repo.backend(), config(HISTORY), &commands, &empty).await.unwrap().remove(0);
        assert_eq!((facts.tag, facts.commits), (Some(kind), 0), "{name}");
    }
}

#[tokio::test]
async fn each_command_has_its_own_facts() {
    let (repo, old) = published(SHA1);
    repo.save("two");
    let two = repo.oid("HEAD");
    repo.save("three");
    let null = Oid::from_bytes(&[0; 20]).unwrap();
    let commands = [
        Command { old, new: null, name: "refs/heads/gone".into() },
        command(Some(old), repo.oid("HEAD"), "refs/heads/main"),
        command(None, two, "refs/heads/side"),
    ];
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let facts = inspect(&repo.backend(), config(HISTORY), &commands, &pack).await.unwrap();
    assert_eq!(facts.iter().map(|facts| facts.commits).collect::<Vec<_>>(), [0, 2, 1]);
    assert_eq!(facts[0], Facts::default());
}

#[tokio::test]
async fn limits_are_kept() {
    let (repo, old) = published(SHA1);
    repo.file("a/b", "a");
    repo.file("a/c", "a");
    repo.save(&"long message ".repeat(100));
    let pack = repo.pack(&["HEAD", "^upstream/main"], &[]);
    let commands = [command(Some(old), repo.oid("HEAD"), "refs/heads/main")];
    let check = async |change: fn(&mut InspectConfig)| {
        let mut config = config(ALL);
        change(&mut config);
        match inspect(&repo.backend(), config, &commands, &pack).await {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    insta::assert_snapshot!(check(|_| {}).await, @"fine");
    insta::assert_snapshot!(check(|config| config.messages = 1000).await, @"the push exceeds the limit of the commits' messages");
    insta::assert_snapshot!(check(|config| config.paths = 1).await, @"the push exceeds the limit of paths in one update");
    insta::assert_snapshot!(check(|config| config.path = 2).await, @"the push exceeds the limit of the length of a path");
    insta::assert_snapshot!(check(|config| config.objects = 3).await, @"the pack exceeds the limit of objects");
    insta::assert_snapshot!(check(|config| config.commits = 0).await, @"the pack exceeds the limit of commits");
    insta::assert_snapshot!(check(|config| config.object = 0).await, @"the pack exceeds the limit of the size of an object");
    insta::assert_snapshot!(check(|config| config.held = 10).await, @"the pack exceeds the limit of the size of an object");
    insta::assert_snapshot!(check(|config| config.inflated = 100).await, @"the pack exceeds the limit of bytes to inflate");
    insta::assert_snapshot!(check(|config| config.answer = 10).await, @"the upstream can't be asked for what the push lacks");
    insta::assert_snapshot!(check(|config| config.time = std::time::Duration::ZERO).await, @"reading the pack was stopped");
}
