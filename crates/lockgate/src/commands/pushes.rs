//! What was pushed, out of a recording: commits for people, and the pack itself.

use std::{
    collections::HashSet,
    io::{self, Read, Write},
    path::Path,
    process::{self, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use lockgate_core::access::Schema;
use lockgate_git::{
    Commit, SCHEMA,
    oid::ObjectFormat,
    parse::{Command, Progress, PushParser},
    report::{Brought, PushDescription, PushResult, describe_push, describe_result},
};
use lockgate_recording::Archive;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    output::{plain, say},
    people,
    recordings::Transcript,
};

/// How long a recording may take to reach the store: bundles are sealed every few seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(250);

/// Reads an exchange from its recording, waiting a little for what is not in the store yet.
pub(super) async fn read(
    archive: &Archive,
    exchange: Uuid,
    bundles: &[Uuid],
    enough: impl Fn(&Transcript) -> bool,
) -> Result<Option<Transcript>> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let read = Transcript::read(archive, exchange, bundles).await?;
        if read.as_ref().is_some_and(&enough) || tokio::time::Instant::now() > deadline {
            return Ok(read);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether it was a push.
pub(super) fn is_push(transcript: &Transcript) -> bool {
    const GIT: &Schema = &SCHEMA;
    let first = &transcript.accesses[0];
    first["protocol"] == GIT.protocol && first["action"] == "push"
}

/// The ref updates and commits of a push, and what became of each ref.
pub(super) async fn describe(transcript: &Transcript) -> Result<(PushDescription, Option<PushResult>)> {
    let (sent, answered) = (transcript.sent.reader()?, transcript.answered.reader()?);
    let encoding = transcript.request_field("content-encoding");
    // A report that can't be read is one that was never sent: the answer of a refused request.
    let describe = move || {
        let description = describe_push(sent, encoding.as_deref())?;
        Ok((description, describe_result(answered).ok()))
    };
    tokio::task::spawn_blocking(describe).await?
}

/// Prints the commits that a push brings. What is in its pack and not in an update is never shown as if it
/// were: an approver decides on the update.
pub(super) fn print_commits(push: &PushDescription) {
    let Brought { commits, unreached, elsewhere } = push.brought();
    if commits.is_empty() {
        say!("commits    none in the push itself");
    } else {
        say!("commits");
        commits.into_iter().for_each(print_commit);
    }
    for Command { new, name, .. } in elsewhere {
        say!(
            "  {} goes to {new}, which is not in the push: the upstream has it, or it is a tag",
            plain(name)
        );
    }
    if !unreached.is_empty() {
        say!("also in the pack, in NO update");
        unreached.into_iter().for_each(print_commit);
    }
    if let Some(error) = &push.incomplete {
        say!("  and perhaps more: {error}");
    }
}

fn print_commit(commit: &Commit) {
    let short: String = commit.oid.to_string().chars().take(12).collect();
    let at = Timestamp::from_second(commit.author.time).map_or_else(|_| "-".into(), people::time);
    let signed = if commit.signed { ", signed (not verified)" } else { "" };
    let (name, email) = (plain(&commit.author.name), plain(&commit.author.email));
    say!("  {short}  {at}  {name} <{email}>{signed}");
    say!("                {}", plain(&commit.subject));
}

/// The commits of a push for machines.
pub(super) fn commits(push: &PushDescription) -> Value {
    let Brought { commits, unreached, elsewhere } = push.brought();
    let value = |commit: &Commit| {
        json!({
            "oid": commit.oid.to_string(),
            "parents": commit.parents.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "author": { "name": commit.author.name, "email": commit.author.email, "time": commit.author.time },
            "subject": commit.subject,
            "signed": commit.signed,
        })
    };
    json!({
        "commits": commits.into_iter().map(value).collect::<Vec<_>>(),
        "in_no_update": unreached.into_iter().map(value).collect::<Vec<_>>(),
        "not_in_the_push": elsewhere.iter().map(|command| &command.name).collect::<Vec<_>>(),
        "complete": push.incomplete.is_none() && elsewhere.is_empty(),
    })
}

/// Makes a new bare repository with what was pushed. What the upstream had before is not in a push, so that its
/// history ends where the push began.
pub(super) async fn rebuild(transcript: &Transcript, folder: &Path) -> Result<()> {
    ensure!(is_push(transcript), "the exchange is no push of git");
    ensure!(transcript.request_field("content-encoding").is_none(), "the push is encoded");
    ensure!(!folder.exists(), "{} exists already", folder.display());
    let (push, _) = describe(transcript).await?;
    ensure!(push.request.has_pack(), "the push only deletes: there is nothing in it");
    let format = match push.request.format() {
        Some(ObjectFormat::Sha256) => "sha256",
        Some(ObjectFormat::Sha1) | None => "sha1",
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    git(folder, &["init", "--quiet", "--bare", "--object-format", format, "."], io::empty())?;
    git(folder, &["index-pack", "--stdin"], pack(transcript)?)?;
    let pushed: HashSet<_> = push.commits.iter().map(|commit| &commit.oid).collect();
    let ends = push.commits.iter().filter(|commit| commit.parents.iter().any(|it| !pushed.contains(it)));
    let ends: String = ends.map(|commit| format!("{}\n", commit.oid)).collect();
    std::fs::write(folder.join("shallow"), ends)?;
    for command in push.request.commands.iter().filter(|command| !command.new.is_null()) {
        let update = ["update-ref", "--end-of-options", &command.name, &command.new.to_string()];
        match git(folder, &update, io::empty()) {
            Ok(()) => say!("{}  {}", command.new, plain(&command.name)),
            // The tip of a branch made from what the upstream had is not in the push.
            Err(_) => say!("{}  {}  (not in the push)", command.new, plain(&command.name)),
        }
    }
    say!("rebuilt in {}", folder.display());
    Ok(())
}

/// The pack of a push.
fn pack(transcript: &Transcript) -> Result<impl Read + use<>> {
    let mut body = transcript.sent.reader()?;
    let limits = lockgate_git::Config::default();
    let mut parser = PushParser::new(limits.commands, limits.section);
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = body.read(&mut piece)?;
        ensure!(length > 0, "the push ends before its pack");
        if let Progress::Complete { consumed } = parser.feed(&piece[..length])? {
            piece.truncate(length);
            return Ok(io::Cursor::new(piece.split_off(consumed)).chain(body));
        }
    }
}

fn git(folder: &Path, args: &[&str], mut input: impl Read) -> Result<()> {
    let mut command = process::Command::new("git");
    command
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run git")?;
    if let Some(mut stdin) = child.stdin.take() {
        // git says itself why it does not listen any more.
        let _ = io::copy(&mut input, &mut stdin).and_then(|_| stdin.flush());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    bail!("git {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())
}
