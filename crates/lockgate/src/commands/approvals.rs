//! `lockgate approvals`.

use anyhow::{Context as _, Result};
use lockgate_control::model::{Answer, Approval, AskedAccess, PageRequest, State};
use lockgate_core::{access::Schema, approval::TicketState};
use lockgate_git::report::PushDescription;
use serde_json::{Value, json};
use uuid::Uuid;

use super::pushes;
use crate::{
    cli::{ApprovalsCommand, Reach},
    output::{self, Table, plain, say},
    people::{self, Person},
};

const SCHEMA_OF_GIT: &Schema = &lockgate_git::SCHEMA;
/// How many are listed.
const LISTED: u32 = 200;

pub(super) async fn run(command: ApprovalsCommand) -> Result<()> {
    match command {
        ApprovalsCommand::List { all, reach } => list(all, &reach).await,
        ApprovalsCommand::Show { id, reach } => show(&id, &reach).await,
        ApprovalsCommand::Approve { id, reason, reach } => {
            decide(&id, Answer::Approve, &reason, &reach).await
        }
        ApprovalsCommand::Deny { id, reason, reach } => decide(&id, Answer::Deny, &reason, &reach).await,
    }
}

async fn list(all: bool, reach: &Reach) -> Result<()> {
    let person = Person::connect(reach)?;
    let states: &[State] = if all { &[] } else { &[State::Pending] };
    let page = person.client.approvals(states, &PageRequest::first(LISTED)).await;
    let approvals = page.map_err(|error| person.explain(error))?.items;
    if reach.json {
        return output::json(&approvals.iter().map(value).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["id", "state", "asked", "by", "for", "whom"]);
    for approval in &approvals {
        let more = match approval.request.accesses.len() {
            0 | 1 => String::new(),
            count => format!(" (+{})", count - 1),
        };
        let first = approval.request.accesses.first().map(what).unwrap_or_default();
        table.row([
            approval.id.clone(),
            approval.state().word().to_owned(),
            people::time(approval.created),
            approval.request.requester.to_string(),
            format!("{first}{more}"),
            whom(approval),
        ]);
    }
    table.print("nothing waits for anybody");
    Ok(())
}

async fn show(id: &str, reach: &Reach) -> Result<()> {
    let person = Person::connect(reach)?;
    let approval = person.client.approval(id).await.map_err(|error| person.explain(error))?;
    let exchange = Uuid::parse_str(&approval.request.exchange).ok();
    let content = match exchange {
        Some(exchange) => content(&person, exchange).await,
        None => Ok(Content::default()),
    };
    if reach.json {
        let mut value = value(&approval);
        if let Ok(content) = &content {
            value["content"] = content.push.as_ref().map(pushes::commits).into();
            value["shown"] = json!(content.shown);
        }
        return output::json(&value);
    }
    print(&approval);
    match &content {
        Ok(Content { push, shown }) => {
            push.iter().for_each(pushes::print_commits);
            match shown {
                Some(shown) => print_changes(shown),
                None if push.is_some() => say!("changes    none: the push only deletes"),
                None => {}
            }
        }
        Err(error) => say!("content    can't be shown: {error:#}"),
    }
    if approval.state() == State::Pending {
        say!("\nlockgate approvals approve {0}\nlockgate approvals deny {0} -m '...'", approval.id);
    }
    Ok(())
}

/// What a request that waits holds.
#[derive(Default)]
struct Content {
    /// Of a push.
    push: Option<PushDescription>,
    /// What changes, as the gateway saw it in what it would forward.
    shown: Option<String>,
}

/// What the request that waits holds, from its recording.
async fn content(person: &Person, exchange: Uuid) -> Result<Content> {
    let archive = person.archive_here()?;
    let transcript = pushes::read(&archive, exchange, &[], |it| it.sent.whole).await?;
    let mut transcript = transcript.context("the recording is not in the store yet")?;
    let shown = transcript.shown.take();
    let is_push = pushes::is_push(&transcript);
    let push = if is_push { Some(pushes::describe(&transcript).await?.0) } else { None };
    Ok(Content { push, shown })
}

fn print(approval: &Approval) {
    let request = &approval.request;
    say!("approval   {}", approval.id);
    say!("state      {}, expires {}", state(approval), people::time(approval.expires));
    say!("asked by   {} at {}", request.requester, people::time(approval.created));
    if !request.requester.is_verified() {
        say!("           the requester is not verified: the name is what the client said, and may be yours");
    }
    say!("upstream   {}", request.upstream);
    say!("rules      {}", request.rules.join(", "));
    say!("needs      {}", whom(approval));
    say!("exchange   {}", request.exchange);
    say!("asks for");
    for access in &request.accesses {
        say!("  {}  {}  {}", access.action, plain(&access.resource), plain(&access.binding));
        print_findings(access);
    }
    if !approval.decisions.is_empty() {
        say!("answers");
    }
    for decision in &approval.decisions {
        let answer = word(decision.answer);
        let reason =
            if decision.reason.is_empty() { String::new() } else { format!(": {}", plain(&decision.reason)) };
        say!("  {answer} by {} at {}{reason}", decision.by, people::time(decision.at));
    }
}

/// Secrets that were found, and where; or that nobody looked.
fn print_findings(access: &AskedAccess) {
    if access.protocol != SCHEMA_OF_GIT.protocol || access.action != "push" {
        return;
    }
    match access.attributes.iter().find(|(name, _)| name == "finding") {
        Some((_, none)) if none.is_empty() => say!("    secrets: none found"),
        Some((_, findings)) => say!("    secrets: {}", plain(findings)),
        None => say!("    secrets: not looked for, as no rule asks"),
    }
}

fn print_changes(shown: &str) {
    say!("changes");
    // Not `lines`: a carriage return at the end of a line is a change like any other.
    shown.trim_end_matches('\n').split('\n').for_each(|line| say!("  {}", plain(line)));
}

async fn decide(id: &str, answer: Answer, reason: &str, reach: &Reach) -> Result<()> {
    let person = Person::connect(reach)?;
    let approval = person.client.decide(id, answer, reason).await;
    let approval = approval.map_err(|error| person.explain(error))?;
    if reach.json {
        return output::json(&value(&approval));
    }
    say!("{} {}: {}", word(answer), approval.id, state(&approval));
    Ok(())
}

fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Approve => "approved",
        Answer::Deny => "denied",
    }
}

