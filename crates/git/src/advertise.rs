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
