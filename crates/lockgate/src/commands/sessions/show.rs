//! `lockgate sessions show`: a session with its exchanges, or an exchange with what its recording says.

use anyhow::{Context as _, Result, bail};
use lockgate_control::{
    CallError,
    model::{EntryFilter, PageRequest},
};
use lockgate_core::index::Entry;
use lockgate_git::report::{PushDescription, PushResult};
use lockgate_recording::{Archive, ReadError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{super::pushes, print_entries, stream, what};
use crate::{
    cli::Reach,
    entries,
    output::{self, plain, say},
    people::{self, ELSEWHERE, Person},
    recordings::{self, Transcript},
};

/// How many exchanges of a session are shown.
const SHOWN: u32 = 1000;
/// The outcome of an exchange whose recording has no end yet.
const UNDER_WAY: &str = "under way, or cut off";

pub(super) async fn run(id: &str, reach: &Reach) -> Result<()> {
    let person = Person::connect(reach)?;
    match Uuid::parse_str(id) {
        // A session's id is the same digits without the dashes.
        Ok(exchange) if id.contains('-') => show_exchange(&person, exchange, reach.json).await,
        Ok(_) | Err(_) => show_session(&person, id, reach.json).await,
    }
}

async fn show_session(person: &Person, id: &str, json: bool) -> Result<()> {
    let filter = EntryFilter { session: Some(id.to_owned()), ..EntryFilter::default() };
    let page = person.client.entries(&filter, &PageRequest::first(SHOWN)).await;
    let mut page = page.map_err(|error| person.explain(error))?;
    page.items.reverse();
    if json {
        return output::json(&page.items);
    }
    let (Some(first), Some(last)) = (page.items.first(), page.items.last()) else {
        bail!("there is no session {id}");
    };
    say!("session    {id}");
    say!("who        {}:{}", first.issuer, first.subject);
    say!("from       {} to {}", people::micros(first.started), people::micros(last.ended));
    say!("");
    print_entries(&page, "it has no exchanges");
    Ok(())
}

async fn show_exchange(person: &Person, exchange: Uuid, json: bool) -> Result<()> {
    let known = match person.client.entry(&exchange.to_string()).await {
        Ok(entry) => Some(entry),
        Err(CallError::NotFound(_)) => None,
        Err(error) => return Err(person.explain(error)),
    };
    let Some(archive) = person.archive()? else {
        return show_entry(&known.with_context(|| format!("there is no exchange {exchange}"))?, json);
    };
    let entry = match known {
        Some(entry) => entry,
        None => under_way(&archive, exchange).await?,
    };
    let bundles: Vec<_> = entry.bundles.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect();
    let is_under_way = entry.outcome == UNDER_WAY;
    let enough = |it: &Transcript| it.closed.is_some() || is_under_way;
    let transcript = pushes::read(&archive, exchange, &bundles, enough).await?;
    let transcript = transcript.context("its recording is not in the store")?;
    let push = if pushes::is_push(&transcript) { Some(pushes::describe(&transcript).await?) } else { None };
    let stream = match stream::is_stream(&transcript) {
        true => {
            let reader = recordings::open(&archive, exchange, &bundles).await?;
            let reader = reader.context("its recording is gone")?;
            Some(stream::Gathered::of(reader, &transcript.accesses[0]).await?)
        }
        false => None,
    };
    if json {
        let mut value = json!({ "entry": entry, "approvals": transcript.approvals });
        value["verdict"] = transcript.verdict.clone();
        if let Some((push, _)) = &push {
            value["content"] = pushes::commits(push);
        }
        if let Some(stream) = &stream {
            value["stream"] = stream.value();
        }
        return output::json(&value);
    }
    print(&entry, Some(&transcript));
    if let Some((push, result)) = &push {
        print_updates(push, result.as_ref(), &transcript.verdict);
        pushes::print_commits(push);
    }
    if let Some(stream) = &stream {
        stream.print();
    }
    Ok(())
}

/// What the recording says of an exchange that the index does not know: it learns of one at its end.
async fn under_way(archive: &Archive, exchange: Uuid) -> Result<Entry> {
    let bundles = match archive.find(exchange).await {
        Err(ReadError::NotFound(_)) => {
            bail!("there is no exchange {exchange}, or nothing of it is stored yet")
        }
        found => found?,
    };
    let entry = entries::read(archive, exchange, &bundles).await?;
    let entry = entry.context("its beginning is not in the store")?;
    let is_open = entry.outcome == entries::CUT_OFF;
    Ok(Entry { outcome: if is_open { UNDER_WAY.into() } else { entry.outcome }, ..entry })
}

/// What the index knows of an exchange, where the recording is elsewhere.
fn show_entry(entry: &Entry, json: bool) -> Result<()> {
    if json {
        return output::json(&json!({ "entry": entry }));
    }
    print(entry, None);
    say!("{ELSEWHERE}");
    Ok(())
}

/// The index says what was asked for, unless the recording says it exactly.
fn print(entry: &Entry, transcript: Option<&Transcript>) {
    let seconds = entry.ended.saturating_sub(entry.started) as f64 / 1e6;
    say!("exchange   {}", entry.exchange);
    say!("session    {}", entry.session);
    say!("who        {}:{}", entry.issuer, entry.subject);
    if let Some(transcript) = transcript {
        say!("from       {}", transcript.opened.peer);
    }
    say!("upstream   {} ({})", entry.upstream, entry.protocol);
    match transcript {
        Some(transcript) => {
            if let Some(head) = &transcript.request {
                say!("request    {} {}", head.method, plain(&head.target));
            }
        }
        None => say!("what       {}", plain(&what(entry))),
    }
    say!("began      {}, took {seconds:.3} s", people::micros(entry.started));
    let rules = if entry.rules.is_empty() { "the default".to_owned() } else { entry.rules.join(", ") };
    say!("verdict    {}, by {rules}", entry.verdict);
    if let (None, Some(approval)) = (transcript, &entry.approval) {
        say!("approval   {approval}");
    }
    for approval in transcript.iter().flat_map(|transcript| &transcript.approvals) {
        let text = |name: &str| approval[name].as_str().unwrap_or_default().to_owned();
        let by: Vec<_> = approval["by"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let by = if by.is_empty() { String::new() } else { format!(", by {}", by.join(", ")) };
        say!("approval   {} {}{by}", text("id"), text("state"));
    }
    if let Some(transcript) = transcript {
        let forwarded = match transcript.forwarded {
            Some(at) => format!("after {:.3} s", at.as_secs_f64()),
            None => "no: the upstream never saw it".into(),
        };
        say!("forwarded  {forwarded}");
    }
    say!("outcome    {}, status {}", entry.outcome, entry.status);
    say!("bytes      {} from the client, {} to it", entry.bytes_in, entry.bytes_out);
    say!("recorded   in {}", entry.bundles.join(", "));
}

fn print_updates(push: &PushDescription, result: Option<&PushResult>, verdict: &Value) {
    say!("updates");
    for (index, command) in push.request.commands.iter().enumerate() {
        let short = |oid: &dyn std::fmt::Display| oid.to_string().chars().take(12).collect::<String>();
        let ground = &verdict["grounds"]["accesses"][index];
        let effect = ground["effect"].as_str().unwrap_or("not decided");
        let outcome = result.and_then(|result| result.refs.iter().find(|it| it.name == command.name));
        let outcome = match outcome {
            Some(told) => match &told.refused {
                Some(reason) => format!("rejected: {}", plain(reason)),
                None => "done".into(),
            },
            None => "no answer".into(),
        };
        say!(
            "  {}  {}..{}  {effect}  {outcome}",
            plain(&command.name),
            short(&command.old),
            short(&command.new)
        );
    }
}
