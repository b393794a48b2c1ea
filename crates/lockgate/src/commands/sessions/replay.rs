//! `lockgate sessions replay`: an exchange as it was, from its recording alone.

mod cast;
mod follow;
mod moments;

use std::{io::Read as _, time::Duration};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use lockgate_control::model::{EntryFilter, PageRequest};
use lockgate_recording::{Event, Field, FieldValue, Recorded, What};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::{Exit, pushes},
    stream,
};
use crate::{
    cli::{RawSide, ReplayArgs},
    output::{self, say},
    people::{self, Person},
    recordings::{self, Transcript},
};

/// How much of a body is printed as text, in all.
const TEXT_MAX: u64 = 16 << 10;

/// How much of each direction of a stream is printed as text.
const STREAM_MAX: u64 = 1 << 20;

pub(super) async fn run(args: &ReplayArgs) -> Result<Exit> {
    let person = Person::connect(&args.reach)?;
    let exchange = exchange(&person, &args.id).await?;
    if args.follow {
        let source = follow::Source::following(person, exchange)?;
        return print(source, args).await;
    }
    // The index knows where it lies; what it does not know yet is looked for.
    let entry = person.client.entry(&args.id).await.ok();
    let bundles = entry.iter().flat_map(|entry| &entry.bundles);
    let bundles: Vec<_> = bundles.filter_map(|id| Uuid::parse_str(id).ok()).collect();
    let archive = person.archive_here()?;
    let ended = entry.is_some();
    let enough =
        |it: &Transcript| it.closed.is_some() || (!ended && (it.sent.whole || stream::is_stream(it)));
    let transcript = pushes::read(&archive, exchange, &bundles, enough).await?;
    let transcript = transcript.context("its recording is not in the store")?;
    if let Some(side) = args.raw {
        return raw(&transcript, side);
    }
    if let Some(folder) = &args.into {
        pushes::rebuild(&transcript, folder).await?;
        return Ok(Exit::Ok);
    }
    let reader = recordings::open(&archive, exchange, &bundles).await?.context("its recording is gone")?;
    print(follow::Source::stored(reader), args).await
}

/// Prints what a source has, to its end.
async fn print(mut source: follow::Source, args: &ReplayArgs) -> Result<Exit> {
    if let Some(file) = &args.cast {
        return cast::write(source, file).await;
    }
    let mut printer = Printer {
        json: args.reach.json,
        left: [TEXT_MAX; 2],
        stream: stream::Reading::default(),
        stream_left: [STREAM_MAX; 2],
    };
    while let Some(recorded) = source.next().await? {
        printer.print(&recorded)?;
    }
    let is_told = printer.end();
    if !source.is_complete() && !args.reach.json {
        say!("            (the recording has no end: the exchange is under way, or was cut off)");
    }
    Ok(if source.is_complete() && is_told { Exit::Ok } else { Exit::Problem })
}

/// The exchange, or what the id is of instead.
async fn exchange(person: &Person, id: &str) -> Result<Uuid> {
    match Uuid::parse_str(id) {
        // A session's id is the same digits without the dashes.
        Ok(exchange) if id.contains('-') => return Ok(exchange),
        Ok(_) | Err(_) => {}
    }
    let filter = EntryFilter { session: Some(id.to_owned()), ..EntryFilter::default() };
    let page = person.client.entries(&filter, &PageRequest::first(1)).await;
    if page.map_err(|error| person.explain(error))?.items.is_empty() {
        bail!("`{id}` is no exchange's id");
    }
    bail!("`{id}` is a session: `lockgate sessions show {id}` lists its exchanges, which can be replayed")
}

fn raw(transcript: &Transcript, side: RawSide) -> Result<Exit> {
    let body = match side {
        RawSide::Request => &transcript.sent,
        RawSide::Response => &transcript.answered,
    };
    let mut reader = body.reader()?;
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = reader.read(&mut piece)?;
        if length == 0 {
            break;
        }
        output::bytes(&piece[..length]);
    }
    Ok(if body.whole || transcript.closed.is_some() { Exit::Ok } else { Exit::Problem })
}

/// Prints events as they were recorded; of a stream what happened on its channels, in the place of its bytes.
struct Printer {
    json: bool,
    /// How much text of each body is still printed.
    left: [u64; 2],
    stream: stream::Reading,
    stream_left: [u64; 2],
}

impl Printer {
    fn print(&mut self, recorded: &Recorded) -> Result<()> {
        let (json, left) = (self.json, &mut self.stream_left);
        let is_of_stream = self.stream.take(recorded, &mut |moment| {
            if json { say!("{}", moments::value(&moment)) } else { moments::print(&moment, left) }
        });
        if is_of_stream {
            return Ok(());
        }
        if self.json {
            say!("{}", serde_json::to_string(&value(recorded))?);
            return Ok(());
        }
        let at = recorded.at;
        match &recorded.what {
            What::Opened(opened) => {
                let started = u64::try_from(opened.started_micros).unwrap_or_default();
                say!("exchange {} of session {}", opened.exchange, opened.session);
                say!("{} from {}, at {} UTC", opened.principal.name, opened.peer, people::micros(started));
                say!("to {} ({})\n", opened.upstream, opened.protocol);
            }
            What::Event(event) => self.event(at, event),
            What::Closed(closed) => {
                line(at, "=", &closed.outcome.to_string());
                line(at, "=", &format!("request:  {:?}", closed.request));
                line(at, "=", &format!("response: {:?}", closed.response));
            }
        }
        Ok(())
    }

