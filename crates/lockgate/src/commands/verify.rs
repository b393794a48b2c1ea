//! `lockgate verify`: needs nothing but the recordings. Where a chain ends only its recorder knows: with the
//! configuration of that, its spool is asked.

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result};
use lockgate_recording::{
    Archive, ChainPart, Head, Problem, ProblemKind, Report, Scope, StoreOptions, TimeRange, open_store,
    verify_bundle,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Exit;
use crate::{cli::VerifyArgs, config::Config, output, output::say, wiring};

pub(super) async fn run(args: &VerifyArgs) -> Result<Exit> {
    let (report, open_ends) = match &args.store {
        Some(path) if path.ends_with(".lgr") => (bundle(Path::new(path))?, OpenEnds::default()),
        Some(url) => stored(args, url).await?,
        None => match configured(args).await? {
            Configured::Found(report, open_ends) => (report, open_ends),
            Configured::Nothing { waiting } => return nothing(waiting, args.json),
        },
    };
    if args.json {
        output::json(&value(&report, &open_ends))?;
    } else {
        say!("{report}");
        open_ends.print();
    }
    Ok(if report.is_intact() { Exit::Ok } else { Exit::Problem })
}

/// What there is of a gateway whose configuration is known.
enum Configured {
    Found(Report, OpenEnds),
    /// It has brought nothing to the store yet; so many bundles wait in its spool.
    Nothing {
        waiting: usize,
    },
}

fn nothing(waiting: usize, json: bool) -> Result<Exit> {
    if json {
        output::json(&json!({ "intact": true, "bundles": 0, "waiting": waiting, "problems": [] }))?;
    } else {
        say!("nothing is stored yet; bundles in the spool: {waiting}");
    }
    Ok(Exit::Ok)
}

/// Chains of which nobody here knows where they end.
#[derive(Default)]
struct OpenEnds(Vec<ChainPart>);

impl OpenEnds {
    fn of(report: &Report, head: Option<Head>) -> Self {
        let is_open = |chain: &&ChainPart| head.is_none_or(|head| head.chain != chain.chain);
        Self(report.chains.iter().filter(is_open).cloned().collect())
    }

    fn print(&self) {
        for chain in &self.0 {
            say!(
                "not covered bundles that were deleted behind number {} of chain {}: verify with the \
                 configuration of proxy {}, on its machine",
                chain.last,
                chain.chain,
                chain.proxy
            );
        }
    }
}

fn bundle(path: &Path) -> Result<Report> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    verify_bundle(BufReader::new(file)).with_context(|| format!("cannot read {}", path.display()))
}

/// A store by its URL. Its credentials come from the environment.
async fn stored(args: &VerifyArgs, url: &str) -> Result<(Report, OpenEnds)> {
    let (store, prefix) = open_store(url, &StoreOptions::default())?;
    verify(&Archive::new(store, prefix), wanted(args)?, None).await
}

/// The store of a configuration, and what its spool says of it.
async fn configured(args: &VerifyArgs) -> Result<Configured> {
    let config = Config::load(&args.config, &wiring::kinds())?;
    let spool = wiring::spool(&config);
    // First: what is recorded while the store is read comes behind it.
    let head = Head::read(&spool)?;
    let (report, open_ends) = verify(&wiring::archive(&config)?, wanted(args)?, head).await?;
    let is_empty = matches!(&*report.problems, [Problem { kind: ProblemKind::NoBundle, .. }]);
    // Without a spool it is another's configuration, or a mistyped one.
    if is_empty && head.is_none() && spool.is_dir() {
        let waiting = bundles(&spool).with_context(|| format!("cannot read {}", spool.display()))?;
        return Ok(Configured::Nothing { waiting });
    }
    Ok(Configured::Found(report, open_ends))
}

/// How many bundles are in a spool, the one that is being written among them.
fn bundles(spool: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in spool.read_dir()? {
        count += usize::from(entry?.path().extension().is_some_and(|extension| extension == "lgr"));
    }
    Ok(count)
}

async fn verify(archive: &Archive, scope: Scope, head: Option<Head>) -> Result<(Report, OpenEnds)> {
    let whole = matches!(scope, Scope::All(_));
    let report = match head {
        Some(head) if whole => archive.verify_up_to(head).await?,
        Some(_) | None => archive.verify(&scope).await?,
    };
    let open_ends = if whole { OpenEnds::of(&report, head) } else { OpenEnds::default() };
    Ok((report, open_ends))
}

fn wanted(args: &VerifyArgs) -> Result<Scope> {
    let id = |text: &str| Uuid::parse_str(text).with_context(|| format!("`{text}` is no id"));
    Ok(match (&args.exchange, &args.session) {
        (Some(exchange), _) => Scope::Exchange { exchange: id(exchange)?, location: None },
        (None, Some(session)) => Scope::Session { session: session.clone(), range: TimeRange::ALL },
        (None, None) => Scope::All(TimeRange::ALL),
    })
}

fn value(report: &Report, open_ends: &OpenEnds) -> Value {
    let open_ends = open_ends.0.iter().map(|chain| chain.chain);
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
        "repeating": report.repeating,
        "recovered": report.recovered.len(), "chains": chains.collect::<Vec<_>>(),
        "open_ends": open_ends.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(), "more_problems": report.more_problems,
    })
}
