//! Other processes: this test program started again, to run one of its ignored tests.

use std::{
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// The folder that a process is to work in.
const FOLDER: &str = "RECORDING_TEST_FOLDER";

/// A process that plays a gateway. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program to run the ignored test of this name in a folder; `before` is a shell command to run
    /// first, which sets limits.
    pub(crate) fn start(test: &str, folder: &Path, before: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
            .arg(program)
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    /// The next line that the process says to us; `None` when it ended.
    pub(crate) fn heard(&mut self) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once("> ")?.1.to_owned()))
    }

    /// Kills it as `kill -9` does; gives what it had said before it died.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("killed");
        let heard = std::iter::from_fn(|| self.heard()).collect();
        self.child.wait().expect("gone");
        heard
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the process: the folder to work in. `None` when the test was started by hand.
pub(crate) fn folder() -> Option<std::path::PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}

/// In the process: says something to the one that started it. The mark in front tells it from what the test
/// harness says.
pub(crate) fn say(what: impl std::fmt::Display) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {what}").and_then(|()| out.flush()).expect("someone listens");
}
