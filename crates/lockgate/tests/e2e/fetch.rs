//! Clone and fetch, in every version of the protocol.

use anyhow::Result;
use lockgate_testkit::{GitServerOptions, ObjectFormat, RealIdp, generate, with_user};

use crate::world::World;

#[test]
fn clones_and_fetches_in_every_version() -> Result<()> {
    let mut world = World::start()?;
    for (format, name) in [(ObjectFormat::Sha1, "team/one"), (ObjectFormat::Sha256, "team/two")] {
        let repo = world.repo_with(name, format)?;
        for version in [0, 1, 2] {
            let git = world.git("ada")?.protocol(version);
            let work = world.work(&git, name)?;
            let head = git.ok(&work, &["rev-parse", "HEAD"])?.stdout;
            assert_eq!(Some(head.trim()), repo.rev("refs/heads/main")?.as_deref(), "v{version}");
            repo.git(&["tag", &format!("v{version}"), "main"])?;
            git.ok(&work, &["fetch", "--tags"])?;
            git.ok(&work, &["rev-parse", &format!("refs/tags/v{version}")])?;
            git.ok(&work, &["fsck", "--strict"])?;
        }
    }
    let fetches =
        world.gate.json(&["sessions", "search", "--repository", "team/one", "--action", "fetch"])?;
    let fetches = fetches.as_array().expect("a list");
    assert!(fetches.len() >= 9, "{fetches:?}");
    assert!(fetches.iter().all(|fetch| fetch["outcome"] == "complete"), "{fetches:?}");
    world.stop_and_verify()
}

#[test]
fn clones_shallow_partial_and_deepens() -> Result<()> {
    let world = World::start()?;
    let repo = world.server.create("team/app")?;
    repo.seed(20)?;
    // Before version 2, what a partial clone lacks can't be asked for without this.
    repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"])?;
    repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"])?;
    for version in [0, 2] {
        let git = world.git("ada")?.protocol(version);
        let url = world.url("team/app");
        git.ok(git.home(), &["clone", "--depth", "2", &url, "shallow"])?;
        let work = git.home().join("shallow");
        assert_eq!(git.ok(&work, &["rev-list", "--count", "HEAD"])?.stdout.trim(), "2");
        git.ok(&work, &["fetch", "--deepen", "3"])?;
        assert_eq!(git.ok(&work, &["rev-list", "--count", "HEAD"])?.stdout.trim(), "5");
        git.ok(&work, &["fetch", "--unshallow"])?;
        git.ok(git.home(), &["clone", "--filter", "blob:none", &url, "partial"])?;
        git.ok(&git.home().join("partial"), &["log", "--stat", "-3"])?;
    }
    Ok(())
}

#[test]
fn the_upstream_gets_our_credential_and_nothing_of_the_clients() -> Result<()> {
    let world = World::start()?;
    world.repo("team/app")?;
    let token = world.token("ada").sign()?;
    let git = lockgate_testkit::Git::new()?
        .bearer(&token)
        .config("http.extraHeader", "X-Forwarded-For: 10.9.8.7")
        .config("http.extraHeader", "Cookie: a=b");
    world.work(&git, "team/app")?;
    for request in world.server.requests()? {
        assert_eq!(request.header("authorization"), Some("Basic Z2F0ZTp1cHN0cmVhbS1wYXNzd29yZC04M2Ix"));
        assert_eq!((request.header("x-forwarded-for"), request.header("cookie")), (None, None));
        assert_eq!(request.status, 200, "{request:?}");
    }
    world.no_secrets_in(&world.gate.log()?, &token);
    Ok(())
}

#[test]
fn a_token_works_as_the_password_of_basic() -> Result<()> {
    let world = World::start()?;
    world.repo("team/app")?;
    let token = world.token("ada").sign()?;
    let plain = lockgate_testkit::Git::new()?;
    plain.clone_to(&with_user(&world.url("team/app"), "oidc", &token), "by-url")?;
    plain.credentials("oidc", &token).clone_to(&world.url("team/app"), "by-helper").map(drop)
}

/// What the tokens of the certified provider are for.
const AUDIENCE: &str = "https://lockgate.example";

#[test]
fn tokens_of_a_certified_provider_are_accepted() -> Result<()> {
    let provider = RealIdp::start()?;
    let mut world = World::prepare(GitServerOptions::default())?;
    let issuer = provider.issuer();
    let real = format!("issuers:\n- {{ name: real, issuer: \"{issuer}\", audiences: [{AUDIENCE}] }}\n");
    let config = world.config("").replace("issuers:\n", &real);
    world.configure(&config)?;
    let policy = crate::world::POLICY.replace("agents: [", "agents: [ { issuer: real },");
    world.policy(&policy)?;
    world.gate.start()?;
    world.repo("team/app")?;
    let git = lockgate_testkit::Git::new()?.bearer(&provider.token(AUDIENCE)?);
    world.work(&git, "team/app").map(drop)
}

#[test]
fn speaks_h2_to_clients_and_upstreams_that_do() -> Result<()> {
    let ca = lockgate_testkit::Ca::new()?;
    let options = GitServerOptions { tls: Some(ca.server()?), ..GitServerOptions::default() };
    let mut world = World::prepare(options)?;
    std::fs::write(world.gate.folder().join("ca.pem"), ca.pem())?;
    let config = world.config("").replace("kind: git\n", "kind: git\n  ca: ca.pem\n");
    let address = world.gate.port().addr();
    let config = config.replace(
        &format!("listen: {{ address: {address} }}"),
        &format!("listen: {{ address: {address}, tls: generated }}"),
    );
    world.configure(&config)?;
    world.gate.start()?;
    let repo = world.repo("team/app")?;
    generate::incompressible(repo.path(), 4, 1 << 20)?;
    let authority = world.gate.folder().join("data/tls/ca.pem");
    let git = world.git("ada")?.ca(&authority);
    let url = world.url("team/app").replace("http://", "https://");
    for version in ["HTTP/2", "HTTP/1.1"] {
        let name = version.replace('/', "-");
        git.clone().config("http.version", version).clone_to(&url, &name)?;
    }
    assert!(world.server.requests()?.iter().all(|request| request.protocol == "HTTP/2.0"));
    Ok(())
}
