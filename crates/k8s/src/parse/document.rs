//! JSON as the places at which its values stand in the text, so that some of them can be written anew and every
//! other byte stays as it is.

use std::borrow::Cow;
use std::ops::Range;

/// Levels; the API server writes far fewer.
const MAX_DEPTH: usize = 512;

/// Values in one document, at 32 bytes each.
const MAX_NODES: usize = 1 << 19;

/// Bytes of text for each value of an ordinary object, with its key.
const TEXT_OF_A_VALUE: usize = 24;

/// A text is not JSON, or too much of it; whoever wrote it is at fault. Where, by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON.
    #[error("malformed JSON at byte {0}")]
    Malformed(usize),
    /// Nested too deep.
    #[error("JSON nested too deep at byte {0}")]
    TooDeep(usize),
    /// Too many values.
    #[error("too many JSON values at byte {0}")]
    TooMany(usize),
}

/// A JSON text and its values, in the order of the text: a value's number is less than those within it.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a [u8],
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    shape: Shape,
    start: u32,
    end: u32,
    key: Key,
    parent: u32,
    /// The number after the last value within it.
    next: u32,
}

/// Where a key stands, within the quotes; nothing for an element.
#[derive(Clone, Copy, Debug, Default)]
struct Key {
    start: u32,
    end: u32,
    is_escaped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    String,
    /// A number, a truth value or null.
    Scalar,
}

impl<'a> Document<'a> {
    /// Reads one JSON text of less than 4 GiB, and white space around it.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, DocumentError> {
        let nodes = Vec::with_capacity(text.len().min(MAX_NODES) / TEXT_OF_A_VALUE);
        let mut parser = Parser { text, at: 0, nodes, open: Vec::new() };
        parser.run()?;
        Ok(Self { text, nodes: parser.nodes })
    }

    /// How many values there are; the first is the whole document.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn shape(&self, node: usize) -> Shape {
        self.nodes[node].shape
    }

    /// Where the value stands in the text.
    pub(crate) fn range(&self, node: usize) -> Range<usize> {
        self.nodes[node].start as usize..self.nodes[node].end as usize
    }

    /// What the value is in the text.
    pub(crate) fn raw(&self, node: usize) -> &'a [u8] {
        &self.text[self.range(node)]
    }

    pub(crate) fn parent(&self, node: usize) -> Option<usize> {
        (node > 0).then(|| self.nodes[node].parent as usize)
    }

    /// The number of the value after this one and everything within it.
    pub(crate) fn next(&self, node: usize) -> usize {
        self.nodes[node].next as usize
    }

    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let end = self.next(node);
        let first = (node + 1 < end).then_some(node + 1);
        std::iter::successors(first, move |&child| Some(self.next(child)).filter(|&next| next < end))
    }

    /// The key of a member; empty for an element.
    pub(crate) fn key(&self, node: usize) -> Cow<'a, str> {
        let Key { start, end, .. } = self.nodes[node].key;
        unescaped(&self.text[start as usize..end as usize])
    }

    pub(crate) fn has_key(&self, node: usize, key: &str) -> bool {
        let Key { start, end, is_escaped } = self.nodes[node].key;
        let raw = &self.text[start as usize..end as usize];
        raw == key.as_bytes() || (is_escaped && unescaped(raw) == key)
    }

    pub(crate) fn member(&self, node: usize, key: &str) -> Option<usize> {
        if self.shape(node) != Shape::Object {
            return None;
        }
        self.children(node).find(|&child| self.has_key(child, key))
    }

    /// What a string means; none for other values.
    pub(crate) fn string(&self, node: usize) -> Option<Cow<'a, str>> {
        let raw = self.raw(node);
        (self.shape(node) == Shape::String).then(|| unescaped(&raw[1..raw.len() - 1]))
    }
}

