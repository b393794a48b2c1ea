//! `lockgate verify`: needs nothing but the recordings.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::{Context as _, Result};
use lockgate_recording::{Archive, Report, Scope, StoreOptions, TimeRange, open_store, verify_bundle};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Exit;
use crate::{cli::VerifyArgs, config::Config, output, output::say, wiring};

pub(super) async fn run(args: &VerifyArgs) -> Result<Exit> {
    let report = match &args.store {
        Some(path) if path.ends_with(".lgr") => bundle(Path::new(path))?,
        store => archive(args, store.as_deref())?.verify(&wanted(args)?).await?,
    };
    if args.json {
        output::json(&value(&report))?;
    } else {
        say!("{report}");
    }
    Ok(if report.is_intact() { Exit::Ok } else { Exit::Problem })
}

fn bundle(path: &Path) -> Result<Report> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    verify_bundle(BufReader::new(file)).with_context(|| format!("cannot read {}", path.display()))
}

fn archive(args: &VerifyArgs, store: Option<&str>) -> Result<Archive> {
    match store {
        // The credentials of a store that no configuration names come from the environment.
        Some(store) => {
            let (store, prefix) = open_store(store, &StoreOptions::default())?;
            Ok(Archive::new(store, prefix))
        }
        None => wiring::archive(&Config::load(&args.config, &wiring::kinds())?),
    }
}

fn wanted(args: &VerifyArgs) -> Result<Scope> {
    let id = |text: &str| Uuid::parse_str(text).with_context(|| format!("`{text}` is no id"));
    Ok(match (&args.exchange, &args.session) {
        (Some(exchange), _) => Scope::Exchange { exchange: id(exchange)?, location: None },
        (None, Some(session)) => Scope::Session { session: session.clone(), range: TimeRange::ALL },
        (None, None) => Scope::All(TimeRange::ALL),
    })
}

fn value(report: &Report) -> Value {
    let problems = report.problems.iter().map(|problem| {
        json!({ "bundle": problem.bundle, "exchange": problem.exchange, "what": problem.kind.to_string() })
    });
    let chains = report.chains.iter().map(|chain| {
        json!({
            "chain": chain.chain, "proxy": chain.proxy, "first": chain.first, "last": chain.last,
            "root": chain.root.map(|root| root.to_string()),
        })
    });
    let incomplete =
        report.incomplete.iter().map(|it| json!({ "exchange": it.exchange, "session": it.session }));
    json!({
        "intact": report.is_intact(), "bundles": report.bundles, "records": report.records,
        "bytes": report.bytes, "complete": report.complete,
        "incomplete": incomplete.collect::<Vec<_>>(), "unchecked": report.unchecked,
        "recovered": report.recovered.len(), "chains": chains.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(), "more_problems": report.more_problems,
    })
}
