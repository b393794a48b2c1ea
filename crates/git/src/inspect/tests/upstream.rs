//! What the push lacks and the upstream has.

use super::*;

/// A branch `side` with two commits that the upstream has, and an empty pack.
fn two_steps() -> (Repo, Oid, Vec<u8>) {
    let (repo, old) = published(SHA1);
    repo.file(".github/workflows/x.yml", "on: push");
    repo.save("two");
    repo.file("key", format!("\n{}", secret(1)));
    repo.save("three");
    repo.git(&["push", "-q", "upstream", "HEAD:side"]);
    let empty = repo.pack(&["HEAD", "^HEAD"], &[]);
    (repo, old, empty)
}

#[tokio::test]
async fn a_push_in_two_steps_brings_the_same() {
    for filter in ["true", "false"] {
        let (repo, old, empty) = two_steps();
        repo.run("app.git", &["config", "uploadpack.allowFilter", filter]);
        let facts = repo.update(ALL, old, &empty).await.unwrap();
        assert_eq!((facts.commits, facts.messages.len()), (2, 2));
        assert_eq!(facts.paths, [".github/workflows/x.yml", "key"]);
        assert_eq!(places(&repo, &facts.findings), "github-pat three key:2");
        // Whatever is wanted, no more is asked for.
        assert_eq!(repo.update(PATHS, old, &empty).await.unwrap().paths, facts.paths);
        let history = Wanted { history: true, ..Wanted::default() };
        assert_eq!(repo.update(history, old, &empty).await.unwrap().commits, 2);
    }
}

#[tokio::test]
async fn a_branch_of_what_the_default_branch_has() {
    let (repo, old) = published(SHA1);
    repo.save("two");
    repo.publish();
    let empty = repo.pack(&["HEAD", "^HEAD"], &[]);
    let backend = repo.backend();
    let facts =
        inspect(&backend, config(ALL), &[command(None, old, "refs/heads/side")], &empty).await.unwrap();
    assert_eq!(facts, [Facts::default()]);
}

#[tokio::test]
async fn a_file_with_a_secret_from_another_branch() {
    let (repo, old, _) = two_steps();
    let blob = repo.git(&["rev-parse", "HEAD:key"]);
    repo.git(&["reset", "-q", "--hard", &old.to_string()]);
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},other")]);
    repo.git(&["commit", "-q", "-m", "four"]);
    // Without the blob: the upstream has it.
    let pack = repo.pack(&["HEAD", "^upstream/main", "^upstream/side"], &[]);
    let facts = repo.update(ALL, old, &pack).await.unwrap();
    assert_eq!(places(&repo, &facts.findings), "github-pat four other:2");
    assert_eq!(facts.largest, 41);
}

#[tokio::test]
async fn a_directory_from_another_branch() {
    let (repo, old, _) = two_steps();
    let tree = repo.git(&["rev-parse", "HEAD:.github"]);
    repo.git(&["reset", "-q", "--hard", &old.to_string()]);
    repo.git(&["read-tree", "--prefix=moved/", &tree]);
    repo.git(&["commit", "-q", "-m", "four"]);
    let pack = repo.pack(&["HEAD", "^upstream/main", "^upstream/side"], &[]);
    let facts = repo.update(ALL, old, &pack).await.unwrap();
    assert_eq!(facts.paths, ["moved/workflows/x.yml"]);
}

#[tokio::test]
async fn bases_of_a_thin_pack() {
    let (repo, _) = published(SHA1);
    let lines: Vec<String> = (0..300).map(|n| format!("line {n} {}", n * n)).collect();
    repo.file("big.txt", lines.join("\n"));
    for n in 0..300 {
        repo.file(&format!("many/{n}"), n.to_string());
    }
    repo.save("two");
    let old = repo.publish();
    repo.file("big.txt", lines.join("\n") + "\n" + &secret(1));
    repo.file("many/1", "other");
    repo.save("three");
    let thin = repo.pack(&["HEAD", "^upstream/main"], &["--thin"]);
    let whole = repo.pack(&["HEAD", "^upstream/main"], &[]);
    assert!(thin.len() < whole.len() / 2);
    let facts = repo.update(ALL, old, &thin).await.unwrap();
    assert_eq!(facts.paths, ["big.txt", "many/1"]);
    assert_eq!(places(&repo, &facts.findings), "github-pat three big.txt:301");
    assert_eq!(repo.update(ALL, old, &whole).await.unwrap(), facts);
}

