//! The control plane: policy, approvals, the session index and the audit over gRPC; its server and its
//! clients, for proxies and for people.
//!
//! [`server::Control`] serves a [`store::Store`]. A proxy speaks to it by [`client::ControlClient`], in the same
//! process through memory or from another by TLS; people by [`people::Client`]. Every RPC goes through one door
//! that knows who calls, and what may be called by whom stands in one table ([`roles`]).
//!
//! What must never be true: an approval without its people, or used twice; a policy in force that does not
//! load; an administrative act that is not in the audit; a pass because the control plane is away.

mod call;
mod convert;
mod force;
mod guard;
#[cfg(test)]
mod samples;
mod services;
mod status;

pub mod client;
pub mod model;
pub mod operator;
pub mod people;
pub mod roles;
pub mod server;
pub mod store;
pub mod transport;

pub use call::CallError;
pub use convert::WrongField;
