//! JSON patch, RFC 6902, with the pointers of RFC 6901.
//!
//! Stricter than the API server's library, which also takes negative and zero-padded indices and paths that do
//! not begin with a slash: each of those means something else to another reader.

use lockgate_core::json::MAX_VALUES;
use serde_json::{Map, Value};

use super::super::object::ObjectError;
use super::MAX_DEPTH;

/// As many as the API server takes.
const MAX_OPERATIONS: usize = 10_000;

/// What copies may add in all, in bytes of text: as much as the API server's largest body.
const MAX_COPIED: usize = 3 << 20;

/// A patch is not one, or does not apply to the object; the client is at fault. No variant holds content.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// Not to be read.
    #[error("the patch can't be read")]
    Object(#[from] ObjectError),
    /// Not of the form of a JSON patch; in which operation, and why.
    #[error("operation {0} of the JSON patch has {1}")]
    Operation(usize, &'static str),
    /// Too many operations, or copies that grow without bound.
    #[error("the patch makes too much")]
    TooMuch,
    /// A place that is not there, or a test that fails; in which operation.
    #[error("operation {0} of the JSON patch does not apply")]
    DoesNotApply(usize),
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Puts a value.
    Add,
    /// Takes a value out.
    Remove,
    /// Puts a value in the place of another.
    Replace,
    /// Puts a value from elsewhere in the object, and takes it out there.
    Move,
    /// Puts a value from elsewhere in the object.
    Copy,
    /// Tells whether a value is in the object.
    Test,
}

/// An operation, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    /// What it does.
    pub kind: OpKind,
    /// Where: the parts of the pointer.
    pub path: &'a [String],
    /// From where, of a move and a copy.
    pub from: Option<&'a [String]>,
}

#[derive(Clone, Debug)]
pub(super) struct Operation {
    kind: OpKind,
    path: Vec<String>,
    from: Vec<String>,
    value: Value,
}

impl Operation {
    pub(super) fn op(&self) -> Op<'_> {
        let from = matches!(self.kind, OpKind::Move | OpKind::Copy).then_some(&self.from[..]);
        Op { kind: self.kind, path: &self.path, from }
    }
}

/// Reads the operations of a patch.
pub(super) fn operations(patch: Value) -> Result<Vec<Operation>, PatchError> {
    let Value::Array(list) = patch else { return Err(PatchError::Operation(0, "no list around it")) };
    if list.len() > MAX_OPERATIONS {
        return Err(PatchError::TooMuch);
    }
    list.into_iter()
        .enumerate()
        .map(|(at, value)| operation(value).map_err(|reason| PatchError::Operation(at, reason)))
        .collect()
}

fn operation(value: Value) -> Result<Operation, &'static str> {
    let Value::Object(mut members) = value else { return Err("another form than an object") };
    let kind = match members.get("op").and_then(Value::as_str) {
        Some("add") => OpKind::Add,
        Some("remove") => OpKind::Remove,
        Some("replace") => OpKind::Replace,
        Some("move") => OpKind::Move,
        Some("copy") => OpKind::Copy,
        Some("test") => OpKind::Test,
        Some(_) | None => return Err("no `op` that is known"),
    };
    let path = pointer(members.get("path"))?;
    let (mut from, mut value) = (Vec::new(), Value::Null);
    match kind {
        OpKind::Move | OpKind::Copy => from = pointer(members.get("from"))?,
        OpKind::Add | OpKind::Replace | OpKind::Test => {
            value = members.remove("value").ok_or("no `value`")?
        }
        OpKind::Remove => {}
    }
    if kind == OpKind::Move && path.len() > from.len() && path.starts_with(&from) {
        return Err("a place within the one that it moves");
    }
    Ok(Operation { kind, path, from, value })
}

fn pointer(value: Option<&Value>) -> Result<Vec<String>, &'static str> {
    let text = value.and_then(Value::as_str).ok_or("no pointer")?;
    // The whole object is read differently by different servers, and nobody patches it.
    let parts = text.strip_prefix('/').ok_or("a pointer that does not begin with a slash")?;
    let parts: Vec<String> =
        parts.split('/').map(unescape).collect::<Option<_>>().ok_or("a pointer with a lone `~`")?;
    if parts.len() > MAX_DEPTH { Err("a pointer that is too deep") } else { Ok(parts) }
}