    /// Says what could not be told. Whether everything was.
    fn end(&self) -> bool {
        let problems = self.stream.problems();
        for problem in &problems {
            if self.json {
                say!("{}", json!({ "event": "stream_problem", "text": problem }));
            } else {
                say!("            ! {}", output::plain(problem));
            }
        }
        problems.is_empty()
    }

    fn event(&mut self, at: Duration, event: &Event) {
        match event {
            Event::RequestHead(head) => {
                line(at, ">", &format!("{} {} {}", head.method, head.target, head.version));
                fields(">", &head.fields);
            }
            Event::ResponseHead(head) => {
                line(at, "<", &format!("{} {}", head.version, head.status));
                fields("<", &head.fields);
            }
            Event::RequestData(data) => self.data(at, ">", 0, data),
            Event::ResponseData(data) => self.data(at, "<", 1, data),
            Event::RequestTrailers(trailers) => fields(">", trailers),
            Event::ResponseTrailers(trailers) => fields("<", trailers),
            Event::RequestEnd => line(at, ">", "(the request is whole)"),
            Event::ResponseEnd { .. } => line(at, "<", "(the response is whole)"),
            Event::Access(text) => line(at, "*", &format!("asks for {text}")),
            Event::Verdict(text) => line(at, "*", &format!("verdict {text}")),
            Event::Approval(text) => line(at, "*", &format!("approval {text}")),
            Event::Forwarded => line(at, "*", "goes upstream"),
            Event::ChannelData { channel, direction, data } => {
                line(at, "*", &format!("channel {channel}, {direction}: {}", shown(data)));
            }
            Event::Note { kind, text } => line(at, "*", &format!("{kind}: {text}")),
            Event::Gap { reason } => line(at, "!", &format!("something is missing here: {reason}")),
        }
    }

    fn data(&mut self, at: Duration, mark: &str, side: usize, data: &[u8]) {
        line(at, mark, &sized(data, &mut self.left[side]));
    }
}

/// How many bytes these are, and they as text as long as some of that is `left`.
fn sized(data: &[u8], left: &mut u64) -> String {
    let length = data.len() as u64;
    let whole = length <= *left;
    *left = if whole { *left - length } else { 0 };
    if whole { format!("[{length} bytes] {}", shown(data)) } else { format!("[{length} bytes]") }
}

fn line(at: Duration, mark: &str, text: &str) {
    say!("{:>10.6}  {mark} {}", at.as_secs_f64(), output::plain(text));
}

fn fields(mark: &str, fields: &[Field]) {
    for field in fields {
        say!("            {mark} {}", output::plain(&recordings::field(field)));
    }
}

/// Bytes as one line of text.
fn shown(data: &[u8]) -> String {
    String::from_utf8_lossy(data).escape_debug().collect()
}

fn value(recorded: &Recorded) -> Value {
    let mut value = match &recorded.what {
        What::Opened(opened) => json!({
            "event": "opened", "exchange": opened.exchange, "session": opened.session,
            "principal": opened.principal.name, "groups": opened.principal.groups,
            "upstream": opened.upstream, "protocol": opened.protocol, "peer": opened.peer,
            "started_micros": opened.started_micros,
        }),
        What::Event(event) => event_value(event),
        What::Closed(closed) => json!({ "event": "closed", "outcome": closed.outcome.to_string() }),
    };
    value["at_micros"] = json!(recorded.at.as_micros() as u64);
    value
}

fn event_value(event: &Event) -> Value {
    let data = |name: &str, data: &[u8]| json!({ "event": name, "base64": BASE64_STANDARD.encode(data) });
    let told = |name: &str, text: &str| json!({ "event": name, name: serde_json::from_str(text).unwrap_or_else(|_| json!(text)) });
    match event {
        Event::RequestHead(head) => json!({
            "event": "request_head", "method": head.method, "target": head.target, "version": head.version,
            "fields": field_values(&head.fields),
        }),
        Event::ResponseHead(head) => json!({
            "event": "response_head", "status": head.status, "version": head.version,
            "fields": field_values(&head.fields),
        }),
        Event::RequestData(bytes) => data("request_data", bytes),
        Event::ResponseData(bytes) => data("response_data", bytes),
        Event::RequestTrailers(trailers) => {
            json!({ "event": "request_trailers", "fields": field_values(trailers) })
        }
        Event::ResponseTrailers(trailers) => {
            json!({ "event": "response_trailers", "fields": field_values(trailers) })
        }
        Event::RequestEnd => json!({ "event": "request_end" }),
        Event::ResponseEnd { .. } => json!({ "event": "response_end" }),
        Event::Access(text) => told("access", text),
        Event::Verdict(text) => told("verdict", text),
        Event::Approval(text) => told("approval", text),
        Event::Forwarded => json!({ "event": "forwarded" }),
        Event::ChannelData { channel, direction, data } => json!({
            "event": "channel_data", "channel": channel, "direction": direction.to_string(),
            "base64": BASE64_STANDARD.encode(data),
        }),
        Event::Note { kind, text } => json!({ "event": "note", "kind": kind, "text": text }),
        Event::Gap { reason } => json!({ "event": "gap", "reason": reason }),
    }
}

fn field_values(fields: &[Field]) -> Value {
    let values = fields.iter().map(|field| {
        let name = String::from_utf8_lossy(&field.name);
        match &field.value {
            FieldValue::Exact(value) => json!([name, String::from_utf8_lossy(value)]),
            FieldValue::Redacted { .. } => json!([name, null]),
        }
    });
    Value::Array(values.collect())
}
