//! What an object will be after a patch.
//!
//! JSON patch (RFC 6902) and merge patch (RFC 7386) are computed exactly. What strategic merge and server-side
//! apply make of an object depends on its schema and on who owns which field; of those only this much is said,
//! that nothing is in the result which is neither in the object nor in the patch.

mod json_patch;

use http::HeaderValue;
use lockgate_core::json;
use serde_json::{Map, Value};

use super::object::{ObjectError, media_type};
use super::yaml;
use crate::facts::{Detector, Facts};

pub use self::json_patch::{Op, OpKind, PatchError};

/// Levels that a patched object may have, so that no patch makes what cannot be walked.
const MAX_DEPTH: usize = 256;

/// The kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`: server-side apply.
    Apply,
}

impl PatchKind {
    /// By a `Content-Type`; none for those that cannot be understood, CBOR among them.
    #[must_use]
    pub fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        match media_type(content_type?)?.as_str() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// A patch that was read.
#[derive(Clone, Debug)]
pub struct Patch(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Json(Vec<json_patch::Operation>),
    Merge(Value),
    Union(Value),
}

/// What an object will be.
#[derive(Clone, Debug, PartialEq)]
pub enum Patched {
    /// Exactly this.
    Exactly(Value),
    /// Nothing that is in neither of these two: the present object and the patch.
    AtMost(Value, Value),
}

impl Patched {
    /// The facts of what it will be; more than those where it is not known exactly, and never less.
    #[must_use]
    pub fn facts(&self, detector: &Detector) -> Facts {
        match self {
            Self::Exactly(value) => Facts::of_whole(value, detector),
            Self::AtMost(present, patch) => {
                Facts::of_whole(present, detector).or(Facts::of_whole(patch, detector))
            }
        }
    }
}

impl Patch {
    /// Reads a patch, whose size the caller has bounded.
    ///
    /// # Errors
    /// [`PatchError`]: the client is at fault.
    pub fn read(body: &[u8], kind: PatchKind) -> Result<Self, PatchError> {
        let value = match kind {
            PatchKind::Json | PatchKind::Merge | PatchKind::Strategic => {
                json::read(body).map_err(ObjectError::Json)?
            }
            PatchKind::Apply => yaml::read(body).map_err(ObjectError::Yaml)?,
        };
        if kind == PatchKind::Json {
            return Ok(Self(Inner::Json(json_patch::operations(value)?)));
        }
        if !value.is_object() {
            return Err(ObjectError::NoObject.into());
        }
        Ok(Self(match kind {
            PatchKind::Json | PatchKind::Merge => Inner::Merge(value),
            PatchKind::Strategic | PatchKind::Apply => Inner::Union(value),
        }))
    }

    /// The operations of a JSON patch, on which places; none of the other kinds.
    pub fn ops(&self) -> impl Iterator<Item = Op<'_>> {
        let operations = match &self.0 {
            Inner::Json(operations) => operations.as_slice(),
            Inner::Merge(_) | Inner::Union(_) => &[],
        };
        operations.iter().map(json_patch::Operation::op)
    }

    /// The patch itself as an object; none of a JSON patch.
    #[must_use]
    pub fn object(&self) -> Option<&Value> {
        match &self.0 {
            Inner::Json(_) => None,
            Inner::Merge(value) | Inner::Union(value) => Some(value),
        }
    }

    /// Without the tests of a JSON patch: that they hold is for the upstream to say, and for nobody else to hear.
    #[must_use]
    pub fn without_tests(mut self) -> Self {
        if let Inner::Json(operations) = &mut self.0 {
            operations.retain(|operation| operation.op().kind != OpKind::Test);
        }
        self
    }

    /// What `present` will be. For server-side apply of an object that is not there, `present` is null.
    ///
    /// # Errors
    /// [`PatchError`]: the patch does not apply, or makes something too large.
    pub fn apply(&self, present: Value) -> Result<Patched, PatchError> {
        match &self.0 {
            Inner::Json(operations) => json_patch::apply(operations, present).map(Patched::Exactly),
            Inner::Merge(patch) => {
                let mut merged = present;
                merge(&mut merged, patch);
                Ok(Patched::Exactly(merged))
            }
            Inner::Union(patch) => Ok(Patched::AtMost(present, patch.clone())),
        }
    }
}

/// RFC 7386, section 2. The depth of `patch` was bounded when it was parsed.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Takes any patch on any object, which stay bounded. For fuzzing: a first byte for the kind, the patch, a zero
/// byte, the object.
#[doc(hidden)]
pub fn fuzz_patch(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let kind =
        [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic, PatchKind::Apply][usize::from(kind & 3)];
    let (patch, object) =
        data.iter().position(|&byte| byte == 0).map_or((data, &b"{}"[..]), |at| data.split_at(at));
    let Ok(present) = json::read(object.strip_prefix(b"\0").unwrap_or(object)) else { return };
    let Ok(patch) = Patch::read(patch, kind) else { return };
    let Ok(patched) = patch.apply(present) else { return };
    match &patched {
        Patched::Exactly(value) => assert!(json_patch::depth(value) <= 2 * MAX_DEPTH),
        Patched::AtMost(_, more) => assert_eq!(Some(more), patch.object()),
    }
    let _ = patched.facts(&Detector::default());
}

#[cfg(test)]
mod tests;
