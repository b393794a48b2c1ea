//! The Kubernetes API, understood: what a request asks for, what its objects hold, how an unmodified client is
//! answered.

pub mod classify;
pub mod config;
pub mod facts;
pub mod guard;
pub mod identity;
pub mod mask;
pub mod parse;
pub mod stream;
pub mod upgrade;

mod ask;
mod begin;
mod body;
mod content;
mod dialect;
mod log;
mod respond;
mod service;
mod sessions;
mod show;
mod warning;

pub use classify::SCHEMA;
pub use config::Config;
pub use service::Kubernetes;
