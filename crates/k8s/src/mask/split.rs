//! A stream of JSON cut into what is masked at a time: a whole object, an event of a watch, and of a list each of
//! its items, so that a list of any length takes the memory of its largest item.
//!
//! Only brackets and strings are followed here; whether a piece is JSON is seen when it is read.

use super::MaskError;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A JSON text.
    Whole,
    /// A list from its beginning to the bracket before its items.
    Head,
    /// An item, or a row.
    Item,
    /// A list from the bracket after its items to its end.
    Tail,
    /// White space and commas.
    Between,
}

/// Cuts a stream.
#[derive(Debug)]
pub(super) struct Splitter {
    limit: usize,
    place: Place,
    /// Open brackets within the piece.
    depth: usize,
    string: Text,
    /// The last string in the outermost object, as far as a key of a list has bytes.
    key: Vec<u8>,
    buffer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    Whole,
    /// Between items.
    List,
    Item,
    Tail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    AfterBackslash,
}

/// Longer than the keys of lists.
const KEY: usize = 6;

impl Splitter {
    /// A splitter for pieces of so many bytes at most.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            place: Place::Top,
            depth: 0,
            string: Text::Outside,
            key: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Takes the next bytes and gives the pieces that are whole.
    pub(super) fn push(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(Piece, Vec<u8>) -> Result<(), MaskError>,
    ) -> Result<(), MaskError> {
        let (mut from, mut at) = (0, 0);
        while at < input.len() {
            if self.string != Text::Outside {
                at = self.in_string(input, at);
                continue;
            }
            let (end, piece) = self.byte(input[at]);
            // A byte before which a piece ends is looked at again.
            at += usize::from(end == End::With);
            if let Some(piece) = piece {
                self.keep(&input[from..at])?;
                from = at;
                if !self.buffer.is_empty() {
                    take(piece, std::mem::take(&mut self.buffer))?;
                }
            }
        }
        self.keep(&input[from..])
    }

