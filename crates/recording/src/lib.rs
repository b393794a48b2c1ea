//! Evidence of what passed a gateway: written so that a crash loses nothing that was acknowledged, kept so that
//! no byte can be changed, removed or reordered without being found.
//!
//! A [`Recorder`] takes the events of many exchanges at once and writes them into *bundles*, files of a few
//! megabytes or seconds in the `.lgr` format: protobuf records in compressed chunks, linked by a SHA-256 chain, with
//! an index at the end and their own schema at the beginning. A bundle is first a file in the *spool*, a local
//! directory, where [`ExchangeRecorder::durable`] waits for an `fdatasync` that many share; sealed, it goes to an
//! object store in one PUT that never overwrites. Each bundle names the root of the one before it, so that the
//! bundles of one spool form a chain of their own. An [`Archive`] reads exchanges back and
//! [verifies](Archive::verify) all of this.
//!
//! # What holds
//! - After [`ExchangeRecorder::durable`] or [`ExchangeRecorder::close`] has returned, no crash loses what was
//!   appended before: the next [`Recorder::open`] finds it in the spool, seals it and uploads it.
//! - What was accepted is written in the order in which it was accepted, also when the disk was full in between.
//!   What was refused is told to the caller at once, and nothing more is accepted for that exchange: a recording
//!   has no hole that it does not mention.
//! - Octets of bodies are exact. They are recorded once: a body that goes on from its beginning like another of the same
//!   day is recorded as where those octets stand, a segment of 128 KiB at a time, of which all was seen to be the same.
//!   It is read, and verified, by them; [`BundleContents::repeats`] says which bundles a bundle needs.
//! - Heads are ordered fields; [`Redactor`] puts tags in place of credentials.
//! - Memory is bounded: by [`RecorderConfig::queue_bytes`] and a few megabytes while writing, by one chunk while
//!   reading. Whoever writes faster than the disk waits.
//! - An exchange without an end is *incomplete*. Where the end of its answer is there, its client may have had all of it,
//!   and [`Event::ResponseEnd`] says how it was to end.
//!
//! Not covered by the store alone: bundles removed behind the last one of a chain, unless where it ends is known from
//! elsewhere (on the machine that records, from the spool: [`Head`]); and a recorder that lies before it writes.
//!
//! # Example
//! ```
//! use lockgate_recording::*;
//! # use std::error::Error;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (url, spool) = (format!("file://{}/store", folder.path().display()), folder.path().join("spool"));
//! let (store, prefix) = create_store(&url, &StoreOptions::default())?;
//! let config = RecorderConfig::new(spool, store.clone(), prefix.clone(), "proxy-1");
//! let (recorder, recovered) = Recorder::open(config).await?;
//! assert!(recovered.bundles.is_empty(), "nothing was left by a crash");
//!
//! let exchange = recorder
//!     .begin(ExchangeOpened {
//!         exchange: uuid::Uuid::now_v7(),
//!         session: "run-17".into(),
//!         principal: Principal { subject: "repo:acme/app".into(), ..Principal::default() },
//!         upstream: "forge".into(),
//!         protocol: "git".into(),
//!         peer: "192.0.2.7:40112".into(),
//!         started_micros: 1_767_225_600_000_000,
//!         action: Some("push".into()),
//!     })
//!     .await?;
//! exchange.append(Event::RequestData("the body".into())).await?;
//! exchange.append(Event::Forwarded).await?;
//! exchange.durable().await?;
//! // Only now does the request go to the upstream.
//! exchange.append(Event::ResponseData("the answer".into())).await?;
//! let location = exchange.close(Outcome::Complete).await?;
//! recorder.close().await?;
//!
//! let archive = Archive::new(store, prefix);
//! let mut reader = archive.exchange(exchange.id(), Some(&location)).await?;
//! while let Some(Recorded { at, what }) = reader.next().await? {
//!     println!("{at:?} {what:?}");
//! }
//! assert!(reader.is_complete());
//!
//! let report = archive.verify(&Scope::All(TimeRange::ALL)).await?;
//! println!("{report}");
//! assert!(report.is_intact());
//! # Ok(())
//! # }
//! ```
//!
//! The format is described at its source, in `format/mod.rs` and `proto/lockgate/record/v1/record.proto`.

mod archive;
mod convert;
mod digests;
mod error;
mod event;
mod fields;
mod format;
mod generated;
mod recorder;
mod sha256;
mod store;
mod verify;

pub use self::{
    archive::{
        Archive, BundleContents, BundleRef, ExchangeFault, ExchangeReader, Found, IndexedExchange, ReadError,
        TimeRange,
    },
    error::RecordError,
    event::{
        BodyDigest, Closed, Direction, Event, ExchangeOpened, Field, FieldValue, Outcome, Principal,
        Recorded, RequestHead, ResponseHead, What,
    },
    fields::Redactor,
    format::{
        chain::Link,
        fault::{Fault, FaultKind},
    },
    recorder::{
        ExchangeRecorder, Head, Location, Recorder, RecorderConfig, Recovered, RecoveredBundle,
        RecoveredExchange, Status,
    },
    sha256::Sha256,
    store::{OpenStoreError, StoreOptions, bundle_path, create_store, open_store},
    verify::{
        ChainPart, Incomplete, Problem, ProblemKind, RecoveredSeal, Report, Scope, fuzz_bundle, verify_bundle,
    },
};
