//! Masking by place: in JSON and YAML, values are masked by their path or their key, whatever they look like,
//! and everything else passes through a text [`Masker`](crate::Masker) as it is.
//!
//! Documents are never built: memory does not grow with their size, and nesting costs a bit per level. What
//! cannot be read for certain ends in an error, after which nothing is written.

mod flow;
mod json;
mod places;
mod value;
mod yaml;

pub use self::json::JsonMasker;
pub use self::places::{Encoding, PlaceError, Places};
pub use self::yaml::YamlMasker;

/// A document cannot be masked by place. Whoever wrote the document is at fault; it must not be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// Not JSON or YAML, or what two readers could read in two ways.
    #[error("malformed document at byte {0}")]
    Malformed(u64),
    /// Nested deeper than is tracked.
    #[error("document nested too deep at byte {0}")]
    TooDeep(u64),
    /// YAML that is not masked: aliases and complex keys, which put a value elsewhere than where it stands.
    #[error("unsupported construct at byte {0}")]
    Unsupported(u64),
    /// The stream ended within a document.
    #[error("the document ended at byte {0} before its end")]
    Incomplete(u64),
}