fn state(approval: &Approval) -> String {
    match &approval.state {
        TicketState::Pending => {
            format!("pending, {} of {} answered", approval.decisions.len(), approval.request.terms.count)
        }
        TicketState::Approved { by } => format!("approved by {}", by.join(", ")),
        TicketState::Denied { by, reason } => format!("denied by {by}: {}", plain(reason)),
        TicketState::Expired => "expired".into(),
        TicketState::Used => match &approval.used_by {
            Some(exchange) => format!("used by exchange {exchange}"),
            None => "used".into(),
        },
    }
}

fn whom(approval: &Approval) -> String {
    let terms = &approval.request.terms;
    let from: Vec<_> = terms.from.iter().map(String::as_str).collect();
    let from = if from.is_empty() { "any approver".to_owned() } else { from.join(" or ") };
    format!("{} of {from}", terms.count)
}

/// What is asked for, in a few words.
fn what(access: &AskedAccess) -> String {
    let reference = access.attributes.iter().find(|(name, _)| name == "ref");
    let reference = reference.map(|(_, value)| format!(" {value}")).unwrap_or_default();
    format!("{} {}{reference}", access.action, access.resource)
}

fn value(approval: &Approval) -> Value {
    let request = &approval.request;
    let accesses = request.accesses.iter().map(|access| {
        json!({
            "protocol": access.protocol, "action": access.action, "resource": access.resource,
            "binding": access.binding,
            "attributes": access.attributes.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        })
    });
    let decisions = approval.decisions.iter().map(|decision| {
        json!({
            "by": decision.by.to_string(), "answer": word(decision.answer), "reason": decision.reason,
            "at": decision.at.to_string(),
        })
    });
    json!({
        "id": approval.id, "state": approval.state().word(), "requester": request.requester.to_string(),
        "requester_verified": request.requester.is_verified(),
        "session": request.session, "upstream": request.upstream, "exchange": request.exchange,
        "rules": request.rules, "accesses": accesses.collect::<Vec<_>>(), "terms": request.terms,
        "decisions": decisions.collect::<Vec<_>>(), "created": approval.created.to_string(),
        "expires": approval.expires.to_string(), "used_by": approval.used_by,
    })
}
