//! Pushes by WebDAV: the real git http-push, through a gateway, to a real server of files.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lockgate_testkit::{DavServer, Git, Lockgate, Repo, wait, with_user};

use crate::bad_input::ReadLossy as _;

const POLICY: &str = r#"
version: 1
rules:
  - id: all
    match: { git: { action: [fetch, read-file, write-object, push], repositories: ["team/**"] } }
    decide: allow
  - id: protected
    match: { git: { change: [force, delete], refs: ["refs/heads/protected/**"] } }
    decide: deny
    reason: "{ref} is protected"
"#;

const BY_PEOPLE: &str = r#"
  - id: held
    match: { git: { action: push, refs: [refs/heads/held] } }
    decide: require_approval
    approval: { hold: 1s, ttl: 1h }
"#;

const WITHOUT_SECRETS: &str = r#"
  - id: no-secrets
    match: { git: { action: push, findings: any } }
    decide: deny
"#;

/// What callers are known by: `ada:x`.
const CREDENTIAL: &str = "Authorization: Basic YWRhOng=";

/// A server of files, a gateway that reaches a folder of it as `forge`, and what a client does there.
struct World {
    gate: Lockgate,
    server: DavServer,
    repo: Repo,
    git: Git,
    work: PathBuf,
}

impl World {
    fn start(policy: &str) -> Result<Self> {
        let server = DavServer::start()?;
        let mut gate = Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))?;
        std::fs::write(gate.folder().join("policy.yaml"), policy)?;
        let (address, control) = (gate.port().addr(), gate.control_port().addr());
        gate.configure(&format!(
            "listen: {{ address: {address} }}\n\
             data_dir: data\n\
             policy: policy.yaml\n\
             upstreams:\n\
             - {{ name: forge, kind: git, url: \"{}/srv\", auth: passthrough }}\n\
             control: {{ listen: {control} }}\n",
            server.url()
        ))?;
        gate.start()?;
        let repo = server.create("srv/team/app.git", 3)?;
        let git = Git::new()?.config("http.extraHeader", CREDENTIAL);
        let work = git.clone_to(&format!("{}/git/forge/team/app.git", gate.url()), "work")?;
        Ok(Self { gate, server, repo, git, work })
    }

    /// Commits a file and gives the commit.
    fn commit(&self, file: &str) -> Result<String> {
        self.git.commit(&self.work, file, file)
    }

    fn push(&self, refspec: &str) -> Result<()> {
        self.git.ok(&self.work, &["push", "origin", refspec]).map(drop)
    }

    /// A push that is refused, of which git http-push shows the status alone.
    fn is_refused(&self, refspec: &str) -> Result<()> {
        let output = self.git.fails(&self.work, &["push", "origin", refspec])?;
        ensure!(output.stderr.contains("403"), "{}", output.stderr);
        Ok(())
    }

    /// Asks for a file of the repository through the gateway; gives the whole answer.
    fn ask(&self, asked: &str, headers: &str, body: &[u8]) -> Result<String> {
        let (method, file) = asked.split_once(' ').context("a method and a file")?;
        send(self.gate.port().addr(), &format!("{method} /git/forge/team/app.git/{file}"), headers, body)
    }

    /// The file of an object that the client has, and where a server keeps it.
    fn object(&self, name: &str) -> Result<(String, Vec<u8>)> {
        let place = format!("objects/{}/{}", &name[..2], &name[2..]);
        let file = std::fs::read(self.work.join(".git").join(&place))?;
        Ok((place, file))
    }
}

