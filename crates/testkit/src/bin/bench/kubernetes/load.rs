//! Requests by the thousand, sent by h2load.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::Running;

use crate::figures::sorted;

/// Whatever is sent is answered by then, on a slow machine too.
const LIMIT: Duration = Duration::from_secs(120);

/// What is asked for, and by whom.
pub(crate) struct Call {
    pub(crate) url: String,
    /// `name: value` each.
    pub(crate) headers: Vec<String>,
}

/// How many at once.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: u32,
    /// Requests at once on each connection.
    pub(crate) streams: u32,
    /// Requests altogether.
    pub(crate) requests: u32,
}

/// How they were answered.
pub(crate) struct Answers {
    /// Milliseconds from a request to the end of its answer, in order.
    pub(crate) latencies: Vec<f64>,
    pub(crate) per_second: f64,
    /// Bytes of one answer's body.
    pub(crate) size: usize,
}

impl Load {
    /// Sends the requests and waits for all answers.
    ///
    /// # Errors
    /// When one of them is not answered by 200.
    pub(crate) fn send(self, call: &Call) -> Result<Answers> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let output = Running::start(self.command(call)?.arg("--log-file").arg(&log))?.finish(LIMIT)?;
        let said = output.stdout;
        let latencies = latencies(&log)?;
        ensure!(latencies.len() == self.requests as usize, "of {} requests, {said}", self.requests);
        let per_second =
            between(&said, "s, ", " req/s").and_then(|rate| rate.parse().ok()).context("no rate")?;
        let traffic = between(&said, "traffic: ", " data").context("no traffic")?;
        let body =
            traffic.rsplit_once('(').and_then(|(_, size)| size.strip_suffix(')')?.parse::<usize>().ok());
        let size = body.context("no size of the bodies")? / latencies.len();
        Ok(Answers { latencies, per_second, size })
    }

    /// Begins to send requests that are answered without an end, not all at once: the API server turns away who
    /// asks for too much at a time.
    pub(crate) fn hold(self, call: &Call) -> Result<Running> {
        let a_second = (200 / self.streams).clamp(1, self.connections.max(1)).to_string();
        Running::start(self.command(call)?.args(["--rate", &a_second, "--rate-period", "1"]))
    }

    fn command(self, call: &Call) -> Result<Command> {
        let mut command = Command::new(lockgate_testkit::program("h2load")?);
        for (option, value) in [
            ("--requests", self.requests),
            ("--clients", self.connections),
            ("--max-concurrent-streams", self.streams),
        ] {
            command.arg(option).arg(value.to_string());
        }
        for header in &call.headers {
            command.arg("--header").arg(header);
        }
        command.arg(&call.url);
        Ok(command)
    }
}

/// How long each request that succeeded took, by h2load's log: when it began, its status, its microseconds.
fn latencies(log: &Path) -> Result<Vec<f64>> {
    let log = std::fs::read_to_string(log).context("no log of h2load")?;
    let took = log.lines().filter_map(|line| {
        let mut fields = line.split('\t').skip(1);
        (fields.next()? == "200").then_some(())?;
        fields.next()?.parse::<f64>().ok()
    });
    Ok(sorted(took.map(|microseconds| microseconds / 1000.0)))
}

/// What stands between two words.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (text, _) = text.split_once(after)?;
    text.rsplit_once(before).map(|(_, found)| found)
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn figures_are_found_in_what_h2load_says() {
        let said = "finished in 1.25s, 800.32 req/s, 1.1MB/s\ntraffic: 1MB (90) total, 2KB (3) headers, 1KB (7) data\n";
        assert_eq!(between(said, "s, ", " req/s"), Some("800.32"));
        assert_eq!(between(said, "traffic: ", " data"), Some("1MB (90) total, 2KB (3) headers, 1KB (7)"));
        assert_eq!(between(said, "nothing", " data"), None);
    }
}
