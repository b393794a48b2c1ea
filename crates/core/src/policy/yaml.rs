//! Reads YAML into a tree in which everything knows its line and column.
//!
//! Only what a policy needs: one document of maps, lists and scalars. Scalars stay text until the key
//! they belong to says what they are, so that `1.10`, `no` or `0x1F` mean what they look like.
//! Anchors, aliases, merge keys and tags are refused: whoever reviews a policy reads what applies. The
//! size and the depth are bounded; the parser never expands anything.

use std::collections::HashSet;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput};

use super::errors::{At, Errors, PolicyErrors, quoted};

/// The largest document, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The deepest nesting of each kind: flow (`[[`) and block.
const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// A scalar, as it is written.
    Text(String),
    List(Vec<Node>),
    /// In the order of the text; keys are unique.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: At,
    pub(super) name: String,
}

/// The document's only node.
pub(super) fn parse(text: &str) -> Result<Node, PolicyErrors> {
    let mut errors = Errors::default();
    let node = if text.len() > MAX_BYTES {
        errors.push(At::START, format!("the document is larger than {} KiB", MAX_BYTES / 1024));
        None
    } else if let Some((at, c)) = unseen(text) {
        errors.push(at, format!("the character U+{:04X} is not allowed: nobody would see it", u32::from(c)));
        None
    } else {
        let mut reader =
            Reader { events: Parser::new_from_str_with_options(text, options()), errors: &mut errors };
        reader.document()
    };
    // Where something was refused the tree has holes: what they would be called by whoever reads the
    // tree is noise. A missing document is an error already.
    errors.into_result(|| node).map(|node| node.unwrap_or(Node { at: At::START, kind: Kind::Null }))
}

/// The first character that an editor does not show, or that reorders what it shows; a parser could
/// read another document than a person does.
fn unseen(text: &str) -> Option<(At, char)> {
    let mut at = At::START;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for c in text.chars() {
        let hides = matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
        if hides || c.is_control() && !matches!(c, '\t' | '\n' | '\r') {
            return Some((at, c));
        }
        at = match c {
            '\n' => At { line: at.line + 1, column: 1 },
            _ => At { column: at.column + 1, ..at },
        };
    }
    None
}

fn options() -> Options {
    granit_parser::options! {
        strict_indentation: true,
        disallow_directives: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    errors: &'a mut Errors,
}

impl<'a> Reader<'a> {
    /// `None` where reading cannot go on; the error is told then.
    fn document(&mut self) -> Option<Node> {
        let mut document = None;
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd) {
                continue;
            }
            let ends = matches!(event, Event::StreamEnd);
            if ends && document.is_none() {
                self.errors.push(At::START, "the document is empty");
            }
            if ends {
                return document;
            }
            if document.is_some() {
                self.errors.push(at, "a policy is one YAML document, and here begins another");
                return None;
            }
            document = Some(self.node(event, at)?);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the parser's events are not ours")]
    fn node(&mut self, event: Event<'a>, at: At) -> Option<Node> {
        let (kind, anchor, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style), anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) => (self.list()?, anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (self.map()?, anchor, tag.is_some()),
            Event::Alias(_) | Event::UnresolvedAlias(_) => (Kind::Null, 1, false),
            event => {
                self.errors.push(at, format!("unexpected in YAML: {event:?}"));
                return None;
            }
        };
        if anchor != 0 {
            self.errors.push(at, "anchors and aliases are not supported: write it out");
        }
        if tagged {
            self.errors.push(at, "tags are not supported");
        }
        Some(Node { at, kind })
    }

    fn list(&mut self) -> Option<Kind> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Some(Kind::List(list)),
                (event, at) => list.push(self.node(event, at)?),
            }
        }
    }

    fn map(&mut self) -> Option<Kind> {
        let mut map = Vec::new();
        let mut names = HashSet::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(Kind::Map(map));
            }
            let key = self.node(event, at)?;
            let (event, at) = self.next()?;
            let value = self.node(event, at)?;
            let Kind::Text(name) = key.kind else {
                self.errors.push(key.at, "a key is a word");
                continue;
            };
            if !names.insert(name.clone()) {
                self.errors.push(key.at, format!("the key {} is here twice", quoted(&name)));
            }
            map.push((Key { at: key.at, name }, value));
        }
    }

    fn next(&mut self) -> Option<(Event<'a>, At)> {
        match self.events.next()? {
            Ok((event, span)) => Some((event, place(&span))),
            Err(error) => {
                let at = marker(error.marker());
                self.errors.push(at, format!("not YAML: {}", error.kind()));
                None
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    match text {
        "" | "~" | "null" if style == ScalarStyle::Plain => Kind::Null,
        _ => Kind::Text(text.to_owned()),
    }
}

fn place(span: &Span) -> At {
    marker(&span.start)
}

fn marker(marker: &granit_parser::Marker) -> At {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At { line: count(marker.line()), column: count(marker.col() + 1) }
}
