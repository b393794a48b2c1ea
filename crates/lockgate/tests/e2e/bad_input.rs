//! What no client of good will sends, upstreams that fail, and disks that are full: a clear answer, nothing
//! forwarded, nothing lost, and the process goes on.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result};
use lockgate_testkit::{Chaos, Fault, generate};

use crate::world::World;

/// Sends raw bytes of an authenticated request and returns the whole answer.
fn raw(world: &World, request: &str, body: &[u8]) -> Result<String> {
    let token = world.token("ada").sign()?;
    let mut tcp = TcpStream::connect(world.gate.port().addr())?;
    tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = request.replace("$AUTH", &format!("Authorization: Bearer {token}"));
    tcp.write_all(head.replace('\n', "\r\n").as_bytes())?;
    // A server that has seen enough may close while we still send.
    let _ = tcp.write_all(body);
    let mut answer = Vec::new();
    tcp.take(1 << 20).read_to_end_lossy(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub(crate) trait ReadLossy {
    fn read_to_end_lossy(self, out: &mut Vec<u8>);
}

impl<R: std::io::Read> ReadLossy for R {
    /// What came before the connection was reset counts too.
    fn read_to_end_lossy(mut self, out: &mut Vec<u8>) {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = self.read(&mut buffer) {
            out.extend_from_slice(&buffer[..read]);
        }
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// By a status, or in the report that git reads.
fn is_refused(answer: &str) -> bool {
    let reported = answer.contains("unpack ") && !answer.contains("unpack ok");
    (400..500).contains(&status(answer)) || reported || answer.contains("ng refs/heads/x")
}

fn get(world: &World, path: &str) -> Result<String> {
    raw(world, &format!("GET {path} HTTP/1.1\nHost: gate\n$AUTH\nConnection: close\n\n"), b"")
}

fn receive(world: &World, headers: &str, body: &[u8]) -> Result<String> {
    let head = format!(
        "POST /git/forge/team/app/git-receive-pack HTTP/1.1\nHost: gate\n$AUTH\n\
         Content-Type: application/x-git-receive-pack-request\nConnection: close\n{headers}\n\n"
    );
    raw(world, &head, body)
}

#[test]
fn what_is_no_git_request_is_refused() -> Result<()> {
    let world = World::start()?;
    world.repo("team/app")?;
    let app = "/git/forge/team/app";
    let paths = [
        format!("{app}/info/refs"),
        format!("{app}/info/refs?service=git-upload-archive"),
        format!("{app}/info/refs?service=git-upload-pack&service=git-receive-pack"),
        format!("{app}/HEAD"),
        format!("{app}/objects/info/packs"),
        format!("{app}/git-upload-pack"),
        "/git/forge/../../etc/info/refs?service=git-upload-pack".into(),
        "/git/forge/team/../secret/app/info/refs?service=git-upload-pack".into(),
        "/git/forge/team/%2e%2e/secret/app/info/refs?service=git-upload-pack".into(),
        "/git/forge/team%2fapp/info/refs?service=git-upload-pack".into(),
        "/git/forge/team//app/info/refs?service=git-upload-pack".into(),
        "/git/forge/team%5c..%5csecret/info/refs?service=git-upload-pack".into(),
        "/git/forge/team/app%00/info/refs?service=git-upload-pack".into(),
        "/git/nowhere/x/info/refs?service=git-upload-pack".into(),
        "/".into(),
    ];
    for path in &paths {
        let answer = get(&world, path)?;
        assert!((400..500).contains(&status(&answer)), "{path}: {answer}");
    }
    assert_eq!(world.server.requests()?, [], "nothing was forwarded");
    Ok(())
}

#[test]
fn what_is_no_push_is_refused() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    let before = repo.refs()?;
    let zero = "0".repeat(40);
    let one = "1".repeat(40);
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let command = line(&format!("{zero} {one} refs/heads/x\0report-status side-band-64k"));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("a length that is no number", b"zzzz".to_vec()),
        ("a length below four", b"0003".to_vec()),
        ("a line cut short", b"00a0abc".to_vec()),
        ("no flush", command.clone().into_bytes()),
        ("no pack", format!("{command}0000").into_bytes()),
        ("a pack that is none", format!("{command}0000NOPE").into_bytes()),
        (
            "a ref outside refs",
            format!("{}0000PACK", line(&format!("{zero} {one} HEAD/../x\0"))).into_bytes(),
        ),
        (
            "a ref twice",
            format!("{command}{}0000PACK", line(&format!("{zero} {one} refs/heads/x"))).into_bytes(),
        ),
        ("an object id that is none", format!("{}0000PACK", line("xyz abc refs/heads/x\0")).into_bytes()),
        ("endless commands", command.repeat(200_000).into_bytes()),
        ("nothing", Vec::new()),
    ];
    for (name, body) in &bodies {
        let answer = receive(&world, &format!("Content-Length: {}", body.len()), body)?;
        assert!(is_refused(&answer), "{name}: {answer}");
    }
    // A body that stops, and a client that goes.
    let mut tcp = TcpStream::connect(world.gate.port().addr())?;
    let token = world.token("ada").sign()?;
    let head = format!(
        "POST /git/forge/team/app/git-receive-pack HTTP/1.1\r\nHost: gate\r\nContent-Type: application/x-git-receive-pack-request\r\nAuthorization: Bearer {token}\r\nContent-Length: 5000\r\n\r\n{command}"
    );
    tcp.write_all(head.as_bytes())?;
    drop(tcp);
    world.exchanges(&["--outcome", "client gone"], 1)?;
    for (name, body) in [("no gzip", &b"not gzip"[..]), ("half a gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x33")]
    {
        let headers = format!("Content-Encoding: gzip\nContent-Length: {}", body.len());
        let answer = receive(&world, &headers, body)?;
        assert!(is_refused(&answer), "{name}: {answer}");
    }
    let answer = receive(&world, "Content-Encoding: br\nContent-Length: 4", b"0000")?;
    assert!(is_refused(&answer), "{answer}");
    // What two servers could read in two ways.
    for headers in ["Content-Length: 4\nTransfer-Encoding: chunked", "Content-Length: 4\nContent-Length: 5"] {
        let answer = receive(&world, headers, b"0000")?;
        assert_eq!(status(&answer), 400, "{headers}: {answer}");
    }
    assert_eq!(repo.refs()?, before);
    assert!(world.server.requests()?.iter().all(|request| request.method == "GET"), "no push was forwarded");
    // And it still works.
    world.work(&world.git("ada")?, "team/app").map(drop)
}

#[test]
fn a_probe_is_answered_here() -> Result<()> {
    let world = World::start()?;
    let answer = receive(&world, "Content-Length: 4", b"0000")?;
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(world.server.requests()?, []);
    Ok(())
}

#[test]
fn an_upstream_that_fails_is_said_to() -> Result<()> {
    let mut world = World::prepare(lockgate_testkit::GitServerOptions::default())?;
    let chaos = Chaos::start(world.server.nginx().port().addr())?;
    let direct = world.server.url();
    let config = world.config("").replace(&direct, &format!("http://{}", chaos.addr()));
    world.configure(&config)?;
    world.gate.start()?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "a", "1")?;
    let before = repo.refs()?;
    let nonsense = Fault::Nonsense(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec());
    for fault in [Fault::Reset, nonsense, Fault::CutResponse(20), Fault::CutRequest(100)] {
        chaos.set(fault.clone());
        chaos.cut_all();
        let said = git.fails(&work, &["fetch"])?;
        assert!(
            said.stderr.contains("fatal: ") || said.stderr.contains("error: "),
            "{fault:?}: {}",
            said.stderr
        );
        git.fails(&work, &["push", "origin", "HEAD:refs/heads/x"])?;
    }
    assert_eq!(repo.refs()?, before);
    chaos.set(Fault::None);
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/x"])?;
    world.stop_and_verify()
}

#[test]
fn a_full_disk_refuses_and_recovers() -> Result<()> {
    let mut world = World::prepare(lockgate_testkit::GitServerOptions::default())?;
    let small = world.gate.folder().join("small");
    std::fs::create_dir(&small)?;
    let mount = Mount::tmpfs(&small, "24m")?;
    let config = world.config("").replace("data_dir: data", "data_dir: small/data");
    world.configure(&config)?;
    world.gate.start()?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let filler = small.join("filler");
    fill(&filler)?;
    // What was under way when the disk filled up breaks off; from then on it is said why.
    lockgate_testkit::wait::until("a refusal that says why", || {
        let said = git.run(git.home(), &["ls-remote", &world.url("team/app")]).ok()?;
        let told = said.stderr.contains("503") || said.stderr.contains("record");
        (!said.status.success() && told).then_some(())
    })?;
    std::fs::remove_file(&filler)?;
    lockgate_testkit::wait::until("it to go on", || {
        git.ok(git.home(), &["ls-remote", &world.url("team/app")]).ok()
    })?;

    // Room for the beginning of a push, and not for its pack.
    generate::incompressible(&work.join(".git"), 5, 1 << 20)?;
    fill(&filler)?;
    let room = std::fs::metadata(&filler)?.len() - (3 << 20);
    // Not kept open: what is removed then gives its space back.
    std::fs::File::options().write(true).open(&filler)?.set_len(room)?;
    let before = repo.refs()?;
    // Whether the recorder or the spool notices first: git is told why.
    let said = git.fails(&work, &["push", "origin", "main:refs/heads/x"])?.stderr;
    assert!(said.contains("record") || said.contains("stor"), "{said}");
    assert_eq!(repo.refs()?, before);
    std::fs::remove_file(&filler)?;
    lockgate_testkit::wait::until("a push to pass", || {
        git.ok(&work, &["push", "origin", "main:refs/heads/x"]).ok()
    })?;
    assert_eq!(repo.rev("x")?, Some(git.ok(&work, &["rev-parse", "main"])?.stdout.trim().to_owned()));
    world.stop_and_verify()?;
    drop(mount);
    Ok(())
}

/// Writes until there is no room for another byte.
fn fill(path: &std::path::Path) -> Result<()> {
    let mut file = std::fs::File::create(path)?;
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    Ok(())
}

/// A small file system of its own; needs root, as CI and containers have.
struct Mount(std::path::PathBuf);

impl Mount {
    fn tmpfs(path: &std::path::Path, size: &str) -> Result<Self> {
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .status()
            .context("cannot run mount")?;
        anyhow::ensure!(status.success(), "a tmpfs can't be mounted: run the tests as root");
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // What is left behind is in a temporary folder of the test's.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
