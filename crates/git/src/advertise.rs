//! Adds a capability to the advertisement of `git-receive-pack`, while it streams.
//!
//! Capabilities stand behind a NUL on the first line that has one: that of the first ref, or of
//! `capabilities^{}` where there is none. Every other byte passes as it is; so does all of what is not
//! such an advertisement.

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::body::{Body, BodyError};

use crate::pkt::{self, Decoded, Packet};

/// The advertisement with one more capability.
pub(crate) fn with_capability(body: Body, capability: &'static str) -> Body {
    let state = (body, Some(Rewriter { pending: BytesMut::new(), capability }));
    let frames = stream::try_unfold(state, async |(mut body, mut rewriter)| {
        while let Some(rewriting) = &mut rewriter {
            let Some(frame) = body.frame().await.transpose()? else {
                let rest = rewriting.pending.split().freeze();
                return Ok((!rest.is_empty()).then(|| (Frame::data(rest), (body, None))));
            };
            if let Some(ready) = rewriting.feed(&frame.into_data().unwrap_or_default()) {
                return Ok(Some((Frame::data(ready), (body, None))));
            }
        }
        let frame = body.frame().await.transpose()?;
        Ok::<_, BodyError>(frame.map(|frame| (frame, (body, None))))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Holds the lines up to that with the capabilities.
struct Rewriter {
    pending: BytesMut,
    capability: &'static str,
}

impl Rewriter {
    /// Everything so far, rewritten, once it is known what becomes of it.
    fn feed(&mut self, data: &[u8]) -> Option<Bytes> {
        self.pending.extend_from_slice(data);
        let mut start = 0;
        loop {
            let rest = &self.pending[start..];
            match pkt::decode(rest) {
                // The lines before are `# service=...`, a flush and `version 1`: short.
                Ok(Decoded::Incomplete { .. }) if start < 1024 => return None,
                Ok(Decoded::Complete { packet: Packet::Data(line), consumed }) if line.contains(&0) => {
                    let rewritten = with_word(line, self.capability);
                    let tail = self.pending.split_off(start + consumed);
                    if let Some(line) = rewritten {
                        self.pending.truncate(start);
                        pkt::write(&mut self.pending, &line);
                    }
                    self.pending.unsplit(tail);
                    break;
                }
                Ok(Decoded::Complete { consumed, .. }) if start < 1024 => start += consumed,
                Ok(Decoded::Complete { .. } | Decoded::Incomplete { .. }) | Err(_) => break,
            }
        }
        Some(self.pending.split().freeze())
    }
}

/// The line with one more word; `None` where it has the word, or no room for it.
fn with_word(line: &[u8], word: &str) -> Option<Vec<u8>> {
    let (text, end) = match line.strip_suffix(b"\n") {
        Some(text) => (text, &b"\n"[..]),
        None => (line, &b""[..]),
    };
    let has = text.split(|byte| *byte == 0 || *byte == b' ').any(|other| other == word.as_bytes());
    let longer = [text, b" ", word.as_bytes(), end].concat();
    (!has && longer.len() <= pkt::MAX_DATA).then_some(longer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{pieces, read, transcript};

    fn rewritten(body: &[u8], cuts: &[usize]) -> Vec<u8> {
        crate::testing::block_on(read(with_capability(pieces(body, cuts), "no-thin"))).to_vec()
    }

    fn check(body: &[u8], expected: &[u8]) {
        for cuts in [&[1][..], &[5, 2, 9], &[100_000]] {
            let (rewritten, expected) = (rewritten(body, cuts), expected);
            assert_eq!(rewritten.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }

    #[test]
    fn adds_the_capability_and_nothing_else() {
        for name in ["create", "atomic", "sha256"] {
            let body = transcript(&format!("{name}.advertisement"));
            let text = String::from_utf8(rewritten(&body, &[3])).unwrap();
            let line = text.lines().nth(1).unwrap();
            assert!(line.ends_with(" no-thin"), "{line}");
            // The frame's length is in front of the line, behind the flush.
            let (before, after) = (&line[4..8], &line[4..].replace(" no-thin", ""));
            assert_eq!(usize::from_str_radix(before, 16).unwrap(), line[4..].len() + 1);
            assert_eq!(text.len(), body.len() + " no-thin".len());
            assert!(String::from_utf8(body).unwrap().contains(&after[4..]));
        }
        check(b"000eversion 1\n0009a\0b c0005x", b"000eversion 1\n0011a\0b c no-thin0005x");
    }

    #[test]
    fn leaves_everything_else_as_it_is() {
        for body in [
            &b""[..],
            b"<html>",
            b"001e# service=git-receive-pack\n0000",
            b"001e# service=git-receive-pack\n00000",
            b"0010a\0b no-thin c",
            b"0014ERR no such repo0000",
            b"0008abc\0",
        ] {
            let expected = if body == b"0008abc\0" { &b"0010abc\0 no-thin"[..] } else { body };
            check(body, expected);
        }
        let mut long = Vec::new();
        pkt::write(&mut long, &[&b"a\0"[..], &vec![b'x'; pkt::MAX_DATA - 3]].concat());
        check(&long, &long);
        // No capabilities where they belong.
        let late = [&b"0008abcd".repeat(200)[..], b"0008abc\0"].concat();
        check(&late, &late);
    }

    proptest! {
        #[test]
        fn every_split_comes_to_the_same(cuts in prop::collection::vec(1usize..40, 1..20)) {
            let body = transcript("atomic.advertisement");
            prop_assert_eq!(rewritten(&body, &cuts), rewritten(&body, &[100_000]));
        }

        #[test]
        fn whatever_comes_goes_on(
            body in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(1usize..40, 1..20),
        ) {
            prop_assert_eq!(rewritten(&body, &cuts), rewritten(&body, &[100_000]));
        }
    }
}
