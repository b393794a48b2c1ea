//! The wire, without I/O: addresses, names, challenges, links, manifests.

pub mod challenge;
pub mod link;
pub mod manifest;
pub mod name;
pub mod route;
