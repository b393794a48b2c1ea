//! The wire, without I/O.

pub mod accept;
pub(crate) mod document;
pub mod info;
pub(crate) mod kinds;
pub mod object;
pub mod patch;
mod protobuf;
pub mod query;
pub mod side;
pub mod spdy;
pub mod websocket;
pub(crate) mod yaml;
