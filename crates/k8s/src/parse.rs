//! The wire, without I/O.

pub mod info;
pub mod query;
pub mod side;
pub mod spdy;
pub mod websocket;
