//! Server processes that cannot outlive the test.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Runs a program in a session of its own and kills the whole session when its own stdin closes: on drop, and
/// also when the test's process is killed and no destructor runs. (The program by itself, too: it may not have
/// become a session yet.) One that has children outside of its session is asked to end first.
const KEEPER: &str = r#"
trap '' INT HUP
setsid "$@" </dev/null &
program=$!
echo "$program" >"$LEASH_PID"
read -r _
if [ -n "$LEASH_ASK" ]; then
    kill -s TERM "$program"
    wait "$program"
fi
kill -s KILL -- "-$program" "$program"
wait "$program"
if [ -n "$LEASH_SWEEP" ]; then rm -rf -- "$LEASH_SWEEP"; fi
"#;

/// What happens when a leash ends, besides the death of the program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ending<'a> {
    /// The program is asked by SIGTERM, and waited for: it ends its children.
    pub(crate) ask: bool,
    /// This folder is removed, also when no destructor runs. Programs that share one all name it: the last that
    /// ends leaves nothing.
    pub(crate) sweep: Option<&'a Path>,
}

/// A program and all it started, which end with this value.
#[derive(Debug)]
pub(crate) struct Leash {
    keeper: Child,
    pid: u32,
}

impl Leash {
    /// Starts a command; `folder` takes `<name>.log` with all it writes and `<name>.pid`.
    pub(crate) fn start(command: &Command, folder: &Path, name: &str) -> Result<Self> {
        Self::start_with(command, folder, name, Ending::default())
    }

    /// As [`Leash::start`], with another ending.
    pub(crate) fn start_with(
        command: &Command,
        folder: &Path,
        name: &str,
        ending: Ending<'_>,
    ) -> Result<Self> {
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
        keeper.env("LEASH_ASK", if ending.ask { "yes" } else { "" });
        keeper.env("LEASH_SWEEP", ending.sweep.unwrap_or(Path::new("")));
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

    use super::{Ending, Leash};
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

    #[test]
    fn a_program_that_is_asked_ends_its_children_and_the_folder_is_swept() {
        let folder = tempfile::tempdir().unwrap().keep();
        let (scratch, seen) = (folder.join("scratch"), folder.join("seen"));
        std::fs::create_dir(&scratch).unwrap();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"trap 'echo asked >"$0"; exit' TERM; echo >"$1"; while :; do read -r _ <"$2"; done"#,
        ]);
        let fifo = folder.join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        command.arg(&seen).arg(scratch.join("ready")).arg(&fifo);
        let ending = Ending { ask: true, sweep: Some(&scratch) };
        let leash = Leash::start_with(&command, &folder, "program", ending).unwrap();
        wait::until("the program", || scratch.join("ready").exists().then_some(())).unwrap();
        drop(leash);
        assert!(seen.exists() && !scratch.exists());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
