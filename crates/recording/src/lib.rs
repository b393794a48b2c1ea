//! Evidence of what passed a gateway.
mod convert;
mod error;
mod event;
mod fields;
mod format;
mod generated;
mod recorder;
mod store;

pub use self::{
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
};