fn unescape(part: &str) -> Option<String> {
    let is_escaped = part.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    is_escaped.then(|| part.replace("~1", "/").replace("~0", "~"))
}

/// Applies all operations, or none.
pub(super) fn apply(operations: &[Operation], mut object: Value) -> Result<Value, PatchError> {
    let mut copied = 0;
    for (at, operation) in operations.iter().enumerate() {
        let done = step(operation, &mut object, &mut copied);
        done.map_err(|fault| match fault {
            Fault::Missing => PatchError::DoesNotApply(at),
            Fault::TooMuch => PatchError::TooMuch,
        })?;
    }
    Ok(object)
}

enum Fault {
    Missing,
    TooMuch,
}

fn step(operation: &Operation, object: &mut Value, copied: &mut usize) -> Result<(), Fault> {
    let path = &operation.path;
    match operation.kind {
        OpKind::Add => add(object, path, operation.value.clone()),
        OpKind::Remove => remove(object, path).map(drop),
        OpKind::Replace => {
            *get(object, path)? = operation.value.clone();
            Ok(())
        }
        OpKind::Move => {
            let value = remove(object, &operation.from)?;
            add(object, path, value)
        }
        OpKind::Copy => {
            let value = get(object, &operation.from)?;
            *copied += size(value);
            if *copied > MAX_COPIED {
                return Err(Fault::TooMuch);
            }
            let value = value.clone();
            add(object, path, value)
        }
        OpKind::Test => {
            if *get(object, path)? == operation.value {
                Ok(())
            } else {
                Err(Fault::Missing)
            }
        }
    }
}

fn get<'a>(object: &'a mut Value, path: &[String]) -> Result<&'a mut Value, Fault> {
    path.iter().try_fold(object, |value, part| {
        let found = match value {
            Value::Object(object) => object.get_mut(part),
            Value::Array(list) => index(part, list.len()).and_then(|at| list.get_mut(at)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        found.ok_or(Fault::Missing)
    })
}

fn parent<'a, 'p>(object: &'a mut Value, path: &'p [String]) -> Result<(&'a mut Value, &'p str), Fault> {
    let (last, path) = path.split_last().ok_or(Fault::Missing)?;
    Ok((get(object, path)?, last))
}

fn add(object: &mut Value, path: &[String], value: Value) -> Result<(), Fault> {
    if path.len() + depth(&value) > MAX_DEPTH {
        return Err(Fault::TooMuch);
    }
    let (parent, last) = parent(object, path)?;
    match parent {
        Value::Object(object) => {
            object.insert(last.to_owned(), value);
            Ok(())
        }
        Value::Array(list) => {
            let at = if last == "-" { Some(list.len()) } else { index(last, list.len() + 1) };
            list.insert(at.ok_or(Fault::Missing)?, value);
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(Fault::Missing),
    }
}

fn remove(object: &mut Value, path: &[String]) -> Result<Value, Fault> {
    let (parent, last) = parent(object, path)?;
    match parent {
        Value::Object(object) => object.remove(last).ok_or(Fault::Missing),
        Value::Array(list) => index(last, list.len()).map(|at| list.remove(at)).ok_or(Fault::Missing),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(Fault::Missing),
    }
}

/// An index below `end`, without leading zeros.
fn index(part: &str, end: usize) -> Option<usize> {
    let is_canonical = part == "0" || !part.starts_with(['0', '+', '-']);
    part.parse().ok().filter(|&at| is_canonical && at < end)
}

/// About the bytes of a value's text, and no less than its values.
fn size(value: &Value) -> usize {
    let members = |object: &Map<String, Value>| {
        object.iter().map(|(name, value)| name.len() + MAX_COPIED / MAX_VALUES + size(value)).sum::<usize>()
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 12,
        Value::String(text) => 12 + text.len(),
        Value::Array(list) => 12 + list.iter().map(size).sum::<usize>(),
        Value::Object(object) => 12 + members(object),
    }
}

/// Levels of a value.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
    }
}
