//! A stream at a glance: what was typed, how much was printed, which files were copied, which ports were reached.

use std::time::Duration;

use anyhow::Result;
use lockgate_k8s::{
    parse::side::Side,
    stream::{
        Channel, Size,
        transcript::{Asked, Copied, Copying, EntryKind, Forwarded, Moment, Subresource, Summary, What},
    },
};
use lockgate_recording::ExchangeReader;
use serde_json::{Value, json};

use super::{Reading, kind, transport};
use crate::output::{plain, say};

/// How many lines, files or connections are printed; JSON has all that are known.
const PRINTED: usize = 200;

/// What was gathered of a stream.
pub(in super::super) struct Gathered {
    /// Nothing where it can't be read.
    told: Option<Told>,
    problems: Vec<String>,
}

struct Told {
    asked: Asked,
    transport: String,
    /// As the request names it.
    container: Option<String>,
    summary: Summary,
    copied: Option<Copied>,
    /// Bytes that the client sent to the command.
    stdin: u64,
    sizes: Vec<Size>,
}

/// How a command ended.
enum Ended {
    /// With this status.
    Exit(i64),
    /// Not, as the upstream says.
    Failed(String),
    /// Nothing was said.
    Unknown,
}

impl Gathered {
    /// Reads an exchange that became a stream. `access` is what was understood of the request.
    pub(in super::super) async fn of(mut reader: ExchangeReader, access: &Value) -> Result<Self> {
        let mut reading = Reading::default();
        let mut told: Option<Told> = None;
        while let Some(recorded) = reader.next().await? {
            // A stream is known before its first byte.
            let tell = &mut |moment: Moment<'_>| {
                if let Some(told) = &mut told {
                    told.push(moment);
                }
            };
            reading.take(&recorded, tell);
            if told.is_none()
                && let Some((asked, upgrade)) = reading.stream()
            {
                told = Some(Told {
                    asked: asked.clone(),
                    transport: transport(upgrade),
                    container: access["attributes"]["container"].as_str().map(str::to_owned),
                    summary: Summary::new(&asked.command, 0),
                    copied: None,
                    stdin: 0,
                    sizes: Vec::new(),
                });
            }
        }
        if let Some(told) = &mut told {
            told.copied = told.summary.copied();
        }
        Ok(Self { told, problems: reading.problems() })
    }

    /// Prints it.
    pub(in super::super) fn print(&self) {
        if let Some(told) = &self.told {
            told.print();
        }
        for problem in &self.problems {
            say!("problem    {}", plain(problem));
        }
    }

    /// It for machines.
    pub(in super::super) fn value(&self) -> Value {
        let mut value = self.told.as_ref().map_or_else(|| json!({}), Told::value);
        value["problems"] = json!(self.problems);
        value
    }
}

impl Told {
    fn push(&mut self, moment: Moment<'_>) {
        match moment.what {
            What::Bytes { side: Side::Client, channel: Channel::Stdin, bytes, .. } => {
                self.stdin += bytes.len() as u64;
            }
            // The first and the last are of interest.
            What::Resized(size) if self.sizes.len() > 1 => self.sizes[1] = size,
            What::Resized(size) => self.sizes.push(size),
            What::Opened { .. } | What::Bytes { .. } | What::Finished { .. } => {}
        }
        self.summary.push(moment);
    }

    fn is_forward(&self) -> bool {
        self.asked.subresource == Subresource::PortForward
    }

    fn print(&self) {
        say!("stream     {} by {}", kind(&self.asked), self.transport);
        if self.is_forward() {
            return self.print_ports();
        }
        if !self.asked.command.is_empty() {
            say!("command    {}", plain(&words(&self.asked.command)));
        }
        say!("container  {}", plain(self.container.as_deref().unwrap_or("the default one")));
        let sizes: Vec<_> = self.sizes.iter().map(|size| format!("{}x{}", size.columns, size.rows)).collect();
        match (self.asked.tty, sizes.is_empty()) {
            (false, _) => say!("terminal   none"),
            (true, true) => say!("terminal   of a size that was not told"),
            (true, false) => say!("terminal   {}", sizes.join(", then ")),
        }
        let (stdout, stderr) = (self.summary.stdout.length, self.summary.stderr.length);
        say!("streamed   {} bytes on stdin, {stdout} on stdout, {stderr} on stderr", self.stdin);
        match self.ended() {
            Ended::Exit(code) => say!("ended      with exit status {code}"),
            Ended::Failed(message) => say!("ended      {}", plain(&message)),
            Ended::Unknown => say!("ended      without a word on how"),
        }
        let typed = &self.summary.typed;
        if !typed.lines().is_empty() {
            say!("typed");
            for line in typed.lines().iter().take(PRINTED) {
                say!("  {:>10.3}  {}", line.at.as_secs_f64(), plain(&line.text));
            }
            more(typed.lines().len(), typed.more(), "lines");
        }
        if let Some(copied) = &self.copied {
            print_copied(copied);
        }
    }

    fn print_ports(&self) {
        let forwarded = &self.summary.forwarded;
        let mut printed = 0;
        for (id, connection) in forwarded.iter().take(PRINTED) {
            let Forwarded { port, opened, last, sent, received, error } = connection;
            let (from, to) = (opened.as_secs_f64(), last.as_secs_f64());
            match error {
                // The stream beside a connection that says what went wrong with it: mostly nothing.
                Some(error) if error.is_empty() => continue,
                Some(error) => say!("failed     port {port}: {}", plain(&String::from_utf8_lossy(error))),
                None => say!(
                    "port       {port} (stream {id}), from {from:.3} s to {to:.3} s: {sent} bytes to it, {received} from it"
                ),
            }
            printed += 1;
        }
        if printed == 0 {
            say!("port       none was connected to");
        }
        more(forwarded.len(), 0, "connections");
    }

