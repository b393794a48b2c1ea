//! Policies that look into pushes: the examples, and what an approver is shown.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use anyhow::Result;
use lockgate_detect::expand_sample;
use lockgate_testkit::Git;

use crate::world::World;

const LIMIT: Duration = Duration::from_secs(90);

const SECRETS: &str = include_str!("../../../../examples/policies/no-secrets.yaml");
const PIPELINES: &str = include_str!("../../../../examples/policies/pipelines-approval.yaml");
const SIGNED: &str = include_str!("../../../../examples/policies/signed-commits.yaml");
const PROTECTED: &str = include_str!("../../../../examples/policies/protected-refs.yaml");

/// A token, made up so that this file holds none.
fn secret(seed: u64) -> Result<String> {
    expand_sample("ghp_<A-Za-z0-9*36>", seed).map_err(anyhow::Error::msg)
}

#[test]
fn a_secret_in_a_commit_between_is_refused_with_its_place() -> Result<()> {
    let mut world = World::start_under(SECRETS)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let before = repo.refs()?;
    let token = secret(1)?;
    git.commit(&work, "README", "nothing to see\n")?;
    let guilty = git.commit(&work, "src/config.py", &format!("a = 1\nb = 2\ntoken = '{token}'\n"))?;
    git.commit(&work, "src/config.py", "a = 1\nb = 2\n")?;
    let refused = git.fails(&work, &["push", "origin", "HEAD:refs/heads/fix"])?;
    let place = format!("github-pat in src/config.py line 3 (commit {})", &guilty[..7]);
    // The lines of prose are broken and indented.
    let words = refused.stderr.replace("remote:", "").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&place), "{place} in {}", refused.stderr);
    assert!(words.contains("! [remote rejected] HEAD -> fix (the push contains github-pat in"), "{words}");
    assert!(!refused.stderr.contains(&token), "{}", refused.stderr);
    assert_eq!(repo.refs()?, before);

    let push = &world.exchanges(&["--action", "push"], 1)?[0];
    assert_eq!(push["verdict"], "deny", "{push}");
    assert!(push.to_string().contains(&place) && !push.to_string().contains(&token), "{push}");
    // What holds none passes, also after one that did.
    git.ok(&work, &["reset", "--hard", "origin/main"])?;
    let tip = git.commit(&work, "README", "clean\n")?;
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/fix"])?;
    assert_eq!(repo.rev("fix")?.as_deref(), Some(&*tip));
    world.stop_and_verify()
}

#[test]
fn an_approver_sees_what_changes_in_a_pipeline() -> Result<()> {
    let mut world = World::start_under(PIPELINES)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "src/lib.rs", "pub fn a() {}\n")?;
    git.ok(&work, &["push", "origin", "HEAD:main"])?;
    let token = secret(2)?;
    git.commit(&work, "src/lib.rs", "pub fn b() {}\n")?;
    git.ok(&work, &["rm", "-q", "src/lib.rs"])?;
    let steps = format!("on: push\n# \u{202e}\u{1b}[31mred\nenv:\n  TOKEN: {token}\n");
    let tip = git.commit(&work, ".github/workflows/ci.yml", &steps)?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:main"])?;
    push.wait_for_stderr("remote: ")?;
    let id = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &id])?.stdout;
    for part in [
        "refs/heads/main compared with ",
        "A .github/workflows/ci.yml  +4 -0",
        "D src/lib.rs  +0 -1",
        "1 added, 0 changed, 1 removed",
        "+on: push",
        "+# <U+202E><U+001B>[31mred",
        "+  TOKEN: [MASKED:github-pat:",
        "-pub fn a() {}",
        "secrets: not looked for",
        &tip[..7],
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains(&token) && !shown.contains("pub fn b()"), "{shown}");
    assert!(world.approve(&id)?.status.success());
    assert!(push.finish(LIMIT)?.status.success());
    assert_eq!(repo.rev("main")?.as_deref(), Some(&*tip));
    // An existing file at a new path: the pack holds no blob.
    git.ok(&work, &["mv", ".github/workflows/ci.yml", ".gitlab-ci.yml"])?;
    git.ok(&work, &["commit", "-q", "-m", "moved"])?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:refs/heads/moved"])?;
    push.wait_for_stderr("remote: ")?;
    let id = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &id])?.stdout;
    assert!(
        shown.contains("refs/heads/moved compared with ") && shown.contains("A .gitlab-ci.yml"),
        "{shown}"
    );
    world.gate.run_configured(&["approvals", "deny", &id, "-m", "no"])?;
    assert!(push.finish(LIMIT)?.stderr.contains("refused by"));
    world.stop_and_verify()
}

/// Makes git sign, as a program of the user would: whether a signature is good is not asked.
fn sign(git: Git) -> Result<Git> {
    let program = git.home().join("sign");
    let script = "#!/bin/sh\ncat >/dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\n\
                  printf -- '-----BEGIN PGP SIGNATURE-----\\n\\nx\\n-----END PGP SIGNATURE-----\\n'\n";
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let program = program.display().to_string();
    Ok(git.config("gpg.program", &program).config("commit.gpgSign", "true").config("tag.gpgSign", "true"))
}

#[test]
fn commits_and_tags_must_be_signed() -> Result<()> {
    let world = World::start_under(SIGNED)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let base = git.commit(&work, "a", "unsigned\n")?;
    let refused = git.fails(&work, &["push", "origin", "HEAD:refs/heads/fix"])?;
    assert!(refused.stderr.contains("without a signature"), "{}", refused.stderr);
    git.ok(&work, &["reset", "--hard", &format!("{base}~1")])?;
    git.ok(&work, &["tag", "-m", "v0", "v0"])?;
    let refused = git.fails(&work, &["push", "origin", "v0"])?;
    assert!(refused.stderr.contains("tag without a signature"), "{}", refused.stderr);
    let git = sign(git)?;
    let tip = git.commit(&work, "a", "signed\n")?;
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/fix"])?;
    git.ok(&work, &["tag", "-m", "v1", "v1"])?;
    git.ok(&work, &["push", "origin", "v1"])?;
    git.ok(&work, &["push", "origin", ":refs/heads/fix"])?;
    assert_eq!(repo.rev("v1^{commit}")?.as_deref(), Some(&*tip));
    Ok(())
}

#[test]
fn protected_refs_are_neither_rewritten_nor_deleted() -> Result<()> {
    let world = World::start_under(PROTECTED)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.ok(&work, &["push", "origin", "HEAD:refs/tags/v1", "HEAD:refs/heads/free"])?;
    let before = repo.refs()?;
    git.ok(&work, &["commit", "-q", "--amend", "-m", "other"])?;
    for update in ["+HEAD:main", "+HEAD:refs/tags/v1", ":main", ":refs/tags/v1"] {
        let refused = git.fails(&work, &["push", "origin", update])?;
        assert!(refused.stderr.contains("is protected"), "{update}: {}", refused.stderr);
    }
    assert_eq!(repo.refs()?, before);
    git.ok(&work, &["push", "origin", "+HEAD:refs/heads/free"])?;
    Ok(())
}
