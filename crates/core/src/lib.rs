//! The vocabulary of lockgate and the pipeline every request goes through.
//!
//! The words (principal, session, access, verdict, obligation, approval) are plain types that need
//! neither a client nor a server; [`pipeline`] puts the layers that move bytes on top of them, in an
//! order that is written once. A protocol crate implements [`protocol::Protocol`] and nothing else.
//!
//! What must never be true: a request reaches an upstream without a [`verdict::Permit`], which only
//! [`policy`] can make; or before its bytes and its verdict are durable in the recording.

pub mod access;
pub mod approval;
pub mod authn;
pub mod body;
pub mod client;
pub mod credential;
pub mod exchange;
pub mod index;
pub mod json;
pub mod layers;
pub mod origin;
pub mod pipeline;
pub mod policy;
pub mod principal;
pub mod protocol;
pub mod refusal;
pub mod secret;
pub mod spool;
pub mod step;
pub mod text;
pub mod upgrade;
pub mod upstream;
pub mod verdict;

mod web;

#[cfg(test)]
mod testing;
