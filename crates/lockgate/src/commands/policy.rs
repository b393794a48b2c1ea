//! `lockgate policy`.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, bail};
use lockgate_control::{
    CallError,
    model::{PageRequest, PublishedPolicy},
    people::Publish,
};
use lockgate_core::{policy::Policy, principal::Principal, verdict::Effect};
use serde_json::{Map, Value, json};

use super::Exit;
use crate::{
    cli::{ExplainArgs, PolicyCommand},
    config::read_text,
    output::{self, Table, say},
    people::{self, Person},
    serve::POLICY_MAX,
    wiring,
};

pub(super) async fn run(command: PolicyCommand) -> Result<Exit> {
    match command {
        PolicyCommand::Check { file, json } => return check(&file, json),
        PolicyCommand::Explain(args) => return explain(&args),
        PolicyCommand::Publish { file, comment, reach } => {
            let text = read_text(&file, POLICY_MAX)?;
            let person = Person::connect(&reach)?;
            let publish = Publish { text, comment, if_current: None };
            match person.client.publish_policy(publish).await {
                Ok(policy) => published(&policy, reach.json)?,
                Err(CallError::Policy(problems)) => {
                    for problem in problems {
                        say!("{}:{}:{}: {}", file.display(), problem.line, problem.column, problem.message);
                    }
                    return Ok(Exit::Problem);
                }
                Err(error) => return Err(person.explain(error)),
            }
        }
        PolicyCommand::Rollback { version, comment, reach } => {
            let person = Person::connect(&reach)?;
            let policy = person.client.roll_back(version.as_deref(), &comment).await;
            published(&policy.map_err(|error| person.explain(error))?, reach.json)?;
        }
        PolicyCommand::Show { version, reach } => {
            let person = Person::connect(&reach)?;
            let policy = person.client.policy(version.as_deref()).await;
            let policy = policy.map_err(|error| person.explain(error))?;
            if reach.json {
                output::json(&value(&policy))?;
            } else {
                output::text(format_args!("{}", policy.text));
            }
        }
        PolicyCommand::Versions { reach } => {
            let person = Person::connect(&reach)?;
            let page = person.client.policies(&PageRequest::first(100)).await;
            versions(&page.map_err(|error| person.explain(error))?.items, reach.json)?;
        }
    }
    Ok(Exit::Ok)
}

fn check(file: &Path, json: bool) -> Result<Exit> {
    let text = read_text(file, POLICY_MAX)?;
    match Policy::load(&text, &wiring::schemas()) {
        Ok(policy) => {
            if json {
                output::json(&json!({ "version": policy.version(), "problems": [] }))?;
            } else {
                say!("{}: good, its tests pass; version {}", file.display(), policy.version());
            }
            Ok(Exit::Ok)
        }
        Err(errors) => {
            if json {
                let problems = errors.iter().map(
                    |error| json!({ "line": error.line, "column": error.column, "message": error.message }),
                );
                output::json(&json!({ "problems": problems.collect::<Vec<_>>() }))?;
            } else {
                for error in errors.iter() {
                    say!("{}:{error}", file.display());
                }
            }
            Ok(Exit::Problem)
        }
    }
}

/// 0 where the request would pass, at once or after approval; 1 where it is refused.
fn explain(args: &ExplainArgs) -> Result<Exit> {
    let text = read_text(&args.file, POLICY_MAX)?;
    let policy = match Policy::load(&text, &wiring::schemas()) {
        Ok(policy) => policy,
        Err(errors) => {
            for error in errors.iter() {
                say!("{}:{error}", args.file.display());
            }
            return Ok(Exit::Problem);
        }
    };
    let mut attributes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pair in &args.access {
        let (name, value) = pair.split_once('=').with_context(|| format!("`{pair}` is not name=value"))?;
        // `paths=` is a list of none.
        attributes.entry(name).or_default().extend((!value.is_empty()).then_some(value));
    }
    let action = attributes.remove("action").and_then(|actions| actions.first().copied());
    let action = action.context("`action=...` is missing: what is asked for")?;
    let access = policy.access(&args.protocol, action, attributes)?;
    let mut claims = Map::new();
    for pair in &args.claim {
        let (name, value) = pair.split_once('=').with_context(|| format!("`{pair}` is not name=value"))?;
        claims.insert(name.to_owned(), Value::String(value.to_owned()));
    }
    let (issuer, subject) = (args.issuer.clone(), args.subject.clone());
    let groups = args.who.iter().map(|who| group(&policy, who)).collect::<Result<_>>()?;
    let principal = Principal { issuer, subject, groups, claims };
    let explanation = policy.explain(&principal, &args.upstream, &access);
    if args.json {
        output::json(&explanation)?;
    } else {
        say!("{explanation}");
    }
    Ok(if explanation.ground.effect == Effect::Deny { Exit::Problem } else { Exit::Ok })
}

/// A group as the rules of a document name it.
fn group(policy: &Policy, who: &str) -> Result<String> {
    if let Some(of_token) = who.strip_prefix("group:") {
        return Ok(of_token.to_owned());
    }
    let known: Vec<_> = policy.defined_groups().map(|(name, _)| name).collect();
    if known.contains(&who) {
        return Ok(who.to_owned());
    }
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    bail!("no group `{who}` in `groups` (known: {known}); one that comes from tokens is written group:{who}")
}

fn published(policy: &PublishedPolicy, json: bool) -> Result<()> {
    if json {
        return output::json(&value(policy));
    }
    say!("in force: version {}, publication {}", policy.version, policy.revision);
    Ok(())
}

fn versions(policies: &[PublishedPolicy], json: bool) -> Result<()> {
    if json {
        return output::json(&policies.iter().map(value).collect::<Vec<_>>());
    }
    let mut table = Table::new(&["", "version", "published", "by", "comment"]);
    for policy in policies {
        table.row([
            if policy.current { "*".into() } else { policy.revision.to_string() },
            policy.version.chars().take(12).collect(),
            people::time(policy.at),
            policy.by.to_string(),
            policy.comment.clone(),
        ]);
    }
    table.print("nothing was published yet");
    Ok(())
}

fn value(policy: &PublishedPolicy) -> Value {
    json!({
        "revision": policy.revision, "version": policy.version, "text": policy.text,
        "by": policy.by.to_string(), "at": policy.at.to_string(), "comment": policy.comment,
        "current": policy.current,
    })
}
