//! Server processes that cannot outlive the test.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Runs a program in a session of its own and kills the whole session when its own stdin closes: on drop, and
/// also when the test's process is killed and no destructor runs. (The program by itself, too: it may not have
/// become a session yet.)
const KEEPER: &str = r#"
trap '' INT HUP
setsid "$@" </dev/null &
program=$!
echo "$program" >"$LEASH_PID"
read -r _
kill -s KILL -- "-$program" "$program"
wait "$program"
"#;

/// A program and all it started, which end with this value.
#[derive(Debug)]
pub(crate) struct Leash {
    keeper: Child,
    pid: u32,
}

impl Leash {
    /// Starts a command; `folder` takes `<name>.log` with all it writes and `<name>.pid`.
    pub(crate) fn start(command: &Command, folder: &Path, name: &str) -> Result<Self> {
        let pid_file = folder.join(format!("{name}.pid"));
        let log = File::create(folder.join(format!("{name}.log"))).context("cannot create a log")?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "leash"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => keeper.env(key, value),
                None => keeper.env_remove(key),
            };
        }
        keeper.env("LEASH_PID", &pid_file).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let keeper = keeper.spawn().context("cannot run sh")?;
        let pid = super::wait::until("a process to start", || {
            std::fs::read_to_string(&pid_file).ok()?.trim_end().parse().ok()
        })?;
        Ok(Self { keeper, pid })
    }

    /// The program's process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing can be done about a keeper that is already gone.
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Leash;
    use crate::wait;

    #[test]
    fn a_program_and_its_children_end_with_the_leash() {
        let folder = tempfile::tempdir().unwrap();
        let children = folder.path().join("children");
        let mut command = Command::new("sh");
        command.args(["-c", r#"tail -f /dev/null & echo $! >"$0"; wait"#]).arg(&children);
        let leash = Leash::start(&command, folder.path(), "program").unwrap();
        let child: String = wait::until("the child", || {
            std::fs::read_to_string(&children).ok().filter(|text| text.ends_with('\n'))
        })
        .unwrap();
        let gone = |pid: &str| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim()));
            status.map_or(true, |status| status.contains("State:\tZ"))
        };
        let program = leash.pid().to_string();
        assert!(!gone(&child) && !gone(&program));
        drop(leash);
        wait::until("the program to end", || gone(&program).then_some(())).unwrap();
        wait::until("its child to end", || gone(&child).then_some(())).unwrap();
    }
}
