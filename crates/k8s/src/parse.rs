//! The wire, without I/O.

pub mod info;
pub mod query;
