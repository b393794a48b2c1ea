//! The wire, without I/O.

pub mod accept;
pub mod info;
mod json;
pub mod object;
pub mod patch;
mod protobuf;
pub mod query;
pub mod side;
pub mod spdy;
pub mod websocket;
mod yaml;
