//! What an upstream is given and what there is of it: credentials that change, refs and repositories that
//! are hidden, redirects.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};

use anyhow::Result;
use http::Response;
use lockgate_testkit::{Git, GitServerOptions, HttpServer, ObjectFormat, body, wait};

use crate::world::{POLICY, UPSTREAM_PASSWORD, World};

/// A gateway with other lines for its upstream.
fn world(upstream: &str, policy: &str) -> Result<World> {
    let mut world = World::prepare(GitServerOptions::default())?;
    let static_one = "credential: { basic: { user: gate, password_file: password } }\n";
    let config = world.config("").replace(static_one, &format!("{upstream}\n"));
    world.configure(&config)?;
    world.policy(policy)?;
    let script = world.gate.folder().join("token");
    std::fs::write(&script, "#!/bin/sh\ncat \"$0.json\"\n")?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))?;
    std::fs::write(
        world.gate.folder().join("token.json"),
        format!(
            r#"{{ "user": "gate", "password": "{UPSTREAM_PASSWORD}", "expires_at": "2100-01-01T00:00:00Z" }}"#
        ),
    )?;
    world.gate.start()?;
    Ok(world)
}

#[test]
fn a_file_is_read_again_when_it_changes() -> Result<()> {
    let mut world = World::start()?;
    world.repo("team/app")?;
    let git = world.git("ada")?;
    world.work(&git, "team/app")?;
    let password = world.gate.folder().join("password");
    std::fs::write(&password, "another-password\n")?;
    wait::until("the new password", || {
        let output = git.run(git.home(), &["ls-remote", &world.url("team/app")]).ok()?;
        output.stderr.contains("refused the credential of this gateway").then_some(())
    })?;
    std::fs::write(&password, UPSTREAM_PASSWORD)?;
    wait::until("the old password", || git.ok(git.home(), &["ls-remote", &world.url("team/app")]).ok())?;
    let log = world.gate.log()?;
    assert!(!log.contains("another-password"), "{log}");
    world.stop_and_verify()
}

#[test]
fn a_command_gives_the_credential_by_repository() -> Result<()> {
    let choices = "credentials:\n  \
        - { repositories: [\"team/**\"], credential: { exec: { command: [./token] } } }\n  \
        - { repositories: [\"open/**\"], credential: none }";
    let policy = POLICY.replace("\"team/**\"", "\"team/**\", \"open/**\", \"other/**\"");
    let world = world(choices, &policy)?;
    for name in ["team/app", "open/app", "other/app"] {
        world.repo(name)?;
    }
    let git = world.git("ada")?;
    world.work(&git, "team/app")?;
    let refused = git.fails(git.home(), &["ls-remote", &world.url("open/app")])?.stderr;
    assert!(refused.contains("refused the credential of this gateway"), "{refused}");
    let before = world.server.requests()?.len();
    let refused = git.fails(git.home(), &["ls-remote", &world.url("other/app")])?.stderr;
    assert!(refused.contains("this gateway has no credential for the upstream now"), "{refused}");
    assert_eq!(world.server.requests()?.len(), before, "nothing was sent without it");
    let log = world.gate.log()?;
    assert!(log.contains("no credential of this upstream is for other/app"), "{log}");
    assert!(!log.contains(UPSTREAM_PASSWORD), "{log}");
    Ok(())
}

#[test]
fn refs_are_hidden_by_the_policy() -> Result<()> {
    let hide = "rules:\n  - id: security\n    match: { who: agents, git: { action: fetch, refs: \
                [\"refs/heads/security/**\"] } }\n    decide: deny\n";
    let mut world = World::prepare(GitServerOptions::default())?;
    world.configure(&world.config(""))?;
    world.policy(&POLICY.replace("rules:\n", hide))?;
    world.gate.start()?;
    for (format, name) in [(ObjectFormat::Sha1, "team/one"), (ObjectFormat::Sha256, "team/two")] {
        let repo = world.repo_with(name, format)?;
        let parent = repo.rev("refs/heads/main")?.expect("a commit");
        let tree = repo.rev("refs/heads/main^{tree}")?.expect("a tree");
        let secret =
            repo.git(&["commit-tree", &tree, "-p", &parent, "-m", "fixes a hole"])?.trim().to_owned();
        repo.git(&["update-ref", "refs/heads/security/fix", &secret])?;
        repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"])?;
        for version in [0, 1, 2] {
            let git = world.git("ada")?.protocol(version);
            let work = world.work(&git, name)?;
            let listed = git.ok(&work, &["ls-remote", "origin"])?.stdout;
            assert!(
                listed.contains("refs/heads/main") && !listed.contains("security"),
                "v{version}: {listed}"
            );
            git.fails(&work, &["cat-file", "-e", &secret])?;
            let refused = git.fails(&work, &["fetch", "origin", &secret])?.stderr;
            assert!(version < 2 || refused.contains("fatal: remote error: lockgate: denied"), "{refused}");
            git.ok(&work, &["fetch", "origin", "main"])?;
        }
    }
    world.stop_and_verify()
}