#[tokio::test]
async fn shallow_clones_push_what_they_have() {
    let (repo, _) = published(SHA1);
    repo.file("a", "x");
    repo.save("two");
    let old = repo.publish();
    let url = format!("file://{}", repo.dir.path().join("app.git").display());
    repo.run(".", &["clone", "-q", "--depth=1", &url, "shallow"]);
    write(&repo.dir.path().join("shallow/b"), b"x");
    repo.run("shallow", &["add", "b"]);
    repo.run("shallow", &["commit", "-q", "-m", "three"]);
    repo.run("work", &["fetch", "-q", "--depth=1", "../shallow", "main"]);
    repo.git(&["reset", "-q", "--hard", "FETCH_HEAD"]);
    let pack = repo.pack(&["HEAD", &format!("^{old}")], &[]);
    let facts = repo.update(ALL, old, &pack).await.unwrap();
    assert_eq!((facts.commits, facts.paths), (1, vec!["b".into()]));
}

#[tokio::test]
async fn what_can_not_be_had_is_an_error() {
    let (repo, old) = published(SHA1);
    repo.file("a/b", "x");
    repo.save("two");
    let new = repo.oid("HEAD");
    repo.file("c", "y");
    repo.save("three");
    let update = [command(Some(old), repo.oid("HEAD"), "refs/heads/main")];
    let check = async |probe: &dyn Probe, commands: &[Command], pack: &[u8]| {
        inspect(probe, config(ALL), commands, pack).await.unwrap_err().to_string()
    };
    // The commit between is nowhere.
    let cut = repo.pack(&["HEAD", &format!("^{new}")], &[]);
    insta::assert_snapshot!(check(&repo.backend(), &update, &cut).await, @"neither the push nor the upstream holds what the push stands on");
    // The new tip is nowhere.
    let nobody = [command(Some(old), Oid::from_bytes(&[7; 20]).unwrap(), "refs/heads/main")];
    let empty = repo.pack(&["HEAD", "^HEAD"], &[]);
    insta::assert_snapshot!(check(&repo.backend(), &nobody, &empty).await, @"neither the push nor the upstream holds what the push stands on");
    // Nobody there to ask; an upstream of other names.
    let whole = repo.pack(&["HEAD", "^upstream/main"], &[]);
    insta::assert_snapshot!(check(&Unreachable, &update, &whole).await, @"the upstream can't be asked for what the push lacks");
    let other = Repo::new(ObjectFormat::Sha256);
    insta::assert_snapshot!(check(&other.backend(), &update, &whole).await, @"the upstream can't be asked for what the push lacks");
}

#[tokio::test]
async fn what_one_update_stands_on_is_not_what_another_brings() {
    let (repo, _) = published(SHA1);
    repo.file("key", secret(1));
    let two = repo.save("two");
    repo.save("three");
    repo.publish();
    let mut commands = Vec::new();
    for name in ["a", "b"] {
        repo.git(&["switch", "-q", "-c", name, &two.to_string()]);
        repo.git(&["mv", "key", name]);
        commands.push(command(None, repo.save(name), &format!("refs/heads/{name}")));
    }
    // Its own tip: a step back.
    commands.push(command(Some(repo.oid("main")), two, "refs/heads/main"));
    let pack = repo.pack(&["a", "b", "^upstream/main"], &[]);
    let facts = inspect(&repo.backend(), config(ALL), &commands, &pack).await.unwrap();
    let found: Vec<_> =
        facts.iter().map(|facts| (facts.commits, facts.paths.join(" "), facts.findings.len())).collect();
    assert_eq!(found, [(1, "a key".into(), 0), (1, "b key".into(), 0), (0, String::new(), 0)]);
}
