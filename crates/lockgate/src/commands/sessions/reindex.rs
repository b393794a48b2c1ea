//! `lockgate sessions reindex`: the index is rebuilt from the recordings, as far as it lacks something.

use std::time::SystemTime;

use anyhow::Result;
use lockgate_control::CallError;
use lockgate_recording::{Archive, TimeRange};
use serde_json::json;
use uuid::Uuid;

use super::super::Exit;
use crate::{
    cli::Reach,
    entries,
    output::{self, say},
    people::{self, Person},
};

/// What became of the exchanges.
#[derive(Default)]
struct Done {
    known: u64,
    added: u64,
    /// Exchanges and bundles that can't be read, with the reason.
    unreadable: Vec<(Uuid, String)>,
}

pub(super) async fn run(since: Option<&str>, reach: &Reach) -> Result<Exit> {
    let person = Person::connect(reach)?;
    let archive = person.archive_here()?;
    let from = since.map(people::parse_time).transpose()?;
    let from = from.map(SystemTime::try_from).transpose()?;
    let found = archive.exchanges(TimeRange { from, to: None }).await?;
    let damaged = found.damaged.into_iter().map(|bundle| (bundle, "its index is damaged".to_owned()));
    let mut done = Done { unreadable: damaged.collect(), ..Done::default() };
    for (exchange, bundles) in found.exchanges {
        done.exchange(&person, &archive, exchange, &bundles).await?;
    }
    done.print(reach.json)?;
    Ok(if done.unreadable.is_empty() { Exit::Ok } else { Exit::Problem })
}

impl Done {
    async fn exchange(
        &mut self,
        person: &Person,
        archive: &Archive,
        exchange: Uuid,
        bundles: &[Uuid],
    ) -> Result<()> {
        match person.client.entry(&exchange.to_string()).await {
            Ok(_) => {
                self.known += 1;
                return Ok(());
            }
            Err(CallError::NotFound(_)) => {}
            Err(error) => return Err(person.explain(error)),
        }
        match entries::read(archive, exchange, bundles).await {
            Ok(Some(entry)) => {
                person.client.restore_entry(entry).await.map_err(|error| person.explain(error))?;
                self.added += 1;
            }
            Ok(None) => self.unreadable.push((exchange, "its beginning is not in the store".into())),
            Err(error) => self.unreadable.push((exchange, format!("{error:#}"))),
        }
        Ok(())
    }

    fn print(&self, json: bool) -> Result<()> {
        if json {
            let unreadable = self.unreadable.iter().map(|(id, reason)| json!({ "id": id, "reason": reason }));
            return output::json(&json!({
                "known": self.known, "added": self.added, "unreadable": unreadable.collect::<Vec<_>>(),
            }));
        }
        say!("{} added, {} were there already", self.added, self.known);
        for (id, reason) in &self.unreadable {
            say!("can't be read: {id}: {reason}");
        }
        Ok(())
    }
}
