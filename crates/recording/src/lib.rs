//! Evidence of what passed a gateway.
mod archive;
mod convert;
mod digests;
mod error;
mod event;
mod fields;
mod format;
mod generated;
mod recorder;
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
        ExchangeRecorder, Location, Recorder, RecorderConfig, Recovered, RecoveredBundle, RecoveredExchange,
        Status,
    },
    store::{OpenStoreError, StoreOptions, bundle_path, open_store},
    verify::{
        ChainPart, Incomplete, Problem, ProblemKind, RecoveredSeal, Report, Scope, fuzz_bundle, verify_bundle,
    },
};
