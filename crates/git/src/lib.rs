//! Git over smart HTTP, understood: what a request asks for, whether a push is forced, what
//! it brings, how an unmodified git is answered.
//!
//! [`Git`] implements [`lockgate_core::protocol::Protocol`]: fetches stream through; a push is read to
//! its end (bounded memory, then disk) before it is decided, and what was read is what is forwarded.
//! The parts are useful alone: [`pkt`] and [`parse`] do no I/O, [`report`] reads what was recorded.
//!
//! What must never be true: an update is called one that was not shown to be a fast-forward; bytes go
//! upstream that were not the ones understood; a push is held in memory.
//!
//! ```
//! use lockgate_git::parse::{Progress, PushParser};
//!
//! let (old, new) = ("1".repeat(40), "2".repeat(40));
//! let line = format!("{old} {new} refs/heads/main\0report-status side-band-64k\n");
//! let mut body = Vec::new();
//! lockgate_git::pkt::write(&mut body, line.as_bytes());
//! body.extend_from_slice(b"0000PACK...");
//!
//! // As it comes from the network, in pieces.
//! let mut parser = PushParser::new(10, 4096);
//! assert_eq!(parser.feed(&body[..7])?, Progress::Incomplete);
//! let Progress::Complete { consumed } = parser.feed(&body[7..])? else { panic!() };
//! assert_eq!(&body[7 + consumed..], b"PACK...");
//!
//! let push = parser.finish()?;
//! assert_eq!(push.commands[0].name, "refs/heads/main");
//! assert!(push.capabilities.has("side-band-64k"));
//! # Ok::<(), lockgate_git::parse::ParseError>(())
//! ```

pub mod classify;
pub mod config;
pub mod facts;
pub mod lfs;
pub mod oid;
pub mod parse;
pub mod pkt;
pub mod refname;
pub mod report;
pub mod route;

mod advertise;
mod ancestry;
mod ask;
mod dav;
mod gzip;
mod inspect;
mod pack;
mod refs;
mod respond;
mod service;
#[cfg(test)]
mod testing;
mod work;

pub use classify::SCHEMA;
pub use config::{Config, DavConfig, InspectConfig, LfsConfig};
#[doc(hidden)]
pub use dav::fuzz_dav_refs;
#[doc(hidden)]
pub use inspect::{fuzz_objects, fuzz_pack, measure_pack};
#[doc(hidden)]
pub use lfs::parse::fuzz_lfs;
pub use pack::{Commit, PackError, Person};
#[doc(hidden)]
pub use pack::{fuzz_inflate, fuzz_loose};
#[doc(hidden)]
pub use parse::fetch::fuzz_fetch;
#[doc(hidden)]
pub use parse::fuzz_push;
#[doc(hidden)]
pub use pkt::fuzz_pkt;
#[doc(hidden)]
pub use refs::fuzz_refs;
#[doc(hidden)]
pub use report::fuzz_report;
pub use service::Git;
