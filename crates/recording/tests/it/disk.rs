//! A disk that is full refuses exchanges, loses nothing, and is used again when it has room.

use std::process::Command;

use lockgate_recording::{Event, Outcome, RecordError, Recorder, Status, What};

use crate::{
    process::{Process, folder, say},
    support::{archive, config, noise, opened, read, record, until, verify},
};

/// The process: its files may not grow over a limit, which is the same to it as a full disk.
#[tokio::test]
#[ignore = "started by the test below"]
async fn tenant() {
    let Some(folder) = folder() else { return };
    let config = config(&folder);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let before = record(&recorder, "fits").await;
    let exchange = recorder.begin(opened()).await.unwrap();
    let silent = recorder.begin(opened()).await.unwrap();
    let mut durable = 0;
    let refused = loop {
        let recorded = exchange.append(Event::RequestData(noise(50_000))).await;
        match recorded.and(exchange.durable().await) {
            Ok(()) => durable += 1,
            Err(error) => break error,
        }
    };
    assert_full(&refused);
    assert!(matches!(recorder.status(), Status::Failing { .. }));
    assert!(matches!(recorder.begin(opened()).await, Err(RecordError::Failing { .. })));
    assert!(matches!(exchange.append(Event::Forwarded).await, Err(RecordError::Failing { .. })));
    assert!(matches!(silent.durable().await, Ok(()) | Err(RecordError::Failing { .. })));
    assert!(matches!(silent.close(Outcome::Refused).await, Err(RecordError::Failing { .. })));
    say("full");

    until("room on the disk", async || recorder.status() == Status::Ok).await;
    assert!(matches!(exchange.append(Event::Forwarded).await, Err(RecordError::Interrupted)));
    exchange.close(Outcome::Failed("no room".into())).await.unwrap();
    let after = record(&recorder, "room again").await;
    recorder.close().await.unwrap();

    let archive = archive(&config);
    let report = verify(&archive).await;
    assert!(report.is_intact() && report.complete == 4 && report.incomplete.is_empty(), "{report}");
    assert_eq!((read(&archive, before).await.len(), read(&archive, after).await.len()), (3, 3));
    assert_eq!(read(&archive, silent.id()).await.len(), 2);
    let events = read(&archive, exchange.id()).await;
    let data = events.iter().filter(|r| matches!(r.what, What::Event(Event::RequestData(_)))).count();
    assert!(data > durable, "what was accepted before the refusal was written later");
    assert!(matches!(events[events.len() - 2].what, What::Event(Event::Gap { .. })), "the hole is told");
    say("well");
}

/// As above, and nobody waits for the disk before it is full.
#[tokio::test]
#[ignore = "started by the test below"]
async fn hasty_tenant() {
    let Some(folder) = folder() else { return };
    let config = config(&folder);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = recorder.begin(opened()).await.unwrap();
    let mut accepted = Vec::new();
    let refused = loop {
        let data = noise(50_000);
        match exchange.append(Event::RequestData(data.clone())).await {
            Ok(()) => accepted.extend_from_slice(&data),
            Err(error) => break error,
        }
    };
    assert_full(&refused);
    assert!(matches!(exchange.durable().await, Err(RecordError::Failing { .. })));
    say("full");

    until("room on the disk", async || recorder.status() == Status::Ok).await;
    exchange.close(Outcome::Failed("no room".into())).await.unwrap();
    recorder.close().await.unwrap();
    let archive = archive(&config);
    let report = verify(&archive).await;
    assert!(report.is_intact() && report.complete == 1 && report.incomplete.is_empty(), "{report}");
    let mut found = Vec::new();
    for recorded in read(&archive, exchange.id()).await {
        if let What::Event(Event::RequestData(data)) = recorded.what {
            found.extend_from_slice(&data);
        }
    }
    assert!(found == accepted, "{} bytes were accepted, {} are there", accepted.len(), found.len());
    say("well");
}

fn assert_full(refused: &RecordError) {
    let is_full = matches!(refused, RecordError::Failing { reason } if reason.contains("File too large"));
    assert!(is_full, "{refused}");
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    fills_up("disk::tenant");
}

#[test]
fn what_nobody_waited_for_is_written_when_the_disk_has_room_again() {
    fills_up("disk::hasty_tenant");
}

fn fills_up(tenant: &str) {
    let directory = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes. The signal is what comes before the error, where it is not ignored.
    let mut tenant = Process::start(tenant, directory.path(), "trap '' XFSZ; ulimit -S -f 1000;");
    assert_eq!(tenant.heard().as_deref(), Some("full"));
    let id = tenant.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status().unwrap().success());
    assert_eq!(tenant.heard().as_deref(), Some("well"));
}
