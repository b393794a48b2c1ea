//! The headers of SPDY frames: one zlib stream per direction, begun with a dictionary.

use std::{fmt, sync::LazyLock};

use flate2::{Decompress, FlushDecompress, Status};

use super::Limits;

/// How much is decompressed at once.
const STEP: usize = 4096;

/// Words of the dictionary that have their length before them, as headers do.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding \
    content-language content-length content-location content-md5 content-range content-type date etag expect \
    expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified \
    location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te \
    trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK \
    version HTTP/1.1 url public set-cookie keep-alive origin";

const REST: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
    403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The dictionary (SPDY draft 3, section 2.6.10.1), whose every byte counts: its Adler-32 is e3c6a7c2.
pub(super) static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::new();
    for word in WORDS.split(' ').map(|word| word.replace('_', " ")) {
        dictionary.extend_from_slice(&(word.len() as u32).to_be_bytes());
        dictionary.extend_from_slice(word.as_bytes());
    }
    dictionary.extend_from_slice(REST.as_bytes());
    dictionary
});

/// The sender: these are no headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// No zlib, or with another dictionary, or at its end.
    #[error("they are not compressed as they must be")]
    Zlib,
    /// More than is taken.
    #[error("they are more, or longer, than is taken")]
    TooMany,
    /// Cut short, or something stands behind them.
    #[error("their lengths do not add up")]
    Lengths,
    /// A name that is empty, not in lower case, or there twice.
    #[error("a name is empty, not in lower case, or there twice")]
    Name,
}

/// Headers of a frame, in their order.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// The value of a header, of which there is one at most. Several values stand in it with a NUL between.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    fn parse(block: &[u8], limits: Limits) -> Result<Self, HeaderError> {
        let mut rest = block;
        let count = number(&mut rest)?;
        if count > limits.count {
            return Err(HeaderError::TooMany);
        }
        let mut headers = Self::default();
        for _ in 0..count {
            let (name, value) = (text(&mut rest)?, text(&mut rest)?);
            let is_known = headers.iter().any(|(known, _)| known == name);
            if name.is_empty() || is_known || name.iter().any(u8::is_ascii_uppercase) {
                return Err(HeaderError::Name);
            }
            headers.0.push((name.to_vec(), value.to_vec()));
        }
        if rest.is_empty() { Ok(headers) } else { Err(HeaderError::Lengths) }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        f.debug_map().entries(self.iter().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

fn number(rest: &mut &[u8]) -> Result<usize, HeaderError> {
    let (number, after) = rest.split_first_chunk().ok_or(HeaderError::Lengths)?;
    *rest = after;
    Ok(u32::from_be_bytes(*number) as usize)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], HeaderError> {
    let length = number(rest)?;
    let (text, after) = rest.split_at_checked(length).ok_or(HeaderError::Lengths)?;
    *rest = after;
    Ok(text)
}

/// Decompresses the headers of one direction.
pub(super) struct Inflater {
    limits: Limits,
    zlib: Decompress,
}

impl Inflater {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, zlib: Decompress::new(true) }
    }

    /// The headers of the next frame.
    pub(super) fn headers(&mut self, compressed: &[u8]) -> Result<Headers, HeaderError> {
        let mut block = Vec::new();
        let start = self.zlib.total_in();
        loop {
            let rest = &compressed[(self.zlib.total_in() - start) as usize..];
            if block.len() > self.limits.headers {
                return Err(HeaderError::TooMany);
            }
            let from = block.len();
            block.reserve(STEP);
            match self.zlib.decompress_vec(rest, &mut block, FlushDecompress::Sync) {
                Ok(Status::Ok | Status::BufError) => {
                    // A frame ends with a flush: what it holds is out once the decompressor leaves room.
                    if block.len() < block.capacity() {
                        break;
                    }
                }
                // What follows such an end could be read in several ways.
                Ok(Status::StreamEnd) => return Err(HeaderError::Zlib),
                Err(error) => self.set_dictionary(error.needs_dictionary())?,
            }
            if block.len() == from && rest.is_empty() {
                break;
            }
        }
        if (self.zlib.total_in() - start) as usize != compressed.len() {
            return Err(HeaderError::Zlib);
        }
        Headers::parse(&block, self.limits)
    }

    fn set_dictionary(&mut self, wanted: Option<u32>) -> Result<(), HeaderError> {
        wanted.ok_or(HeaderError::Zlib)?;
        // Fails where another dictionary is wanted.
        self.zlib.set_dictionary(&DICTIONARY).map_err(|_| HeaderError::Zlib)?;
        Ok(())
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("limits", &self.limits).finish_non_exhaustive()
    }
}
