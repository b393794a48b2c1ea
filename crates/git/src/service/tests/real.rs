//! Real git.

use super::gateway::Gateway;
use crate::{Config, facts::Wanted, oid::ObjectFormat};

async fn gateway() -> Gateway {
    Gateway::new(ObjectFormat::Sha1).await
}

#[tokio::test]
async fn clones_and_fetches_in_every_version() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let gateway = Gateway::new(format).await;
        for n in 0..60 {
            // Enough wants that git compresses its request.
            gateway.repo.git(&["switch", "-q", "-c", &format!("branch-{n}")]);
            gateway.repo.commit(&format!("c{n}"));
        }
        gateway.repo.git(&["push", "-q", "upstream", "--all"]);
        for version in ["0", "1", "2"] {
            let version = format!("protocol.version={version}");
            let folder = format!("clone-{}", &version[version.len() - 1..]);
            let printed = gateway
                .git(&["-c", &version, "clone", "-q", "--no-checkout", "{url}", &format!("../{folder}")])
                .await;
            assert!(printed.ends_with("exit 0"), "{printed}");
            let head = gateway.repo.run(&folder, &["rev-parse", "origin/branch-59"]);
            assert_eq!(head, gateway.repo.oid("branch-59").to_string());
            gateway.repo.run(&folder, &["fsck", "--strict"]);
            assert!(gateway.asked().lines().all(|line| line == "fetch app"));
        }
    }
}

#[tokio::test]
async fn pushes_everything_that_can_be_pushed() {
    let told = story(gateway().await).await;
    insta::assert_snapshot!(told);
    // The same where all of it is looked into.
    let mut config = Config::default();
    config.inspect.wanted = Wanted { history: true, paths: true, content: true };
    assert_eq!(story(Gateway::with(ObjectFormat::Sha1, config, 64 << 20).await).await, told);
}

