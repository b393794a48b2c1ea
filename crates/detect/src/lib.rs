//! Finds and masks secrets in byte streams: fast, with bounded memory, and with the same result however the
//! stream is cut.
//!
//! A [`RuleSet`] says what a secret looks like, [`KnownValues`] holds secrets that are known exactly, and a
//! [`Masker`] rewrites one stream by both. [`MaskBody`] and [`MaskStream`] put a masker around an HTTP body
//! and a stream of bytes.
//!
//! ```
//! use lockgate_detect::{KnownValues, MaskOptions, Masker, RuleSet, TagKey};
//!
//! let known = KnownValues::new();
//! known.add("db-password", b"correct horse")?;
//!
//! let mut masker = Masker::new(&RuleSet::builtin(), &known, &TagKey::new(b"tenant"), MaskOptions::default());
//! let mut out = Vec::new();
//! masker.push("login with correct ", &mut out);
//! masker.push("horse, please\n", &mut out);
//! masker.finish(&mut out);
//!
//! assert!(out.starts_with(b"login with [MASKED:db-password:"));
//! assert_eq!(masker.findings()[0].offset, 11);
//! # Ok::<(), lockgate_detect::KnownError>(())
//! ```
//!
//! Whoever can re-encode its output defeats any masker of text. Masking by place and by known value is the
//! stronger half; patterns catch what nobody knew of.

mod adapt;
mod filter;
mod finding;
mod frames;
#[doc(hidden)]
pub mod fuzz;
mod known;
mod mask;
mod rules;
mod scan;
mod sink;
mod structure;
mod tag;

pub use self::adapt::{MaskBody, MaskStream};
pub use self::finding::{Finding, Wrapping};
pub use self::frames::{FrameError, FrameHeader, FrameMasker};
pub use self::known::{KnownError, KnownValues, MIN_VALUE};
pub use self::mask::{MaskOptions, Masker, Placeholder};
pub use self::rules::{Class, RuleError, RuleInfo, RuleSet, entropy, expand_sample};
pub use self::scan::{ScanOptions, Scanner};
pub use self::sink::{Discard, Input, Piece, Sink};
pub use self::structure::{Encoding, JsonMasker, PlaceError, Places, StructureError, YamlMasker};
pub use self::tag::{Tag, TagKey};
