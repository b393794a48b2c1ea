//! The control plane as its users meet it: over the wire, as a proxy or as a person.

mod approvals;
mod doors;
mod policies;
mod sessions;
mod support;
mod tls;
