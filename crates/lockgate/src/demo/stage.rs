//! The demo's terminal: titles, the commands that are really run, what they print.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
};

use crate::output::{self, say};

/// Where commands run, and how they find what is theirs.
pub(super) struct Stage {
    /// The configuration that tells git to go through lockgate.
    pub(super) git_config: PathBuf,
    /// The configuration of lockgate.
    pub(super) lockgate_config: PathBuf,
    /// This program.
    pub(super) program: PathBuf,
    step: u32,
}

/// How a command ended.
pub(super) struct Ended {
    pub(super) success: bool,
    /// stdout and stderr, as they came.
    pub(super) text: String,
}

/// A command that runs; its lines are printed as they come.
pub(super) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    text: String,
    name: String,
}

impl Stage {
    pub(super) fn new(git_config: PathBuf, lockgate_config: PathBuf) -> Result<Self> {
        let program = std::env::current_exe().context("this program can't be found again")?;
        Ok(Self { git_config, lockgate_config, program, step: 0 })
    }

    /// The next step begins.
    pub(super) fn title(&mut self, text: &str) {
        self.step += 1;
        say!("\n{}", bold(&format!("{}. {text}", self.step)));
    }

    /// Runs git to its end.
    pub(super) async fn git(&self, folder: &Path, args: &[&str]) -> Result<Ended> {
        self.start_git(folder, args)?.end().await
    }

    /// Starts git.
    pub(super) fn start_git(&self, folder: &Path, args: &[&str]) -> Result<Running> {
        let mut command = Command::new("git");
        command
            .args(args)
            .env("GIT_CONFIG_GLOBAL", &self.git_config)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        start(command, folder, "git", args)
    }

    /// Runs this program to its end.
    pub(super) async fn lockgate(&self, folder: &Path, args: &[&str]) -> Result<Ended> {
        let mut command = Command::new(&self.program);
        command.args(args).env("LOCKGATE_CONFIG", &self.lockgate_config);
        start(command, folder, "lockgate", args)?.end().await
    }

    /// As [`Stage::lockgate`], without showing it; gives what it prints on stdout.
    pub(super) async fn ask(&self, args: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        let output = command.args(args).env("LOCKGATE_CONFIG", &self.lockgate_config).output().await?;
        ensure!(
            output.status.success(),
            "lockgate {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }
}

fn start(mut command: Command, folder: &Path, name: &str, args: &[&str]) -> Result<Running> {
    let shown = args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" ");
    let name = format!("{name} {shown}");
    say!("{}", green(&format!("$ {name}")));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().with_context(|| format!("cannot run {name}"))?;
    let (sender, lines) = mpsc::channel(16);
    tokio::spawn(read(child.stdout.take().context("stdout is piped")?, sender.clone()));
    tokio::spawn(read(child.stderr.take().context("stderr is piped")?, sender));
    Ok(Running { child, lines, text: String::new(), name })
}

/// Hands on lines; a line that is overwritten by the next ends with CR, and only its last form counts.
async fn read(stream: impl AsyncRead + Unpin, lines: mpsc::Sender<String>) {
    let mut stream = BufReader::new(stream).lines();
    while let Ok(Some(line)) = stream.next_line().await {
        let last = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        if lines.send(output::plain(last)).await.is_err() {
            return;
        }
    }
}

impl Running {
    /// Prints lines until one holds a text. `false` when the command ended before.
    pub(super) async fn until(&mut self, text: &str) -> bool {
        while let Some(line) = self.next().await {
            if line.contains(text) {
                return true;
            }
        }
        false
    }

    /// Prints the rest, and waits for the end.
    pub(super) async fn end(mut self) -> Result<Ended> {
        while self.next().await.is_some() {}
        let status = self.child.wait().await.with_context(|| format!("{} is lost", self.name))?;
        Ok(Ended { success: status.success(), text: self.text })
    }

    async fn next(&mut self) -> Option<String> {
        let line = self.lines.recv().await?;
        say!("  {}", line.trim_end());
        self.text.push_str(&line);
        self.text.push('\n');
        Some(line)
    }
}

impl Ended {
    /// The command did what was said.
    pub(super) fn succeeds(&self) -> Result<()> {
        ensure!(self.success, "that should have succeeded");
        Ok(())
    }

    /// The command was refused, with these words.
    pub(super) fn fails_with(&self, words: &[&str]) -> Result<()> {
        ensure!(!self.success, "that should have been refused");
        self.says(words)
    }

    /// The output holds these words.
    pub(super) fn says(&self, words: &[&str]) -> Result<()> {
        for word in words {
            ensure!(self.text.contains(word), "that should have said: {word}");
        }
        Ok(())
    }
}

/// An argument as a shell reads it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%^".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{text}'") }
}

/// What a step shows, in words.
pub(super) fn note(text: &str) {
    say!("{}", style("2", text));
}

/// That a step did what it says.
pub(super) fn proved(text: &str) {
    say!("{} {text}", style("32", "\u{2713}"));
}

pub(super) fn bold(text: &str) -> String {
    style("1", text)
}

fn green(text: &str) -> String {
    style("36", text)
}

fn style(code: &str, text: &str) -> String {
    if output::colours() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