async fn story(gateway: Gateway) -> String {
    let (repo, mut story) = (&gateway.repo, String::new());
    let mut push = async |title: &str, arguments: &[&str]| {
        let printed = gateway.git(&[&["push", "-q", "{url}"], arguments].concat()).await;
        let asked = gateway.asked();
        story.push_str(&format!("## {title}\n{asked}\n{printed}\n"));
    };
    repo.commit("one");
    push("create", &["main"]).await;
    repo.commit("two");
    push("update", &["main", "-o", "ci.skip", "-o", ""]).await;
    repo.git(&["commit", "-q", "--amend", "-m", "two again"]);
    push("not forced: git itself refuses", &["main"]).await;
    push("force", &["--force", "main"]).await;
    repo.git(&["tag", "light"]);
    repo.git(&["tag", "-a", "-m", "heavy", "heavy"]);
    push("tags", &["--tags"]).await;
    repo.git(&["tag", "-f", "light", "HEAD~1"]);
    push("moved tag", &["--force", "light"]).await;
    repo.git(&["switch", "-q", "-c", "side", "HEAD~1"]);
    repo.commit("three");
    push("several, atomic", &["--atomic", "side", "main:copy", ":light"]).await;
    push("existing commit, other branch", &["side:side2"]).await;
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-edit", "side"]);
    push("merge of what is there", &["main"]).await;
    push("fast-forward to what is there", &["main:copy"]).await;
    push("delete", &["--delete", "side", "side2"]).await;
    push("note", &["main:refs/notes/commits"]).await;

    let refs = repo.run("app.git", &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/copy\nrefs/heads/main\nrefs/notes/commits\nrefs/tags/heavy");
    assert_eq!(repo.run("app.git", &["rev-parse", "main"]), repo.oid("main").to_string());
    story
}

#[tokio::test]
async fn an_inspected_push_that_is_refused_says_why() {
    let mut config = Config::default();
    config.inspect.wanted = Wanted { content: true, ..Wanted::default() };
    config.inspect.scanned = 100;
    let gateway = Gateway::with(ObjectFormat::Sha1, config, 64 << 20).await;
    std::fs::write(gateway.repo.dir.path().join("work/noise"), noise(400)).unwrap();
    gateway.repo.commit("one");
    insta::assert_snapshot!(gateway.git(&["push", "-q", "{url}", "main"]).await, @"
    remote: lockgate: invalid: the blob dfa2c36f607212fda41444937a7f184c7831f15e is too large to be looked
    remote:   through for secrets
    To http://gate/app.git
     ! [remote rejected] main -> main (the blob dfa2c36f607212fda41444937a7f184c7831f15e is too large to be looked through for secrets)
    error: failed to push some refs to 'http://gate/app.git'
    exit 1
    ");
    assert_eq!(gateway.asked(), "fetch app");
}

#[tokio::test]
async fn pushes_from_shallow_and_sha256_repositories() {
    let gateway = Gateway::new(ObjectFormat::Sha256).await;
    gateway.repo.commit("one");
    gateway.repo.commit("two");
    insta::assert_snapshot!(gateway.git(&["push", "-q", "{url}", "main"]).await, @"exit 0");
    gateway.git(&["clone", "-q", "--depth=1", "{url}", "../shallow"]).await;
    let commit = ["commit", "-q", "--allow-empty", "-m", "three"];
    gateway.repo.run("shallow", &commit);
    gateway.asked();
    insta::assert_snapshot!(gateway.git(&["-C", "../shallow", "push", "-q", "origin", "main"]).await, @"exit 0");
    insta::assert_snapshot!(gateway.asked(), @"
    fetch app
    push update branch refs/heads/main
    ");
}

#[tokio::test]
async fn large_pushes_begin_with_a_probe_that_nobody_decides() {
    let gateway = gateway().await;
    std::fs::write(gateway.repo.dir.path().join("work/noise"), noise(400_000)).unwrap();
    gateway.repo.commit("one");
    let push = ["-c", "http.postBuffer=65536", "-c", "core.compression=0", "push", "-q", "{url}", "main"];
    insta::assert_snapshot!(gateway.git(&push).await, @"exit 0");
    insta::assert_snapshot!(gateway.asked(), @"
    fetch app
    probe
    push create branch refs/heads/main
    ");
    gateway.repo.run("app.git", &["fsck", "--strict"]);
}

#[tokio::test]
async fn shows_why_a_push_is_refused() {
    let gateway = gateway().await;
    gateway.repo.commit("one");
    insta::assert_snapshot!(gateway.git(&["push", "{url}", "main:refused"]).await, @r#"
    remote: lockgate: denied: nobody may have refused ones
    remote:   rule: words
    To http://gate/app.git
     ! [remote rejected] main -> refused (nobody may have refused ones)
    error: failed to push some refs to 'http://gate/app.git'
    exit 1
    "#);
    insta::assert_snapshot!(
        gateway.git(&["push", "{url}", "main", "main:refused/a", "main:refused/b"]).await, @r#"
    remote: lockgate: denied: nobody may have refused ones
    remote:   refs/heads/main: refused together with the others
    remote:   refs/heads/refused/a: nobody may have refused ones (rule words)
    remote:   refs/heads/refused/b: nobody may have refused ones (rule words)
    To http://gate/app.git
     ! [remote rejected] main -> main (refused together with the others)
     ! [remote rejected] main -> refused/a (nobody may have refused ones)
     ! [remote rejected] main -> refused/b (nobody may have refused ones)
    error: failed to push some refs to 'http://gate/app.git'
    exit 1
    "#);
    insta::assert_snapshot!(
        gateway.git(&["push", "--porcelain", "--atomic", "{url}", "main", "main:refused"]).await, @r#"
    To http://gate/app.git
    !	refs/heads/main:refs/heads/main	[remote rejected] (refused together with the others)
    !	refs/heads/main:refs/heads/refused	[remote rejected] (nobody may have refused ones)
    Done
    remote: lockgate: denied: nobody may have refused ones
    remote:   refs/heads/main: refused together with the others
    remote:   refs/heads/refused: nobody may have refused ones (rule words)
    error: failed to push some refs to 'http://gate/app.git'
    exit 1
    "#);
    assert_eq!(gateway.repo.run("app.git", &["for-each-ref"]), "");
}

#[tokio::test]
async fn holds_a_push_until_people_decide() {
    let gateway = gateway().await;
    gateway.repo.commit("one");
    insta::assert_snapshot!(gateway.git(&["push", "{url}", "main:held"]).await, @r#"
    remote: lockgate: waiting for the approval of refs/heads/held, for 10 minutes at most
    remote:   approve: https://gate.example/approvals/a1
    remote:   or run: lockgate approvals approve a1
    To http://gate/app.git
     * [new branch]      main -> held
    exit 0
    "#);
    insta::assert_snapshot!(gateway.git(&["push", "{url}", "main:held-and-denied"]).await, @r#"
    remote: lockgate: waiting for the approval of refs/heads/held-and-denied, for 10 minutes at most
    remote:   approve: https://gate.example/approvals/a1
    remote:   or run: lockgate approvals approve a1
    remote: lockgate: approval_denied: nobody may have held-and-denied ones
    remote:   rule: words
    To http://gate/app.git
     ! [remote rejected] main -> held-and-denied (nobody may have held-and-denied ones)
    error: failed to push some refs to 'http://gate/app.git'
    exit 1
    "#);
    let refs = gateway.repo.run("app.git", &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/held");
}

#[tokio::test]
async fn shows_why_a_push_that_was_not_read_is_refused() {
    let gateway = Gateway::with(ObjectFormat::Sha1, Config::default(), 1000).await;
    std::fs::write(gateway.repo.dir.path().join("work/noise"), noise(200_000)).unwrap();
    gateway.repo.commit("one");
    insta::assert_snapshot!(gateway.git(&["-c", "core.compression=0", "push", "{url}", "main"]).await, @r#"
    remote: lockgate: too_large: the push is larger than 1000 bytes
    To http://gate/app.git
     ! [remote rejected] main -> main (the push is larger than 1000 bytes)
    error: failed to push some refs to 'http://gate/app.git'
    exit 1
    "#);
    let config = Config { commands: 1, ..Config::default() };
    let gateway = Gateway::with(ObjectFormat::Sha1, config, 1 << 20).await;
    gateway.repo.commit("one");
    insta::assert_snapshot!(gateway.git(&["push", "{url}", "main", "main:other"]).await, @r#"
    remote: lockgate: too_large: the push updates more than 1 refs
    error: remote unpack failed: the push updates more than 1 refs
    To http://gate/app.git
     ! [remote failure]  main -> main (remote failed to report status)
     ! [remote failure]  main -> other (remote failed to report status)
    error: failed to push some refs to 'http://gate/app.git'
    exit 1
    "#);
}

#[tokio::test]
async fn shows_why_reading_is_refused() {
    let gateway = gateway().await;
    insta::assert_snapshot!(gateway.git(&["clone", "{gate}/refused.git", "../x"]).await, @r#"
    Cloning into '../x'...
    remote: lockgate: denied: nobody may have refused ones
    remote:   rule: words
    fatal: unable to access 'http://gate/refused.git/': The requested URL returned error: 403
    exit 128
    "#);
    insta::assert_snapshot!(gateway.git(&["ls-remote", "{gate}/held.git"]).await, @r#"
    remote: lockgate: approval_needed: nobody may have held ones
    remote:   rule: words
    remote:   approve: https://gate.example/approvals/a1
    fatal: unable to access 'http://gate/held.git/': The requested URL returned error: 403
    exit 128
    "#);
    let unknown = gateway.run(&["ls-remote", "http://ada:wrong@{host}/app.git"]).await;
    insta::assert_snapshot!(unknown, @r#"
    remote: lockgate: unauthenticated: a token is needed
    remote: git: give the token as the password, with any user name; or as a header:
    remote:   git -c http.extraHeader="Authorization: Bearer $TOKEN" ...
    fatal: Authentication failed for 'http://gate/app.git/'
    exit 128
    "#);
}

/// Bytes that do not compress.
fn noise(len: u32) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
