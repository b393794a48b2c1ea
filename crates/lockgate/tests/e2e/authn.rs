//! Who gets in: tokens of every wrong kind are refused before anything is forwarded.

use anyhow::Result;
use lockgate_testkit::{Alg, Git, Idp, wait};
use serde_json::json;

use crate::world::World;

#[test]
fn only_a_good_token_gets_in() -> Result<()> {
    let world = World::start()?;
    world.repo("team/app")?;
    let stranger = Idp::start()?;
    let good = || world.token("ada");
    let cases = [
        ("expired", good().expires_in(-120).sign()?),
        ("another issuer", stranger.token("ada").claim("aud", json!("lockgate")).sign()?),
        ("our issuer's name, another's key", good().key(stranger.key(Alg::Es256)).sign()?),
        ("another audience", good().claim("aud", json!("elsewhere")).sign()?),
        ("no audience", good().without("aud").sign()?),
        ("no subject", good().without("sub").sign()?),
        ("no expiry", good().without("exp").sign()?),
        ("issuer as a list", good().claim("iss", json!([world.idp.issuer()])).sign()?),
        ("from the future", good().claim("iat", json!(4_000_000_000_u64)).sign()?),
        ("critical extension", good().header("crit", json!(["x"])).sign()?),
        ("alg none", good().unsigned()),
        ("HS256 with the public key", good().hs256_with_public_key()?),
        ("oversized", good().claim("pad", json!("x".repeat(70_000))).sign()?),
        ("nonsense", "not.a.token".to_owned()),
        ("empty", String::new()),
    ];
    for (name, token) in &cases {
        for git in [Git::new()?.bearer(token), Git::new()?.credentials("oidc", token)] {
            let said = git.fails(git.home(), &["clone", &world.url("team/app"), "work"])?;
            assert!(said.stderr.contains("fatal: "), "{name}: {}", said.stderr);
        }
    }
    assert_eq!(world.server.requests()?, [], "nothing was forwarded");
    let log = world.gate.log()?;
    for (name, token) in cases.iter().filter(|(_, token)| token.len() > 20) {
        let signature = token.rsplit('.').next().unwrap_or_default();
        assert!(signature.is_empty() || !log.contains(signature), "{name} is in the log");
    }
    world.work(&world.git("ada")?, "team/app").map(drop)
}

#[test]
fn keys_are_rotated_without_a_restart() -> Result<()> {
    let world = World::start()?;
    world.repo("team/app")?;
    world.git("ada")?.clone_to(&world.url("team/app"), "before")?;
    world.idp.rotate()?;
    // An unknown key brings a new look at the provider's keys, but not at every request.
    let git = world.git("ada")?;
    wait::until("the new key", || git.ok(git.home(), &["ls-remote", &world.url("team/app")]).ok()).map(drop)
}

#[test]
fn passthrough_is_explicit_warned_of_and_recorded() -> Result<()> {
    let mut world = World::prepare(lockgate_testkit::GitServerOptions::default())?;
    let config = world.config("").replace("kind: git\n", "kind: git\n  auth: passthrough\n");
    let credential = "  credential: { basic: { user: gate, password_file: password } }\n";
    world.configure(&config.replace(credential, ""))?;
    world.policy("version: 1\nrules:\n- { id: all, match: { everything: true }, decide: allow }\n")?;
    world.gate.start()?;
    let repo = world.repo("team/app")?;
    assert!(world.gate.log()?.contains("passthrough"), "{}", world.gate.log()?);
    // Without the upstream's password it is the upstream that asks for one.
    let nobody = Git::new()?;
    nobody.fails(nobody.home(), &["clone", &world.url("team/app"), "work"])?;
    let git = Git::new()?.credentials("gate", crate::world::UPSTREAM_PASSWORD);
    let work = world.work(&git, "team/app")?;
    let tip = git.commit(&work, "a", "1")?;
    git.ok(&work, &["push", "origin", "HEAD:main"])?;
    assert_eq!(repo.rev("main")?, Some(tip));
    let push = &world.exchanges(&["--action", "push", "--principal", "passthrough:gate"], 1)?[0];
    assert_eq!(push["verdict"], "permit", "{push}");
    assert!(!world.gate.log()?.contains(crate::world::UPSTREAM_PASSWORD));
    world.stop_and_verify()
}
