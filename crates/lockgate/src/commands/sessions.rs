//! `lockgate sessions`: what was done, by the index; and what exactly, by the recording.

mod reindex;
mod replay;
mod show;
mod stream;

use anyhow::Result;
use lockgate_control::model::{EntryFilter, Page, PageRequest, Session, Verdict};
use lockgate_core::index::Entry;
use serde_json::{Value, json};

use super::Exit;
use crate::{
    cli::{Filter, SessionsCommand, VerdictWord},
    output::{self, Table, say},
    people::{self, Person},
};

pub(super) async fn run(command: SessionsCommand) -> Result<Exit> {
    match command {
        SessionsCommand::List { filter, reach } => {
            let person = Person::connect(&reach)?;
            let page = person.client.sessions(&wanted(&filter)?, &PageRequest::first(filter.limit)).await;
            let page = page.map_err(|error| person.explain(error))?;
            if reach.json {
                output::json(&page.items.iter().map(session).collect::<Vec<_>>())?;
            } else {
                print_sessions(&page);
            }
        }
        SessionsCommand::Search { filter, reach } => {
            let person = Person::connect(&reach)?;
            let page = person.client.entries(&wanted(&filter)?, &PageRequest::first(filter.limit)).await;
            let page = page.map_err(|error| person.explain(error))?;
            if reach.json {
                output::json(&page.items)?;
            } else {
                print_entries(&page, "nothing matches");
            }
        }
        SessionsCommand::Show { id, reach } => show::run(&id, &reach).await?,
        SessionsCommand::Replay(args) => return replay::run(&args).await,
        SessionsCommand::Reindex { since, reach } => return reindex::run(since.as_deref(), &reach).await,
    }
    Ok(Exit::Ok)
}

fn wanted(filter: &Filter) -> Result<EntryFilter> {
    let time = |text: &Option<String>| text.as_deref().map(people::parse_time).transpose();
    let verdict = |word: &VerdictWord| match word {
        VerdictWord::Permit => Verdict::Permit,
        VerdictWord::Hold => Verdict::Hold,
        VerdictWord::Deny => Verdict::Deny,
        VerdictWord::None => Verdict::None,
    };
    let reference = filter.reference.iter().map(|value| ("ref".to_owned(), value.clone()));
    Ok(EntryFilter {
        principal: filter.principal.clone(),
        session: filter.session.clone(),
        upstream: filter.upstream.clone(),
        protocol: filter.protocol.clone(),
        action: filter.action.clone(),
        resource: filter.repository.clone(),
        attributes: reference.collect(),
        verdicts: filter.verdict.iter().map(verdict).collect(),
        outcome: filter.outcome.map(|outcome| outcome.word().to_owned()),
        since: time(&filter.since)?,
        until: time(&filter.until)?,
        text: (!filter.words.is_empty()).then(|| filter.words.join(" ")),
    })
}

fn print_sessions(page: &Page<Session>) {
    let mut table = Table::new(&["session", "who", "upstreams", "exchanges", "held", "denied", "from", "to"]);
    for session in &page.items {
        table.row([
            session.id.clone(),
            session.principal.to_string(),
            session.upstreams.join(", "),
            session.exchanges.to_string(),
            session.held.to_string(),
            session.denied.to_string(),
            people::time(session.started),
            people::time(session.ended),
        ]);
    }
    table.print("there are no sessions");
    more(page);
}

fn print_entries(page: &Page<Entry>, nothing: &str) {
    let mut table = Table::new(&["exchange", "began", "who", "upstream", "what", "verdict", "outcome"]);
    for entry in &page.items {
        table.row([
            entry.exchange.clone(),
            people::micros(entry.started),
            format!("{}:{}", entry.issuer, entry.subject),
            entry.upstream.clone(),
            what(entry),
            entry.verdict.clone(),
            entry.outcome.clone(),
        ]);
    }
    table.print(nothing);
    more(page);
}

fn more<T>(page: &Page<T>) {
    if page.next.is_some() {
        say!("and more: narrow the search, or see more with -n");
    }
}

/// What an exchange asked for, in a few words.
fn what(entry: &Entry) -> String {
    let Some(first) = entry.accesses.first() else { return "-".into() };
    let reference = first.attributes.iter().find(|(name, _)| name == "ref");
    let reference = reference.map(|(_, value)| format!(" {value}")).unwrap_or_default();
    let more = match entry.accesses.len() {
        1 => String::new(),
        count => format!(" (+{})", count - 1),
    };
    format!("{} {}{reference}{more}", first.action, first.resource)
}

fn session(session: &Session) -> Value {
    json!({
        "session": session.id, "principal": session.principal.to_string(), "upstreams": session.upstreams,
        "exchanges": session.exchanges, "held": session.held, "denied": session.denied,
        "started": session.started.to_string(), "ended": session.ended.to_string(),
    })
}
