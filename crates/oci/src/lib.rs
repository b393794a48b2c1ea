//! OCI distribution, understood: what a request to a registry asks for, what the images in it hold, how an
//! unmodified client is answered.

pub mod classify;
pub mod config;
pub mod credential;
pub mod facts;
pub mod parse;
pub mod scan;
pub mod signature;

mod bases;
mod body;
mod place;
mod read;
mod recent;
mod respond;
mod sbom;
mod service;
mod shared;
mod show;
mod sizes;
mod tokens;
mod uploads;

pub use bases::Base;
pub use classify::SCHEMA;
pub use config::{Config, RegistryConfig, TokenKey};
pub use credential::RegistryTokens;
pub use service::Registry;
pub use signature::{Trust, TrustError};