#[test]
fn repositories_that_are_not_listed_are_not_there() -> Result<()> {
    let lines = "credential: { basic: { user: gate, password_file: password } }\n  \
                 repositories: [\"team/*\"]\n  ignore_case: true";
    let world = world(lines, &POLICY.replace("\"team/**\"", "\"**\""))?;
    for name in ["team/app.git", "secret/app.git"] {
        world.repo(name)?;
    }
    let git = world.git("ada")?;
    git.ok(git.home(), &["ls-remote", &world.url("team/app")])?;
    let before = world.server.requests()?.len();
    for name in ["secret/app.git", "Secret/App", "nowhere/app", "team/a/b"] {
        let refused = git.fails(git.home(), &["ls-remote", &world.url(name)])?.stderr;
        assert!(refused.contains("not found"), "{name}: {refused}");
    }
    assert_eq!(world.server.requests()?.len(), before);
    Ok(())
}

#[test]
fn submodules_with_relative_urls_are_cloned() -> Result<()> {
    let world = World::start()?;
    let (app, lib) = (world.server.create("team/app.git")?, world.repo("team/lib.git")?);
    app.seed(1)?;
    let git = Git::new()?;
    // git keeps what the environment configures from the processes of submodules.
    let header = format!("Authorization: Bearer {}", world.token("ada").sign()?);
    git.ok(git.home(), &["config", "--global", "http.extraHeader", &header])?;
    let work = world.work(&git, "team/app.git")?;
    git.ok(&work, &["submodule", "add", "../lib.git", "lib"])?;
    git.ok(&work, &["commit", "-q", "-m", "lib"])?;
    git.ok(&work, &["push", "-q", "origin", "HEAD:refs/heads/lib"])?;
    let args = ["clone", "-q", "--recurse-submodules", "-b", "lib", &world.url("team/app.git"), "again"];
    git.ok(git.home(), &args)?;
    let head = git.ok(&git.home().join("again/lib"), &["rev-parse", "HEAD"])?.stdout;
    assert_eq!(Some(head.trim()), lib.rev("refs/heads/main")?.as_deref());
    Ok(())
}

/// The list of refs of a repository with one commit.
fn listed() -> String {
    let line = format!("{} refs/heads/main\0agent=x\n", "a".repeat(40));
    format!("001e# service=git-upload-pack\n0000{:04x}{line}0000", line.len() + 4)
}

#[test]
fn a_renamed_repository_is_found_by_its_new_name_alone() -> Result<()> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let upstream = HttpServer::start(None, move |request| {
        let path = request.uri().path().to_owned();
        let authorized = request.headers().contains_key("authorization");
        seen.lock().expect("no panic").push((path.clone(), authorized));
        let moved = |to: &str, rest: &str| {
            let to = format!("/{to}{rest}?service=git-upload-pack");
            Response::builder().status(301).header("location", to)
        };
        let answer = if let Some(rest) = path.strip_prefix("/team/old-secret") {
            moved("secret-secret", rest)
        } else if let Some(rest) = path.strip_prefix("/team/old") {
            moved("team/new", rest)
        } else if path.starts_with("/team/far/") {
            moved("moved", "")
        } else if path == "/moved" {
            moved("team/new/info/refs", "")
        } else if path.starts_with("/team/lost/") {
            moved("nowhere", "")
        } else {
            Response::builder().header("content-type", "application/x-git-upload-pack-advertisement")
        };
        std::future::ready(Ok(answer.body(body(listed())).expect("a response")))
    })?;
    let mut world = World::prepare(GitServerOptions::default())?;
    let entry = |name: &str, more: &str| {
        format!(
            "- {{ name: {name}, kind: git, url: \"{}\", credential: {{ bearer: {{ token_file: password }} }}{more} }}\n",
            upstream.url()
        )
    };
    let entries = [entry("strict", ", redirects: refuse"), entry("lax", ""), "issuers:\n".into()].concat();
    world.configure(&world.config("").replace("issuers:\n", &entries))?;
    world.gate.start()?;
    let git = world.git("ada")?.protocol(0);
    let url = |upstream: &str, name: &str| format!("{}/git/{upstream}/{name}", world.gate.url());
    let found = git.ok(git.home(), &["ls-remote", &url("lax", "team/old")])?;
    assert!(found.stdout.contains("refs/heads/main"), "{found:?}");
    assert!(found.stderr.contains("redirecting to"), "{found:?}");
    let calls = std::mem::take(&mut *asked.lock().expect("no panic"));
    let expected = ["/team/old/info/refs", "/team/new/info/refs"].map(|path| (path.to_owned(), true));
    assert_eq!(calls, expected);
    // By way of what is no repository, which is asked here.
    let found = git.ok(git.home(), &["ls-remote", &url("lax", "team/far")])?;
    assert!(found.stdout.contains("refs/heads/main"), "{found:?}");
    let calls = std::mem::take(&mut *asked.lock().expect("no panic"));
    let expected =
        ["/team/far/info/refs", "/moved", "/team/new/info/refs"].map(|path| (path.to_owned(), true));
    assert_eq!(calls, expected);
    let refused = git.fails(git.home(), &["ls-remote", &url("lax", "team/lost")])?.stderr;
    assert!(refused.contains("the upstream redirects to nothing"), "{refused}");
    let refused = git.fails(git.home(), &["ls-remote", &url("lax", "team/old-secret")])?.stderr;
    assert!(refused.contains("lockgate: denied"), "the new name is judged: {refused}");
    let refused = git.fails(git.home(), &["ls-remote", &url("strict", "team/old")])?.stderr;
    assert!(refused.contains("this has moved to /team/new/info/refs"), "{refused}");
    Ok(())
}
