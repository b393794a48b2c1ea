//! A process whose output is read while it runs.

use std::io::{Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::Output;
use crate::wait::PATIENCE;

/// A process, with all it has written so far; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    stdin: Option<ChildStdin>,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
}

impl Running {
    /// Starts a command in a process group of its own, so that signals reach the children that it starts.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// As [`Running::start`], for a command that reads what is written to it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_with_stdin(command: &mut Command) -> Result<Self> {
        Self::spawn(command.stdin(Stdio::piped()))
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        let stdin = child.stdin.take();
        let stdout = Stream::read(child.stdout.take().context("stdout is piped")?);
        let stderr = Stream::read(child.stderr.take().context("stderr is piped")?);
        Ok(Self { child, name, stdin, stdout, stderr })
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its stdin, as far as the pipe takes it without a reader: 64 KiB.
    ///
    /// # Errors
    /// When its stdin is closed.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let stdin = self.stdin.as_mut().with_context(|| format!("{} has no stdin", self.name))?;
        stdin.write_all(bytes.as_ref())?;
        Ok(stdin.flush()?)
    }

    /// Ends its stdin.
    pub fn end_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it wrote to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for a line on stderr that holds `part`, and gives the whole line. Progress that overwrites itself
    /// counts as lines.
    ///
    /// # Errors
    /// When stderr ends without it, or it does not come within [`PATIENCE`].
    pub fn wait_for_stderr(&self, part: &str) -> Result<String> {
        self.stderr.wait_for(part).with_context(|| format!("{} does not say {part:?} on stderr", self.name))
    }

    /// As [`Running::wait_for_stderr`], on stdout.
    ///
    /// # Errors
    /// When stdout ends without it, or it does not come within [`PATIENCE`].
    pub fn wait_for_stdout(&self, part: &str) -> Result<String> {
        self.stdout.wait_for(part).with_context(|| format!("{} does not say {part:?} on stdout", self.name))
    }

    /// Whether it has ended; never waits.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Ctrl-C: SIGINT to the process and its children.
    ///
    /// # Errors
    /// When they are gone.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// SIGTERM: asks it to end.
    ///
    /// # Errors
    /// When it is gone.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not within `limit`; it is killed then.
    pub fn finish(mut self, limit: Duration) -> Result<Output> {
        let deadline = Instant::now() + limit;
        if !(self.stdout.wait_for_end(deadline) && self.stderr.wait_for_end(deadline)) {
            bail!("{} has not ended after {} s: {}", self.name, limit.as_secs(), self.stderr());
        }
        let status: ExitStatus = self.child.wait()?;
        Ok(Output { status, stdout: self.stdout(), stderr: self.stderr() })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process_group(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The text of a pipe, filled by a thread that ends with the pipe.
#[derive(Debug, Default)]
struct Stream {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    ended: bool,
}

impl Stream {
    fn read(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let writer = Arc::clone(&stream);
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            loop {
                let count = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = writer.lock();
                state.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                state.ended = count == 0;
                writer.changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        stream
    }

    fn text(&self) -> String {
        self.lock().text.clone()
    }

    fn wait_for(&self, part: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            // A line counts when it is whole, or when nothing follows any more.
            let mut lines = state.text.split_inclusive(['\n', '\r']);
            let whole = |line: &&str| line.ends_with(['\n', '\r']) || state.ended;
            if let Some(line) = lines.find(|line| line.contains(part) && whole(line)) {
                return Ok(line.trim_end().to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                bail!("it says: {}", state.text);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn wait_for_end(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.lock(), left, |state| !state.ended);
        waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Running;
    use crate::wait::PATIENCE;

    fn sh(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn lines_are_seen_while_the_process_runs() {
        let mut running = sh("printf 'one\\rtwo\\n' >&2; echo out; exec tail -f /dev/null");
        assert_eq!(running.wait_for_stderr("tw").unwrap(), "two");
        assert_eq!(running.wait_for_stderr("one").unwrap(), "one");
        assert_eq!(running.wait_for_stdout("out").unwrap(), "out");
        assert!(!running.has_ended().unwrap());
        running.kill().unwrap();
        assert!(running.has_ended().unwrap());
    }

    #[test]
    fn what_is_written_is_read_until_its_end() {
        let mut running = Running::start_with_stdin(&mut Command::new("cat")).unwrap();
        running.write("one\n").unwrap();
        running.wait_for_stdout("one").unwrap();
        running.write("two").unwrap();
        running.end_stdin();
        assert!(running.write("three").is_err());
        assert_eq!(running.finish(PATIENCE).unwrap().stdout, "one\ntwo");
    }

    #[test]
    fn the_end_is_waited_for_and_its_status_given() {
        let output = sh("echo last >&2; exit 3").finish(PATIENCE).unwrap();
        assert_eq!((output.status.code(), output.stderr.as_str()), (Some(3), "last\n"));
    }

    #[test]
    fn a_line_that_never_comes_is_an_error_at_the_end() {
        let error = sh("echo something else >&2").wait_for_stderr("hello").unwrap_err();
        assert!(format!("{error:#}").contains("something else"));
    }
}
