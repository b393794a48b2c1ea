//! Memory does not grow with what is recorded.

use std::{fs, time::Duration};

use lockgate_recording::{Event, Outcome, Recorder};

use crate::{
    process::{Process, folder, say},
    support::{archive, config, noise, opened, verify},
};

/// The process: records a body far larger than it may take memory, reads it back and verifies it.
#[tokio::test]
#[ignore = "started by the test below"]
async fn recorder_of_a_large_body() {
    let Some(folder) = folder() else { return };
    let mut config = config(&folder);
    config.bundle_max_age = Duration::from_secs(3600);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = recorder.begin(opened()).await.unwrap();
    for _ in 0..1024 {
        exchange.append(Event::RequestData(noise(256 << 10))).await.unwrap();
    }
    let location = exchange.close(Outcome::Complete).await.unwrap();
    recorder.close().await.unwrap();
    assert!(location.bundles.len() > 28);

    let archive = archive(&config);
    let mut reader = archive.exchange(exchange.id(), Some(&location)).await.unwrap();
    let mut length = 0;
    while let Some(recorded) = reader.next().await.unwrap() {
        if let lockgate_recording::What::Event(Event::RequestData(data)) = recorded.what {
            length += data.len();
        }
    }
    assert_eq!(length, 256 << 20);
    assert!(reader.is_complete());
    assert!(verify(&archive).await.is_intact());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    say(peak.trim_end_matches("kB").trim());
}

#[test]
fn a_large_body_takes_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start("memory::recorder_of_a_large_body", directory.path(), "");
    let peak: u64 = process.heard().expect("it finished").parse().unwrap();
    assert!(peak < 80 << 10, "{peak} KiB for a body of 256 MiB");
}