    /// Ends the stream; what is left is a number, or white space.
    pub(super) fn finish(&mut self) -> Result<Option<(Piece, Vec<u8>)>, MaskError> {
        let piece = match self.place {
            Place::Top => Piece::Between,
            Place::Whole if self.depth == 0 && self.string == Text::Outside => Piece::Whole,
            Place::Whole | Place::List | Place::Item | Place::Tail => return Err(MaskError::Incomplete),
        };
        Ok((!self.buffer.is_empty()).then(|| (piece, std::mem::take(&mut self.buffer))))
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), MaskError> {
        if self.buffer.len() + bytes.len() > self.limit {
            return Err(MaskError::TooLarge);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn in_string(&mut self, input: &[u8], at: usize) -> usize {
        if self.string == Text::AfterBackslash {
            self.string = Text::Inside;
            return at + 1;
        }
        let rest = &input[at..];
        let found = memchr::memchr2(b'"', b'\\', rest);
        if self.place == Place::Whole && self.depth == 1 {
            let room = KEY - self.key.len();
            self.key.extend_from_slice(&rest[..found.unwrap_or(rest.len()).min(room)]);
        }
        let Some(found) = found else { return input.len() };
        self.string = if rest[found] == b'"' { Text::Outside } else { Text::AfterBackslash };
        at + found + 1
    }

    /// A byte outside of strings: which piece ends, and whether before it or with it.
    fn byte(&mut self, byte: u8) -> (End, Option<Piece>) {
        let is_space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        match self.place {
            Place::Top if is_space => (End::With, Some(Piece::Between)),
            Place::Top => {
                self.place = Place::Whole;
                self.depth = 0;
                self.key.clear();
                self.within(byte, Piece::Whole)
            }
            // A number at the top ends with what follows it.
            Place::Whole if self.depth == 0 && is_space => {
                self.place = Place::Top;
                (End::Before, Some(Piece::Whole))
            }
            Place::Whole
                if self.depth == 1 && byte == b'[' && matches!(&self.key[..], b"items" | b"rows") =>
            {
                self.place = Place::List;
                (End::With, Some(Piece::Head))
            }
            Place::Whole => self.within(byte, Piece::Whole),
            Place::List if is_space || byte == b',' => (End::With, Some(Piece::Between)),
            Place::List if byte == b']' => {
                // Within the list, within its object.
                (self.place, self.depth) = (Place::Tail, 2);
                (End::Before, Some(Piece::Between))
            }
            Place::List => {
                (self.place, self.depth) = (Place::Item, 0);
                self.within(byte, Piece::Item)
            }
            Place::Item if self.depth == 0 && matches!(byte, b',' | b']') => {
                self.place = Place::List;
                (End::Before, Some(Piece::Item))
            }
            Place::Item => self.within(byte, Piece::Item),
            Place::Tail => self.within(byte, Piece::Tail),
        }
    }

    fn within(&mut self, byte: u8, piece: Piece) -> (End, Option<Piece>) {
        match byte {
            b'"' => {
                self.string = Text::Inside;
                if self.depth == 1 {
                    self.key.clear();
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 && piece != Piece::Item {
                    self.place = Place::Top;
                    return (End::With, Some(piece));
                }
            }
            b',' if self.depth == 1 => self.key.clear(),
            _ => {}
        }
        (End::With, None)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Before,
    With,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, size: usize) -> Result<Vec<(Piece, String)>, MaskError> {
        let mut pieces: Vec<(Piece, String)> = Vec::new();
        let mut take = |piece, bytes| {
            let text = String::from_utf8(bytes).unwrap();
            match pieces.last_mut() {
                // White space comes as it is cut.
                Some((Piece::Between, before)) if piece == Piece::Between => before.push_str(&text),
                _ => pieces.push((piece, text)),
            }
            Ok(())
        };
        let mut splitter = Splitter::new(64);
        for part in text.as_bytes().chunks(size) {
            splitter.push(part, &mut take)?;
        }
        if let Some((piece, bytes)) = splitter.finish()? {
            take(piece, bytes)?;
        }
        Ok(pieces)
    }

    fn check(text: &str, expected: &[(Piece, &str)]) {
        for size in 1..=text.len() {
            let pieces = split(text, size).unwrap();
            let pieces: Vec<_> = pieces.iter().map(|(piece, text)| (*piece, text.as_str())).collect();
            assert_eq!(pieces, expected, "{text} by {size}");
        }
    }

    #[test]
    fn objects_events_and_items_are_pieces() {
        use Piece::{Between, Head, Item, Tail, Whole};
        check(r#"{"a":"}\"]"}"#, &[(Whole, r#"{"a":"}\"]"}"#)]);
        check(
            "{\"a\":[1]}\n{}\n",
            &[(Whole, "{\"a\":[1]}"), (Between, "\n"), (Whole, "{}"), (Between, "\n")],
        );
        check(
            r#"{"kind":"L","items":[{"items":[1]}, {"b":"]"} ],"z":[2]}"#,
            &[
                (Head, r#"{"kind":"L","items":["#),
                (Item, r#"{"items":[1]}"#),
                (Between, ", "),
                (Item, r#"{"b":"]"} "#),
                (Tail, r#"],"z":[2]}"#),
            ],
        );
        check(
            r#"{"items":[1,{},"a"],"b":{}}"#,
            &[
                (Head, r#"{"items":["#),
                (Item, "1"),
                (Between, ","),
                (Item, "{}"),
                (Between, ","),
                (Item, r#""a""#),
                (Tail, r#"],"b":{}}"#),
            ],
        );
        check(r#"{"rows":[]}"#, &[(Head, r#"{"rows":["#), (Tail, "]}")]);
        check(r#"{"items":null,"a":["items",[1]]}"#, &[(Whole, r#"{"items":null,"a":["items",[1]]}"#)]);
        check(r#"{"a":"items","b":[1]}"#, &[(Whole, r#"{"a":"items","b":[1]}"#)]);
        check(r#"{"itemsx":[1]}"#, &[(Whole, r#"{"itemsx":[1]}"#)]);
        check("[1] 2", &[(Whole, "[1]"), (Between, " "), (Whole, "2")]);
    }

    #[test]
    fn what_breaks_off_or_is_too_large_is_refused() {
        for text in ["{", r#"{"items":["#, r#"{"items":[1"#, r#"{"items":[1]"#, "\"", r#"{"a":"\"#] {
            assert_eq!(split(text, 1), Err(MaskError::Incomplete), "{text}");
        }
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(64));
        assert_eq!(split(&long, 7), Err(MaskError::TooLarge));
        let long = format!(r#"{{"items":[{}]}}"#, r#"{"a":"0123456789012345678901234567890"},"#.repeat(9));
        assert!(split(&long, 7).is_ok());
    }
}
