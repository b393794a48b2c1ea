//! The sizes of a terminal: JSON values, one after another.

use serde::Deserialize;

/// How long the text of one size may be.
const MAX: usize = 256;

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Size {
    /// Characters in a line.
    #[serde(rename = "Width", alias = "width")]
    pub columns: u16,
    /// Lines.
    #[serde(rename = "Height", alias = "height")]
    pub rows: u16,
}

/// Reads the resize channel. What is no size ends the reading, as it does at the other end.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    text: Vec<u8>,
    is_over: bool,
}

impl Sizes {
    /// Takes the next bytes, and returns the sizes that they complete.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Size> {
        let mut sizes = Vec::new();
        for piece in bytes.chunks(MAX) {
            if self.is_over {
                break;
            }
            self.text.extend_from_slice(piece);
            let mut values = serde_json::Deserializer::from_slice(&self.text).into_iter();
            for value in values.by_ref() {
                match value {
                    Ok(size) => sizes.push(size),
                    Err(error) => {
                        self.is_over |= !error.is_eof();
                        break;
                    }
                }
            }
            let taken = values.byte_offset();
            self.text.drain(..taken);
            self.is_over |= self.text.len() > MAX;
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expected: &[(u16, u16)]) {
        let mut sizes = Sizes::default();
        let read: Vec<_> = pieces.iter().flat_map(|piece| sizes.read(piece.as_bytes())).collect();
        let read: Vec<_> = read.iter().map(|size| (size.columns, size.rows)).collect();
        assert_eq!(read, expected);
        assert!(sizes.text.len() <= 2 * MAX);
    }

    #[test]
    fn sizes_are_read_however_they_are_cut() {
        check(&["{\"Width\":80,\"Height\":24}\n"], &[(80, 24)]);
        check(&["{\"Height\":24,\"Width\":80}{\"width\":1,\"height\":2}"], &[(80, 24), (1, 2)]);
        check(
            &["{\"Wid", "th\":80,\"Hei", "ght\":24", "}", "\n{\"Width\":1,\"Height\":2}"],
            &[(80, 24), (1, 2)],
        );
        let many = "{\"Width\":80,\"Height\":24}\n".repeat(100);
        check(&[&many], &[(80, 24); 100]);
    }

    #[test]
    fn what_is_no_size_ends_the_reading() {
        check(&["{\"Width\":80,\"Height\":24}x", "{\"Width\":80,\"Height\":24}"], &[(80, 24)]);
        check(&["{\"Width\":-1,\"Height\":24}", "{\"Width\":80,\"Height\":24}"], &[]);
        check(&["{\"Width\":65536,\"Height\":24}"], &[]);
        check(&[&"{\"a\":[".repeat(1000), "{\"Width\":80,\"Height\":24}"], &[]);
        check(&[&" ".repeat(10_000), "{\"Width\":80,\"Height\":24}"], &[(80, 24)]);
    }
}
