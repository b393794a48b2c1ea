//! The Kubernetes API, understood: what a request asks for, what its objects hold, how an unmodified client is
//! answered.

pub mod config;
pub mod parse;

pub use config::Config;
