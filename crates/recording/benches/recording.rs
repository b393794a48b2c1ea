//! What recording costs: acknowledged exchanges, large bodies, and verification.

use std::{hint::black_box, sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lockgate_recording::{
    Archive, Event, ExchangeOpened, Outcome, Principal, Recorder, RecorderConfig, Scope, TimeRange,
};
use object_store::{memory::InMemory, path::Path};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The size of a large body.
const BODY: usize = 16 << 20;

fn opened() -> ExchangeOpened {
    ExchangeOpened {
        exchange: Uuid::now_v7(),
        session: "session-1".into(),
        principal: Principal { subject: "repo:acme/app".into(), ..Principal::default() },
        upstream: "forge".into(),
        protocol: "git".into(),
        peer: "127.0.0.1:4711".into(),
        started_micros: 0,
        action: None,
    }
}

async fn exchange(recorder: Recorder, body: Bytes, pieces: usize) {
    let exchange = recorder.begin(opened()).await.expect("recorded");
    exchange.durable().await.expect("recorded");
    for _ in 0..pieces {
        exchange.append(Event::RequestData(body.clone())).await.expect("recorded");
    }
    exchange.close(Outcome::Complete).await.expect("recorded");
}

fn recorder(runtime: &Runtime, folder: &std::path::Path) -> (Recorder, Archive) {
    let store = Arc::new(InMemory::new());
    let config = RecorderConfig::new(folder, store.clone(), Path::default(), "bench");
    let (recorder, _) = runtime.block_on(Recorder::open(config)).expect("a recorder");
    (recorder, Archive::new(store, Path::default()))
}

fn recording(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let json = Bytes::from(br#"{"kind":"Pod","metadata":{"name":"app-7f9c"}},"#.repeat(70));
    let mut noise = vec![0; 64 << 10];
    aws_lc_rs::rand::fill(&mut noise).expect("random bytes");
    let noise = Bytes::from(noise);

    let mut group = criterion.benchmark_group("recording");
    // Everything recorded stays in memory: few and short rounds.
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for clients in [1, 64, 256] {
        let folder = tempfile::tempdir().expect("a folder");
        let (recorder, _) = recorder(&runtime, folder.path());
        group.throughput(Throughput::Elements(clients));
        group.bench_function(format!("two durable points of an exchange, {clients} clients"), |bencher| {
            bencher.iter(|| {
                let clients =
                    (0..clients).map(|_| runtime.spawn(exchange(recorder.clone(), json.clone(), 1)));
                runtime.block_on(futures::future::join_all(clients.collect::<Vec<_>>()));
            });
        });
        runtime.block_on(recorder.close()).expect("closed");
    }
    for (name, body) in [("noise", noise), ("JSON", Bytes::from(json.repeat(20)))] {
        let folder = tempfile::tempdir().expect("a folder");
        let (recorder, archive) = recorder(&runtime, folder.path());
        let pieces = BODY / body.len();
        group.throughput(Throughput::Bytes(BODY as u64));
        group.bench_function(format!("a body of 16 MiB of {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(exchange(recorder.clone(), body.clone(), pieces)));
        });
        runtime.block_on(recorder.close()).expect("closed");
        let verify = || runtime.block_on(archive.verify(&Scope::All(TimeRange::ALL))).expect("readable");
        let raw: u64 = verify().complete * BODY as u64;
        group.throughput(Throughput::Bytes(raw));
        group.bench_function(format!("verify {name}"), |bencher| bencher.iter(|| black_box(verify())));
    }
    group.finish();
}

criterion_group!(benches, recording);
criterion_main!(benches);