    fn value(&self) -> Value {
        let summary = &self.summary;
        let mut value = json!({ "kind": kind(&self.asked), "transport": self.transport });
        if self.is_forward() {
            value["connections"] = summary.forwarded.iter().map(|(id, it)| connection(*id, it)).collect();
            return value;
        }
        let exit = match self.ended() {
            Ended::Exit(code) => json!({ "status": code }),
            Ended::Failed(message) => json!({ "message": message }),
            Ended::Unknown => Value::Null,
        };
        let typed = summary.typed.lines().iter();
        let typed: Value =
            typed.map(|line| json!({ "at_micros": micros(line.at), "text": line.text })).collect();
        let sizes: Value =
            self.sizes.iter().map(|size| json!({ "columns": size.columns, "rows": size.rows })).collect();
        value["command"] = json!(self.asked.command);
        value["container"] = json!(self.container);
        value["tty"] = json!(self.asked.tty);
        value["sizes"] = sizes;
        value["bytes"] =
            json!({ "stdin": self.stdin, "stdout": summary.stdout.length, "stderr": summary.stderr.length });
        value["ended"] = exit;
        value["typed"] = typed;
        value["typed_more"] = json!(summary.typed.more());
        value["copied"] = self.copied.as_ref().map_or(Value::Null, copied_value);
        value
    }

    fn ended(&self) -> Ended {
        ended(&self.summary.status)
    }
}

/// What a `Status` says of a command.
fn ended(status: &[u8]) -> Ended {
    if status.is_empty() {
        return Ended::Unknown;
    }
    let Ok(status) = serde_json::from_slice::<Value>(status) else {
        return Ended::Failed("with a status that can't be read".into());
    };
    if status["status"] == "Success" {
        return Ended::Exit(0);
    }
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let mut codes = causes.filter(|cause| cause["reason"] == "ExitCode");
    let code = codes.find_map(|cause| cause["message"].as_str()?.parse().ok());
    match code {
        Some(code) => Ended::Exit(code),
        None => Ended::Failed(status["message"].as_str().unwrap_or("it failed").to_owned()),
    }
}

fn print_copied(copied: &Copied) {
    let way = match copied.way {
        Copying::Upload => "into the pod",
        Copying::Download => "out of the pod",
    };
    say!("copied     {way}");
    for entry in copied.entries.iter().take(PRINTED) {
        let path = plain(&entry.path);
        match &entry.kind {
            EntryKind::File => {
                let digest =
                    entry.sha256.as_deref().map_or_else(|| "cut off".into(), |it| format!("sha256:{it}"));
                say!("  {path}  {} bytes, {digest}", entry.size);
            }
            EntryKind::Directory => say!("  {path}  a folder"),
            EntryKind::Link(target) => say!("  {path}  a link to {}", plain(target)),
            EntryKind::Other => say!("  {path}  no file"),
        }
    }
    more(copied.entries.len(), copied.more, "entries");
    if let Some(error) = &copied.error {
        say!("  and perhaps others: {error}");
    }
}

fn copied_value(copied: &Copied) -> Value {
    let entries = copied.entries.iter().map(|entry| {
        let (kind, target) = match &entry.kind {
            EntryKind::File => ("file", None),
            EntryKind::Directory => ("directory", None),
            EntryKind::Link(target) => ("link", Some(target)),
            EntryKind::Other => ("other", None),
        };
        json!({ "path": entry.path, "kind": kind, "target": target, "size": entry.size, "sha256": entry.sha256 })
    });
    json!({
        "way": match copied.way {
            Copying::Upload => "upload",
            Copying::Download => "download",
        },
        "entries": entries.collect::<Vec<_>>(),
        "more": copied.more,
        "error": copied.error.as_ref().map(ToString::to_string),
    })
}

fn connection(id: u32, it: &Forwarded) -> Value {
    json!({
        "stream": id, "port": it.port, "opened_micros": micros(it.opened), "last_micros": micros(it.last),
        "sent": it.sent, "received": it.received,
        "error": it.error.as_ref().map(|error| String::from_utf8_lossy(error)),
    })
}

fn more(known: usize, unknown: u64, what: &str) {
    let more = (known.saturating_sub(PRINTED) as u64).saturating_add(unknown);
    if more > 0 {
        say!("  and {more} more {what}");
    }
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

/// Words as a shell takes them.
fn words(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    let quoted = |word: &String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            return word.clone();
        }
        format!("'{}'", word.replace('\'', "'\\''"))
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_command_is_its_exit_status() {
        let check = |status: &str, expected: Option<Result<i64, &str>>| {
            let found = ended(status.as_bytes());
            let found = match &found {
                Ended::Exit(code) => Some(Ok(*code)),
                Ended::Failed(message) => Some(Err(&message[..])),
                Ended::Unknown => None,
            };
            assert_eq!(found, expected, "{status}");
        };
        check("", None);
        check(r#"{"status":"Success"}"#, Some(Ok(0)));
        let exit = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with non-zero exit code",
            "details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
        check(exit, Some(Ok(7)));
        check(r#"{"status":"Failure","message":"no such container"}"#, Some(Err("no such container")));
        check("{", Some(Err("with a status that can't be read")));
    }

    #[test]
    fn commands_can_be_copied_into_a_shell() {
        let check = |command: &[&str], expected| {
            let command: Vec<_> = command.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(words(&command), expected);
        };
        check(&["ls", "-l", "/etc"], "ls -l /etc");
        check(&["sh", "-c", "echo \"it's\""], r#"sh -c 'echo "it'\''s"'"#);
        check(&["echo", ""], "echo ''");
    }
}
