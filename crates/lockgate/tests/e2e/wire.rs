//! Pushes that come as no git sends them: cut off anywhere, in several gzip members, or never.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use lockgate_testkit::{Git, wait};

use crate::{bad_input::ReadLossy as _, world::World};

/// A push as it stands on the wire: one commit with one file, to a new branch.
struct Wire {
    tip: String,
    body: Vec<u8>,
    /// Where in it the pack begins.
    pack: usize,
}

impl Wire {
    fn new(reference: &str) -> Result<Self> {
        let git = Git::new()?;
        git.ok(git.home(), &["init", "-q", "work"])?;
        let work = git.home().join("work");
        let tip = git.commit(&work, "a", "1")?;
        let mut packing = git.command();
        let packing = packing.args(["pack-objects", "--revs", "--stdout", "-q"]).current_dir(&work);
        let pack = piped(packing, tip.as_bytes())?;
        let command = format!("{} {tip} {reference}\0report-status side-band-64k", "0".repeat(40));
        let mut body = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
        let start = body.len();
        body.extend(pack);
        Ok(Self { tip, body, pack: start })
    }
}

/// Gives a program its input and returns its output.
fn piped(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin is piped")?.write_all(input)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(output.stdout)
}

/// Begins a push of so many bytes.
fn begin(world: &World, token: &str, headers: &str) -> Result<TcpStream> {
    let mut tcp = TcpStream::connect(world.gate.port().addr())?;
    tcp.set_read_timeout(Some(wait::PATIENCE))?;
    let head = format!(
        "POST /git/forge/team/app/git-receive-pack HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-git-receive-pack-request\r\nConnection: close\r\n{headers}\r\n\r\n"
    );
    tcp.write_all(head.as_bytes())?;
    Ok(tcp)
}

/// Sends a whole push and returns the answer.
pub(crate) fn push(world: &World, headers: &str, body: &[u8]) -> Result<String> {
    let headers = format!("Content-Length: {}{headers}", body.len());
    let mut tcp = begin(world, &world.token("ada").sign()?, &headers)?;
    tcp.write_all(body)?;
    let mut answer = Vec::new();
    tcp.take(1 << 20).read_to_end_lossy(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Does something for every place below `length`, eight at a time.
fn everywhere(length: usize, act: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let (next, act) = (&AtomicUsize::new(0), &act);
    let work = move || {
        let places = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        places.take_while(|place| *place < length).try_for_each(act)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })
}

fn pushes_forwarded(world: &World) -> Result<usize> {
    Ok(world.server.requests()?.iter().filter(|request| request.path.ends_with("/git-receive-pack")).count())
}

#[test]
fn a_push_that_breaks_off_goes_nowhere_wherever_it_does() -> Result<()> {
    let mut world = World::start()?;
    let repo = world.repo("team/app")?;
    let wire = Wire::new("refs/heads/x")?;
    let token = world.token("ada").sign()?;
    let cut = |end: usize| -> Result<()> {
        let length = format!("Content-Length: {}", wire.body.len());
        Ok(begin(&world, &token, &length)?.write_all(&wire.body[..end])?)
    };
    everywhere(wire.body.len(), cut)?;
    let count = wire.body.len();
    ensure!(count > 250, "a push of {count} bytes is none");
    // Each is evidence that says so.
    world.exchanges(&["--outcome", "client gone", "--limit", "2000"], count)?;
    assert_eq!((pushes_forwarded(&world)?, repo.rev("x")?), (0, None));
    // Whole, the same bytes are a push.
    let answer = push(&world, "", &wire.body)?;
    assert!(answer.contains("ok refs/heads/x"), "{answer}");
    assert_eq!(repo.rev("x")?, Some(wire.tip));
    world.stop_and_verify()
}

#[test]
fn a_push_that_ends_too_early_is_refused_wherever_it_does() -> Result<()> {
    let mut world = World::start()?;
    let repo = world.repo("team/app")?;
    let before = repo.refs()?;
    let wire = Wire::new("refs/heads/x")?;
    let cut = |end: usize| -> Result<()> {
        let answer = push(&world, "", &wire.body[..end])?;
        // Nothing but a flush is no push at all.
        ensure!(!answer.contains("ok refs/heads/x"), "at {end}: {answer}");
        Ok(())
    };
    everywhere(wire.body.len(), cut)?;
    assert_eq!(repo.refs()?, before);
    // Without the first bytes of a pack nobody else is asked.
    assert!(pushes_forwarded(&world)? < wire.body.len() - wire.pack);
    world.stop_and_verify()
}

#[test]
fn a_push_in_several_gzip_members_is_read_as_one() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    let gzip = |data: &[u8]| piped(Command::new("gzip").arg("-c"), data);
    let members = |body: &[u8], cut: usize| -> Result<Vec<u8>> {
        Ok([gzip(&body[..cut])?, gzip(b"")?, gzip(&body[cut..])?].concat())
    };
    let wire = Wire::new("refs/heads/x")?;
    // Within the name of the ref, and where the pack begins: a reader of the first member alone sees a push
    // of something else, or of nothing.
    for cut in [100, wire.pack] {
        let answer = push(&world, "\r\nContent-Encoding: gzip", &members(&wire.body, cut)?)?;
        assert!(answer.contains("ok refs/heads/x"), "{answer}");
        assert_eq!(repo.rev("x")?.as_ref(), Some(&wire.tip));
        repo.git(&["update-ref", "-d", "refs/heads/x"])?;
    }
    // What is decided is all of it.
    repo.git(&["branch", "protected/x", "main"])?;
    let old = repo.rev("main")?.context("there is a tip")?;
    let delete = |name: &str| format!("{old} {} {name}", "0".repeat(40));
    let lines =
        [delete("refs/heads/fine") + "\0report-status side-band-64k", delete("refs/heads/protected/x")];
    let lines = lines.map(|line| format!("{:04x}{line}", line.len() + 4));
    let body = format!("{}{}0000", lines[0], lines[1]);
    let answer = push(&world, "\r\nContent-Encoding: gzip", &members(body.as_bytes(), lines[0].len())?)?;
    assert!(answer.contains("ng refs/heads/protected/x"), "{answer}");
    // Something that is no gzip behind it is no push either.
    let trailing = [members(&wire.body, 100)?, b"trailing".to_vec()].concat();
    let answer = push(&world, "\r\nContent-Encoding: gzip", &trailing)?;
    assert!(!answer.contains("ok refs/heads/x"), "{answer}");
    assert_eq!(repo.rev("x")?, None);
    Ok(())
}

#[test]
fn bodies_that_never_come_hold_nobody_up_and_are_given_up() -> Result<()> {
    let mut world = World::start_with("limits: { client_idle: 1s }")?;
    world.repo("team/app")?;
    let wire = Wire::new("refs/heads/x")?;
    let token = world.token("eve").sign()?;
    let mut slow = Vec::new();
    for end in (0..wire.body.len()).step_by(wire.body.len() / 40) {
        let mut tcp = begin(&world, &token, &format!("Content-Length: {}", wire.body.len()))?;
        tcp.write_all(&wire.body[..end])?;
        slow.push(tcp);
    }
    // Others don't notice.
    world.work(&world.git("ada")?, "team/app")?;
    let count = slow.len();
    for tcp in slow {
        let mut answer = Vec::new();
        // It ends: with an answer or without one.
        tcp.take(1 << 20).read_to_end_lossy(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).contains("ok refs/heads/x"));
    }
    world.exchanges(&["--principal", "idp:eve", "--limit", "2000"], count)?;
    assert_eq!(pushes_forwarded(&world)?, 0);
    world.stop_and_verify()
}