/// The meaning of what stands between quotes; with half of a surrogate pair in it, the text itself.
fn unescaped(raw: &[u8]) -> Cow<'_, str> {
    if raw.contains(&b'\\') {
        let quoted = [b"\"", raw, b"\""].concat();
        if let Ok(text) = serde_json::from_slice::<String>(&quoted) {
            return Cow::Owned(text);
        }
    }
    match std::str::from_utf8(raw) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(raw),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The containers one is in.
    open: Vec<u32>,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), DocumentError> {
        if u32::try_from(self.text.len()).is_err() {
            return Err(DocumentError::TooMany(0));
        }
        let mut key = Key::default();
        loop {
            let is_open = self.value(key)?;
            // Ends what is over; then either all is, or another value follows.
            if !is_open && !self.close()? {
                break;
            }
            key = self.key()?;
        }
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.malformed()) }
    }

    /// Reads a value, or begins one that is not empty (true).
    fn value(&mut self, key: Key) -> Result<bool, DocumentError> {
        self.space();
        if self.nodes.len() == MAX_NODES {
            return Err(DocumentError::TooMany(self.at));
        }
        let start = self.at;
        let (shape, is_open) = match self.peek() {
            Some(b'"') => {
                self.string()?;
                (Shape::String, false)
            }
            Some(b'{') => (Shape::Object, self.open_container(b'}')?),
            Some(b'[') => (Shape::Array, self.open_container(b']')?),
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.scalar()?;
                (Shape::Scalar, false)
            }
            _ => return Err(self.malformed()),
        };
        let index = self.nodes.len() as u32;
        let parent = self.open.last().copied().unwrap_or(0);
        let node = Node { shape, start: start as u32, end: self.at as u32, key, parent, next: index + 1 };
        self.nodes.push(node);
        if is_open {
            self.open.push(index);
        }
        Ok(is_open)
    }

    /// Begins a container; false where it is empty.
    fn open_container(&mut self, end: u8) -> Result<bool, DocumentError> {
        if self.open.len() == MAX_DEPTH {
            return Err(DocumentError::TooDeep(self.at));
        }
        self.at += 1;
        self.space();
        if self.peek() != Some(end) {
            return Ok(true);
        }
        self.at += 1;
        Ok(false)
    }

    /// Ends every container that is over; whether one goes on behind a comma.
    fn close(&mut self) -> Result<bool, DocumentError> {
        while let Some(&index) = self.open.last() {
            self.space();
            let next = self.nodes.len() as u32;
            let node = &mut self.nodes[index as usize];
            let end = if node.shape == Shape::Object { b'}' } else { b']' };
            match self.text.get(self.at) {
                Some(b',') => {
                    self.at += 1;
                    return Ok(true);
                }
                Some(&byte) if byte == end => {
                    self.at += 1;
                    (node.end, node.next) = (self.at as u32, next);
                    self.open.pop();
                }
                _ => return Err(self.malformed()),
            }
        }
        Ok(false)
    }

    /// The key of the value to come, and its colon; nothing in an array.
    fn key(&mut self) -> Result<Key, DocumentError> {
        let is_object =
            self.open.last().is_some_and(|&index| self.nodes[index as usize].shape == Shape::Object);
        if !is_object {
            return Ok(Key::default());
        }
        self.space();
        let start = self.at + 1;
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        let is_escaped = self.string()?;
        let key = Key { start: start as u32, end: self.at as u32 - 1, is_escaped };
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.malformed());
        }
        self.at += 1;
        Ok(key)
    }

    /// Reads a string; tells whether there are escapes in it.
    fn string(&mut self) -> Result<bool, DocumentError> {
        self.at += 1;
        let mut is_escaped = false;
        loop {
            let rest = &self.text[self.at..];
            let found =
                memchr::memchr2(b'"', b'\\', rest).ok_or(DocumentError::Malformed(self.text.len()))?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Ok(is_escaped);
            }
            is_escaped = true;
            let length = match self.peek() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
                Some(b'u') => 5,
                _ => return Err(self.malformed()),
            };
            let escape = self.text.get(self.at..self.at + length).ok_or_else(|| self.malformed())?;
            if !escape[1..].iter().all(u8::is_ascii_hexdigit) {
                return Err(self.malformed());
            }
            self.at += length;
        }
    }

    fn scalar(&mut self) -> Result<(), DocumentError> {
        let rest = &self.text[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let text = &rest[..length];
        let is_number = text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
        if !is_number && !matches!(text, b"true" | b"false" | b"null") {
            return Err(self.malformed());
        }
        self.at += length;
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn malformed(&self) -> DocumentError {
        DocumentError::Malformed(self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The value again, from the places.
    fn rebuilt(document: &Document<'_>, node: usize) -> Value {
        match document.shape(node) {
            Shape::Object => document
                .children(node)
                .map(|child| (document.key(child).into_owned(), rebuilt(document, child)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Shape::Array => document.children(node).map(|child| rebuilt(document, child)).collect(),
            Shape::String => Value::from(document.string(node).unwrap()),
            Shape::Scalar => serde_json::from_slice(document.raw(node)).unwrap(),
        }
    }

    fn check(text: &str) {
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(rebuilt(&document, 0), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        for node in 1..document.len() {
            let parent = document.parent(node).unwrap();
            assert!(document.children(parent).any(|child| child == node));
        }
    }

    #[test]
    fn values_stand_where_they_stand() {
        check(r#" {"a":[1,[],{},{"b":null}],"c\"d":"e\u00e9\n", "f" : -1.5e3 } "#);
        check("[]");
        check("\"x\"");
        check("[[[true]],[false]]");
        let document = Document::parse(br#"{"a":{"b":1},"c":2}"#).unwrap();
        let a = document.member(0, "a").unwrap();
        assert_eq!(document.raw(a), br#"{"b":1}"#);
        assert_eq!(document.raw(document.member(0, "c").unwrap()), b"2");
        assert_eq!(document.member(0, "b"), None);
        assert_eq!(document.member(a, "b"), Some(a + 1));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "1 2",
            "tru",
            "\"\\x\"",
            "\"a",
            "\"\\u12g4\"",
            "]",
            "{]",
            "[}",
        ] {
            assert!(matches!(Document::parse(text.as_bytes()), Err(DocumentError::Malformed(_))), "{text}");
        }
        assert_eq!(Document::parse(&b"[".repeat(100_000)).unwrap_err(), DocumentError::TooDeep(512));
        let many = format!("[{}0]", "0,".repeat(MAX_NODES));
        assert!(matches!(Document::parse(many.as_bytes()), Err(DocumentError::TooMany(_))));
    }

    proptest! {
        #[test]
        fn whatever_serde_reads_is_read_alike(text in "(\\{|\\}|\"a\"|\"b\\\\n\"|:|,|\\[|\\]| |1|null){0,16}") {
            match serde_json::from_str::<Value>(&text) {
                Ok(_) => check(&text),
                Err(_) => prop_assert!(Document::parse(text.as_bytes()).is_err(), "{}", text),
            }
        }
    }
}
