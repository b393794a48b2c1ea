//! Finds HTTP/1.1 requests whose length can be read in two ways (RFC 9112, section 6.3): with both
//! `Content-Length` and `Transfer-Encoding`, or with another `Transfer-Encoding` than `chunked`, once.
//!
//! hyper takes the second and hides the first, and looks at no coding but the last, which is right for a server
//! and too kind for a gateway: what stands in front may have read it otherwise. So the bytes are followed here on
//! their way to hyper, which stays the one that parses: this only raises a flag, by which [`super::edge`] refuses
//! the request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// Says that a request on this connection is ambiguous.
#[derive(Debug, Clone, Default)]
pub(super) struct Ambiguous(Arc<AtomicBool>);

impl Ambiguous {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Follows the requests of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    max_head: usize,
    max_headers: usize,
    ambiguous: Ambiguous,
}

#[derive(Debug)]
enum State {
    /// In a head, of which this was read.
    Head(Vec<u8>),
    /// In a body, or a chunk with its line end, of which so much is left; then comes the next state.
    Data(u64, Box<State>),
    /// In the line before a chunk, of which this was read.
    ChunkSize(Vec<u8>),
    /// In the trailers; the current line has so many bytes.
    Trailers(usize),
    /// No longer: it is not HTTP/1.1, or was found to be ambiguous.
    Off,
}

/// Longer lines before a chunk are not followed; hyper refuses them.
const MAX_CHUNK_LINE: usize = 16 << 10;

impl Framing {
    pub(super) fn new(max_head: usize, max_headers: usize, ambiguous: Ambiguous) -> Self {
        Self { state: State::Head(Vec::new()), max_head, max_headers, ambiguous }
    }

    /// Takes what was read, before hyper sees it.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let state = std::mem::replace(&mut self.state, State::Off);
            let (state, taken) = match state {
                State::Head(head) => self.head(head, bytes),
                State::Data(left, next) => data(left, next, bytes),
                State::ChunkSize(line) => chunk_size(line, bytes),
                State::Trailers(line) => trailers(line, bytes),
                State::Off => return,
            };
            self.state = state;
            bytes = &bytes[taken..];
        }
    }

    fn head(&self, mut head: Vec<u8>, bytes: &[u8]) -> (State, usize) {
        for (index, byte) in bytes.iter().enumerate() {
            head.push(*byte);
            // Empty lines before a request are skipped, as hyper does.
            if head == b"\n" || head == b"\r\n" {
                head.clear();
            }
            if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
                return (self.after_head(&head), index + 1);
            }
            if head.len() > self.max_head {
                return (State::Off, bytes.len());
            }
        }
        (State::Head(head), bytes.len())
    }

    fn after_head(&self, head: &[u8]) -> State {
        let mut fields = vec![httparse::EMPTY_HEADER; self.max_headers];
        let mut request = httparse::Request::new(&mut fields);
        if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
            return State::Off;
        }
        let values = |name: &http::HeaderName| {
            let name = name.as_str();
            let same = request.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
            same.map(|field| field.value).collect::<Vec<_>>()
        };
        match (&*values(&CONTENT_LENGTH), &*values(&TRANSFER_ENCODING)) {
            ([], []) => State::Head(Vec::new()),
            ([], [coding]) if coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
                State::ChunkSize(Vec::new())
            }
            ([length, ..], []) => match std::str::from_utf8(length).ok().and_then(|it| it.parse().ok()) {
                Some(0) => State::Head(Vec::new()),
                Some(length) => State::Data(length, Box::new(State::Head(Vec::new()))),
                None => State::Off,
            },
            (_, _) => {
                self.ambiguous.set();
                State::Off
            }
        }
    }
}

fn data(left: u64, next: Box<State>, bytes: &[u8]) -> (State, usize) {
    match usize::try_from(left) {
        Ok(left) if left <= bytes.len() => (*next, left),
        Ok(_) | Err(_) => (State::Data(left - bytes.len() as u64, next), bytes.len()),
    }
}

fn chunk_size(mut line: Vec<u8>, bytes: &[u8]) -> (State, usize) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        line.extend_from_slice(bytes);
        let state = if line.len() > MAX_CHUNK_LINE { State::Off } else { State::ChunkSize(line) };
        return (state, bytes.len());
    };
    line.extend_from_slice(&bytes[..end]);
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = std::str::from_utf8(&line[..digits]).ok().and_then(|it| u64::from_str_radix(it, 16).ok());
    let state = match size {
        None => State::Off,
        Some(0) => State::Trailers(0),
        // A chunk ends with CR LF.
        Some(size) => match size.checked_add(2) {
            Some(length) => State::Data(length, Box::new(State::ChunkSize(Vec::new()))),
            None => State::Off,
        },
    };
    (state, end + 1)
}

fn trailers(mut line: usize, bytes: &[u8]) -> (State, usize) {
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if line == 0 => return (State::Head(Vec::new()), index + 1),
            b'\n' => line = 0,
            b'\r' => {}
            _ => line += 1,
        }
    }
    (State::Trailers(line), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same under every split into two, and byte by byte.
    fn check(stream: &str, expected: bool) {
        let bytes = stream.as_bytes();
        for cut in 0..=bytes.len() {
            assert_eq!(find([&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}: {stream:?}");
        }
        assert_eq!(find(bytes.chunks(1)), expected, "{stream:?}");
    }

    fn find<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let ambiguous = Ambiguous::default();
        let mut framing = Framing::new(200, 8, ambiguous.clone());
        pieces.into_iter().for_each(|piece| framing.read(piece));
        ambiguous.is_set()
    }

    const BOTH: &str = "POST /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn finds_both_in_either_order_and_case() {
        check(BOTH, true);
        check("POST / HTTP/1.1\r\ntransfer-ENCODING: x\r\ncontent-LENGTH: 4\r\n\r\n", true);
        check("POST / HTTP/1.1\nTransfer-Encoding: chunked\nContent-Length: 4\n\n", true);
    }

    #[test]
    fn finds_codings_that_not_everybody_undoes() {
        let with = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        for fields in [
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            check(&with(fields), true);
        }
        check(&with("Transfer-Encoding: Chunked "), false);
    }

    #[test]
    fn finds_it_behind_other_requests() {
        check(&format!("GET / HTTP/1.1\r\nHost: h\r\n\r\n{BOTH}"), true);
        check(&format!("\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc{BOTH}"), true);
        check(&format!("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n{BOTH}"), true);
        let chunked =
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n";
        check(&format!("{chunked}\r\n{BOTH}"), true);
        check(&format!("{chunked}Trailer: yes\r\n\r\n{BOTH}"), true);
    }

    #[test]
    fn is_not_fooled_by_what_stands_in_a_body() {
        let body = |framing: &str, body: &str| format!("POST / HTTP/1.1\r\n{framing}\r\n\r\n{body}");
        check(&body(&format!("Content-Length: {}", BOTH.len()), BOTH), false);
        let chunk = format!("{:x}\r\n{BOTH}\r\n0\r\n\r\n", BOTH.len());
        check(&body("Transfer-Encoding: chunked", &chunk), false);
    }

    #[test]
    fn leaves_the_rest_to_hyper() {
        for stream in ["non sense\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "\u{0}\u{1}\n\n"] {
            check(&format!("{stream}{BOTH}"), false);
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n{BOTH}", "a".repeat(300));
        check(&long, false);
        for size in ["g", "", "ffffffffffffffff", "11111111111111111"] {
            check(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{BOTH}"), false);
        }
    }
}