fn send(to: SocketAddr, asked: &str, headers: &str, body: &[u8]) -> Result<String> {
    let mut tcp = TcpStream::connect(to)?;
    tcp.set_read_timeout(Some(wait::PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{asked} HTTP/1.1\r\nHost: {to}\r\n{CREDENTIAL}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    tcp.write_all(head.as_bytes())?;
    tcp.write_all(body)?;
    let mut answer = Vec::new();
    tcp.take(1 << 20).read_to_end_lossy(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn is(answer: &str, status: u16, reason: &str) -> Result<()> {
    ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(reason), "{answer}");
    Ok(())
}

fn info_refs(repo: &Repo) -> Result<String> {
    std::fs::read_to_string(repo.path().join("info/refs")).context("info/refs")
}

#[test]
fn git_pushes_by_webdav_what_the_policy_allows() -> Result<()> {
    let mut world = World::start(POLICY)?;
    let tip = world.commit("a")?;
    world.push("HEAD:refs/heads/topic/x")?;
    assert_eq!(world.repo.rev("topic/x")?.as_ref(), Some(&tip));
    world.repo.fsck()?;
    assert!(info_refs(&world.repo)?.contains(&format!("{tip}\trefs/heads/topic/x\n")));
    // Created, it may not be changed.
    world.push("HEAD:refs/heads/protected/a")?;
    let new = world.commit("b")?;
    world.push("HEAD:refs/heads/topic/x")?;
    assert_eq!(world.repo.rev("topic/x")?.as_ref(), Some(&new));
    world.is_refused("HEAD:refs/heads/protected/a")?;
    world.is_refused(":refs/heads/protected/a")?;
    assert_eq!(world.repo.rev("protected/a")?.as_ref(), Some(&tip));
    let answer = world.ask("PUT refs/heads/protected/a", "", new.as_bytes())?;
    is(&answer, 403, "refs/heads/protected/a is protected")?;
    world.push(":refs/heads/topic/x")?;
    assert_eq!(world.repo.rev("topic/x")?, None);
    // What was pushed is cloned again.
    world.git.ok(&world.work, &["fetch", "--quiet", "origin"])?;
    // Two refs created, one of them changed and deleted, and three attempts at the other.
    let search = ["sessions", "search", "--action", "push"];
    let pushes = wait::until("the index", || {
        let found = world.gate.json(&search).ok()?.as_array()?.clone();
        (found.len() == 7).then_some(found)
    })?;
    let denied = pushes.iter().filter(|push| push["verdict"] == "deny");
    assert_eq!(denied.count(), 3, "{pushes:?}");
    let ended = world.gate.stop()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let verified = world.gate.run_configured(&["verify"])?;
    ensure!(verified.status.success(), "{}", verified.stderr);
    Ok(())
}

/// git http-push writes the URL as it is into what it sends, password and all.
#[test]
fn a_password_in_the_url_is_not_recorded() -> Result<()> {
    let world = World::start(POLICY)?;
    let tip = world.commit("a")?;
    let url = with_user(&format!("{}/git/forge/team/app.git", world.gate.url()), "ada", "hunter2");
    world.git.ok(&world.work, &["push", &url, "HEAD:refs/heads/x"])?;
    assert_eq!(world.repo.rev("x")?, Some(tip));
    let exchanges = |action: &str| {
        let search = ["sessions", "search", "--action", action];
        Some(world.gate.json(&search).ok()?.as_array()?.clone())
    };
    wait::until("the push in the index", || exchanges("push").filter(|found| !found.is_empty()))?;
    let (listed, written) = (exchanges("read-file"), exchanges("write-object"));
    let (mut replayed, mut count) = (String::new(), 0);
    for exchange in listed.into_iter().chain(written).flatten() {
        let id = exchange["exchange"].as_str().context("an exchange")?;
        let told = world.gate.run_configured(&["sessions", "replay", id])?;
        ensure!(told.status.success(), "{}", told.stderr);
        replayed.push_str(&told.stdout);
        count += 1;
    }
    for method in ["PROPFIND", "LOCK", "MOVE", "UNLOCK"] {
        ensure!(replayed.contains(method), "{method} in {count} exchanges: {replayed}");
    }
    ensure!(!replayed.contains("hunter2"), "{replayed}");
    Ok(())
}

#[test]
fn what_is_no_push_is_not_written() -> Result<()> {
    let world = World::start(POLICY)?;
    let tip = world.repo.rev("main")?.context("there is a tip")?;
    world.repo.git(&["update-ref", "refs/heads/protected/a", &tip])?;
    world.repo.git(&["update-server-info"])?;
    let new = world.commit("a")?;
    let (place, object) = world.object(&new)?;
    let before = world.server.requests()?.len();

    // An object under the name of another, which would take its place.
    let (other, _) = world.object(&world.commit("b")?)?;
    is(&world.ask(&format!("PUT {other}"), "", &object)?, 400, "the content is not that of the object")?;
    is(&world.ask(&format!("PUT {place}"), "", b"no object")?, 400, "the object can't be inflated")?;
    // What configures the server, or runs there.
    for file in ["config", "hooks/post-update", "HEAD", "packed-refs", "objects/info/alternates"] {
        is(&world.ask(&format!("PUT {file}"), "", new.as_bytes())?, 404, "and nothing else")?;
    }
    is(
        &world.ask("PUT refs/heads/x", "", b"ref: refs/heads/protected/a\n")?,
        400,
        "the name of an object alone",
    )?;
    assert_eq!(world.server.requests()?.len(), before, "nothing of it is the server's to judge");

    // A folder of refs, with all that is in it.
    for folder in ["refs/heads", "refs/heads/protected"] {
        let answer = world.ask(&format!("DELETE {folder}"), "", b"")?;
        ensure!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    // The server itself would not, as it is asked.
    let directly = "DELETE /srv/team/app.git/refs/heads/protected";
    is(&send(world.server.port().addr(), directly, "Depth: 0\r\n", b"")?, 400, "")?;
    assert_eq!(world.repo.rev("protected/a")?.as_ref(), Some(&tip));

    // A list that says of a ref what it is not; and one that says what it is.
    let list = info_refs(&world.repo)?;
    let lie =
        list.replace(&format!("{tip}\trefs/heads/protected/a"), &format!("{new}\trefs/heads/protected/a"));
    ensure!(lie != list, "{list}");
    is(&world.ask("PUT info/refs", "", lie.as_bytes())?, 403, "refs/heads/protected/a is protected")?;
    let hidden: String = list.split_inclusive('\n').filter(|line| !line.contains("protected")).collect();
    is(&world.ask("PUT info/refs", "", hidden.as_bytes())?, 403, "refs/heads/protected/a is protected")?;
    assert_eq!(info_refs(&world.repo)?, list);
    std::fs::write(world.repo.path().join("info/refs"), &lie)?;
    is(&world.ask("PUT info/refs", "", list.as_bytes())?, 204, "")?;
    assert_eq!(info_refs(&world.repo)?, list);

    // An object that is what it says, to where it is moved.
    let (folder, suffix) = (&place[..place.len() - 39], "a".repeat(40));
    is(&world.ask(&format!("MKCOL {folder}/"), "", b"")?, 201, "")?;
    is(&world.ask(&format!("PUT {place}_{suffix}"), "Content-Range: bytes 5-6/7\r\n", &object)?, 201, "")?;
    let moved = |to: &Path| {
        let headers = format!("Overwrite: T\r\nDestination: http://gate/git/forge/{}\r\n", to.display());
        world.ask(&format!("MOVE {place}_{suffix}"), &headers, b"")
    };
    is(&moved(Path::new("team/app.git/refs/heads/protected/a"))?, 400, "not where this object is kept")?;
    is(&moved(&Path::new("team/app.git").join(&place))?, 201, "")?;
    assert_eq!(std::fs::read(world.repo.path().join(&place))?, object);
    Ok(())
}

#[test]
fn an_approval_is_of_what_a_ref_named_and_will_name() -> Result<()> {
    let world = World::start(&format!("{POLICY}{BY_PEOPLE}"))?;
    let main = world.repo.rev("main")?.context("there is a tip")?;
    let tip = world.commit("a")?;
    world.is_refused("HEAD:refs/heads/held")?;
    let id = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &id])?;
    for part in ["refs/heads/held", &tip, "team/app"] {
        ensure!(shown.stdout.contains(part), "{part} in {}{}", shown.stdout, shown.stderr);
    }
    let approved = world.gate.run_configured(&["approvals", "approve", &id])?;
    ensure!(approved.status.success(), "{}", approved.stderr);
    // To change it is another thing than to create it.
    world.repo.git(&["update-ref", "refs/heads/held", &main])?;
    world.is_refused("HEAD:refs/heads/held")?;
    assert_eq!(world.repo.rev("held")?, Some(main));
    world.repo.git(&["update-ref", "-d", "refs/heads/held"])?;
    world.push("HEAD:refs/heads/held")?;
    assert_eq!(world.repo.rev("held")?, Some(tip));
    Ok(())
}

#[test]
fn nothing_is_pushed_unseen_where_the_policy_looks() -> Result<()> {
    let world = World::start(&format!("{POLICY}{WITHOUT_SECRETS}"))?;
    let refs = world.repo.refs()?;
    let new = world.commit("a")?;
    world.is_refused("HEAD:refs/heads/x")?;
    let (place, object) = world.object(&new)?;
    let reason = "the policy asks what a push contains, which can't be seen of one by WebDAV";
    is(&world.ask(&format!("PUT {place}"), "", &object)?, 403, reason)?;
    is(&world.ask("PUT refs/heads/x", "", new.as_bytes())?, 403, reason)?;
    assert_eq!(world.repo.refs()?, refs);
    assert!(!world.repo.path().join(&place).exists());
    Ok(())
}
