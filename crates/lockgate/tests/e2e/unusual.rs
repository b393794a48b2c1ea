//! Pushes and lists that git itself makes, and few people see.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use lockgate_testkit::{Git, Repo};

use crate::{wire, world::World};

const MANY: usize = 100_000;

/// Makes so many refs of a repository, all of one commit, as `git pack-refs` would leave them.
fn many_refs(folder: &Path, tip: &str, count: usize) -> Result<()> {
    let lines = (0..count).map(|number| format!("{tip} refs/many/{number:06}\n"));
    let text: String = std::iter::once("# pack-refs with: sorted \n".to_owned()).chain(lines).collect();
    std::fs::write(folder.join("packed-refs"), text).context("cannot write the refs")
}

fn count(git: &Git, work: &Path, args: &[&str]) -> Result<usize> {
    Ok(git.ok(work, args)?.stdout.lines().filter(|line| line.contains("refs/many/")).count())
}

#[test]
fn a_hundred_thousand_refs_are_listed_and_a_push_of_them_is_refused() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    let tip = repo.rev("main")?.context("there is a tip")?;
    for version in [0, 2] {
        let git = world.git("ada")?.protocol(version);
        let work = world.work(&git, "team/app")?;
        many_refs(repo.path(), &tip, MANY)?;
        assert_eq!(count(&git, &work, &["ls-remote", "origin"])?, MANY);
        // They stand in the list that precedes a push, too.
        let new = git.commit(&work, "a", &version.to_string())?;
        git.ok(&work, &["push", "-q", "origin", &format!("HEAD:refs/heads/v{version}")])?;
        assert_eq!(repo.rev(&format!("v{version}"))?, Some(new));
        std::fs::remove_file(repo.path().join("packed-refs"))?;
        repo.git(&["update-ref", "refs/heads/main", &tip])?;
    }
    // A thousand are pushed. git itself takes minutes to prepare a push of a hundred thousand.
    let git = world.git("ada")?;
    let work = git.clone_to(&world.url("team/app"), "pushed")?;
    many_refs(&work.join(".git"), &tip, 1000)?;
    git.ok(&work, &["push", "-q", "origin", "refs/many/*:refs/heads/many/*"])?;
    let arrived =
        || Ok::<_, anyhow::Error>(repo.refs()?.keys().filter(|name| name.contains("/many/")).count());
    assert_eq!(arrived()?, 1000);
    let zero = "0".repeat(40);
    let lines = (0..MANY).map(|number| {
        let words = if number == 0 { "\0report-status side-band-64k" } else { "" };
        let command = format!("{zero} {tip} refs/heads/many/x{number}{words}");
        format!("{:04x}{command}", command.len() + 4)
    });
    let answer = wire::push(&world, "", lines.chain(["0000".to_owned()]).collect::<String>().as_bytes())?;
    assert!(answer.contains("lockgate: too_large: "), "{}", tail(&answer));
    assert_eq!(arrived()?, 1000);
    Ok(())
}

fn tail(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(2000))..]
}

#[test]
fn a_signed_push_arrives_with_its_certificate() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let key = git.home().join("key");
    accept_signed(&repo, &key)?;
    let key = key.to_str().context("a UTF-8 path")?;
    let git = git.config("gpg.format", "ssh").config("user.signingKey", key);
    let tip = git.commit(&work, "a", "1")?;
    git.ok(&work, &["push", "--signed", "origin", "HEAD:refs/heads/x"])?;
    assert_eq!(repo.rev("x")?.as_ref(), Some(&tip));
    let seen = std::fs::read_to_string(repo.path().join("seen"))?;
    // Over HTTP, who gave the nonce and who gets it back are two processes, maybe in two seconds.
    assert!(matches!(&*seen, "G OK\n" | "G SLOP\n"), "the upstream found the certificate {seen}");
    let push = &world.exchanges(&["--action", "push"], 1)?[0];
    assert!(push.to_string().contains(r#""signed""#), "{push}");
    Ok(())
}

/// Makes a key, and the upstream a server that asks for certificates and takes this one's.
fn accept_signed(repo: &Repo, key: &Path) -> Result<()> {
    let mut keygen = Command::new("ssh-keygen");
    ensure!(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).status()?.success());
    let public = std::fs::read_to_string(key.with_extension("pub"))?;
    let signers = repo.path().join("signers");
    std::fs::write(&signers, format!("ada@test.example {public}"))?;
    repo.git(&["config", "receive.certNonceSeed", "a seed"])?;
    repo.git(&["config", "receive.certNonceSlop", "3600"])?;
    repo.git(&["config", "gpg.ssh.allowedSignersFile", signers.to_str().context("a UTF-8 path")?])?;
    repo.hook(
        "pre-receive",
        "echo \"$GIT_PUSH_CERT_STATUS $GIT_PUSH_CERT_NONCE_STATUS\" >seen; cat >/dev/null",
    )
}
