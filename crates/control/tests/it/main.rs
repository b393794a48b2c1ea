//! The control plane as its users meet it: over the wire, as a proxy or as a person.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod approvals;
mod doors;
mod leaving;
mod policies;
mod sessions;
mod support;
mod tls;
