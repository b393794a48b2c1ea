//! One object as a file of its own holds it: a zlib stream of `<type> <size>`, a NUL and the content.
//!
//! Such a file is called by the object's name and read by it ever after, so what is stored under a name must be
//! what has it. Sources: git's object-file.c, `unpack_loose_header` and `parse_loose_header`.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use flate2::read::ZlibDecoder;

use super::{
    Budget, Kind, PackError,
    inflate::{Inflate, InflateError},
    name::{self, Digest},
};
use crate::oid::{ObjectFormat, Oid};

/// Bytes of the head, its NUL among them, in which git finds it.
const HEAD: usize = 32;

/// Bytes that are read at once.
const READ: usize = 64 * 1024;

/// Why a file is not that of an object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LooseError {
    /// The client: it is no object.
    #[error("the file is not that of an object: {0}")]
    Malformed(&'static str),
    /// The client: it is no zlib stream.
    #[error("the object can't be inflated")]
    Inflate(#[from] InflateError),
    /// The client: larger than the limit.
    #[error("the object is larger than {0} bytes")]
    TooLarge(u64),
    /// The client: it is another object, or was made to have the name of another.
    #[error("the content is not that of the object {0}")]
    Other(Oid),
    /// It took too long, or could not be read.
    #[error("the object was not read to its end")]
    Unread(#[from] PackError),
}

/// A file that is compared with the name of its object while it is read, in pieces of any size.
pub(crate) struct Loose {
    name: Oid,
    inflate: Inflate,
    content: Content,
    ended: bool,
}

struct Content {
    head: Vec<u8>,
    /// Bytes of the object that are still to come, once the head was read.
    left: Option<u64>,
    max: u64,
    digest: Digest,
}

impl Loose {
    /// Of the object of that name, with so many bytes at most.
    pub(crate) fn new(name: Oid, max: u64) -> Self {
        let content = Content { head: Vec::new(), left: None, max, digest: Digest::new(name.format()) };
        Self { name, inflate: Inflate::new(), content, ended: false }
    }

    /// Reads a piece.
    ///
    /// # Errors
    /// [`LooseError`]; it is of no use afterwards.
    pub(crate) fn feed(&mut self, input: &[u8], budget: &Budget) -> Result<(), LooseError> {
        let mut rest = input;
        while !self.ended {
            let step = self.inflate.step(rest)?;
            rest = &rest[step.read..];
            self.ended = step.ended;
            let idle = step.made.is_empty() && rest.is_empty();
            budget.spend(step.made.len() as u64)?;
            self.content.take(step.made)?;
            if idle {
                break;
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(LooseError::Malformed("something follows it")) }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`LooseError`] where it is not whole, or another object.
    pub(crate) fn finish(self) -> Result<(), LooseError> {
        if !self.ended || self.content.left != Some(0) {
            return Err(LooseError::Malformed("it is shorter than it says"));
        }
        match self.content.digest.finish() {
            Ok(name) if name == self.name => Ok(()),
            Ok(_) | Err(PackError::Collision) => Err(LooseError::Other(self.name)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Content {
    fn take(&mut self, made: &[u8]) -> Result<(), LooseError> {
        self.digest.update(made);
        let mut made = made;
        if self.left.is_none() {
            let end = made.iter().position(|byte| *byte == 0);
            let (head, rest) = end.map_or((made, None), |end| (&made[..end], Some(&made[end + 1..])));
            if self.head.len() + head.len() >= HEAD {
                return Err(LooseError::Malformed("it does not begin with a type and size"));
            }
            self.head.extend_from_slice(head);
            let Some(rest) = rest else { return Ok(()) };
            let size = size(&self.head);
            let size = size.ok_or(LooseError::Malformed("it does not begin with a type and size"))?;
            if size > self.max {
                return Err(LooseError::TooLarge(self.max));
            }
            (self.left, made) = (Some(size), rest);
        }
        let left = self.left.and_then(|left| left.checked_sub(made.len() as u64));
        self.left = Some(left.ok_or(LooseError::Malformed("it is longer than it says"))?);
        Ok(())
    }
}

/// The size that a head says, behind the word of one of the types; with no digit more than it needs.
fn size(head: &[u8]) -> Option<u64> {
    let (kind, size) = std::str::from_utf8(head).ok()?.split_once(' ')?;
    [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag].iter().find(|known| known.word() == kind)?;
    size.parse::<u64>().ok().filter(|number| number.to_string() == size)
}

/// Reads a file to its end.
///
/// # Errors
/// [`LooseError`] where it is not that of the object.
pub(crate) fn verify(mut file: impl Read, name: Oid, max: u64, budget: &Budget) -> Result<(), LooseError> {
    let (mut loose, mut buffer) = (Loose::new(name, max), vec![0; READ]);
    loop {
        match file.read(&mut buffer).map_err(PackError::from)? {
            0 => return loose.finish(),
            read => loose.feed(&buffer[..read], budget)?,
        }
    }
}

/// Reads anything as the file of an object, in pieces of a size that the first byte says, and as a whole.
///
/// # Panics
/// Where that differs, or something else passes than an object of the name.
#[doc(hidden)]
pub fn fuzz_loose(bytes: &[u8]) {
    /// Bytes that are inflated.
    const MAX: usize = 1 << 20;
    let Some((piece, file)) = bytes.split_first() else { return };
    let mut content = Vec::new();
    let all = std::io::copy(&mut ZlibDecoder::new(file).take(MAX as u64), &mut content);
    let named = name::checksum(ObjectFormat::Sha1, &content);
    let (Ok(_), Ok(named)) = (all, named) else { return };
    let budget = Budget::new(0, Instant::now() + Duration::from_secs(60));
    let mut loose = Loose::new(named, MAX as u64);
    let fed = file.chunks(usize::from(*piece) + 1).try_for_each(|piece| loose.feed(piece, &budget));
    let passes = fed.and_then(|()| loose.finish()).is_ok();
    assert_eq!(passes, verify(file, named, MAX as u64, &budget).is_ok(), "pieces differ from the whole");
    if passes {
        let head = content.iter().position(|byte| *byte == 0).expect("a head ends");
        let kinds = [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag];
        let kind =
            kinds.into_iter().find(|kind| content.starts_with(kind.word().as_bytes())).expect("a type");
        let made = name::name(named.format(), kind, &content[head + 1..]);
        assert_eq!(made.ok(), Some(named), "it is not what git makes");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};
    use proptest::prelude::*;

    use super::*;
    use crate::pack::{self, name};

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A file with that head.
    fn file(head: &str, content: &[u8]) -> Vec<u8> {
        deflate(&[head.as_bytes(), b"\0", content].concat())
    }

    fn budget() -> Budget {
        Budget::new(0, Instant::now() + Duration::from_secs(60))
    }

    /// The file in pieces of these lengths, over and over.
    fn read(file: &[u8], cuts: &[usize], name: Oid, max: u64) -> Result<(), String> {
        let (mut loose, mut rest, mut cuts) = (Loose::new(name, max), file, cuts.iter().cycle());
        let read = |loose: &mut Loose, piece: &[u8]| loose.feed(piece, &budget()).map_err(|e| e.to_string());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len())));
            read(&mut loose, piece)?;
            rest = after;
        }
        loose.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_object_of_the_name_passes() {
        let content = b"hello\n";
        let blob = pack::name(ObjectFormat::Sha1, Kind::Blob, content).unwrap();
        let good = file("blob 6", content);
        let check = |file: &[u8], expected: Result<(), &str>| {
            assert_eq!(read(file, &[], blob, 6), expected.map_err(str::to_owned));
            assert_eq!(verify(file, blob, 6, &budget()).is_ok(), expected.is_ok());
        };
        check(&good, Ok(()));
        let begins = Err("the file is not that of an object: it does not begin with a type and size");
        for head in
            ["blob", "blob ", "blob 06", "blob +6", "blob 6 ", " 6", "Blob 6", "file 6", "blob -1", ""]
        {
            check(&file(head, content), begins);
        }
        check(&file(&format!("blob {}", "0".repeat(40)), content), begins);
        check(&deflate(&[b'x'; 1000]), begins);
        check(&file("blob 5", content), Err("the file is not that of an object: it is longer than it says"));
        check(
            &file("blob 6", b"hello"),
            Err("the file is not that of an object: it is shorter than it says"),
        );
        check(&file("blob 7", content), Err("the object is larger than 6 bytes"));
        check(&good[..good.len() - 1], Err("the file is not that of an object: it is shorter than it says"));
        check(b"", Err("the file is not that of an object: it is shorter than it says"));
        check(&[&*good, b"\n"].concat(), Err("the file is not that of an object: something follows it"));
        check(&[&*good, &*good].concat(), Err("the file is not that of an object: something follows it"));
        check(b"hello", Err("the object can't be inflated"));
        let other = format!("the content is not that of the object {blob}");
        check(&file("blob 6", b"hellO\n"), Err(&other));
        check(&file("tree 6", content), Err(&other));
    }

    #[test]
    fn what_inflates_without_end_is_given_up() {
        let bomb = file("blob 6", &vec![0; 16 << 20]);
        let small = Budget::new(0, Instant::now() + Duration::from_secs(60));
        small.inflate.store(200 << 10, std::sync::atomic::Ordering::Relaxed);
        let blob = name(ObjectFormat::Sha1, Kind::Blob, b"hello\n").unwrap();
        let mut loose = Loose::new(blob, u64::MAX);
        assert!(matches!(loose.feed(&bomb, &small), Err(LooseError::Malformed(_))));
        // Not even what says so itself.
        let bomb = file(&format!("blob {}", 16 << 20), &vec![0; 16 << 20]);
        let mut loose = Loose::new(blob, u64::MAX);
        assert!(matches!(loose.feed(&bomb, &small), Err(LooseError::Unread(PackError::TooLarge(_)))));
    }

    proptest! {
        #[test]
        fn a_split_changes_nothing(
            content in prop::collection::vec(any::<u8>(), 0..2000),
            cuts in prop::collection::vec(1usize..50, 1..5),
            place in any::<prop::sample::Index>(),
            format in prop::sample::select(vec![ObjectFormat::Sha1, ObjectFormat::Sha256]),
        ) {
            let oid = name(format, Kind::Blob, &content).unwrap();
            let mut file = file(&format!("blob {}", content.len()), &content);
            prop_assert_eq!(read(&file, &cuts, oid, 2000), Ok(()));
            let place = place.index(file.len());
            file[place] ^= 1;
            prop_assert_eq!(read(&file, &cuts, oid, 2000).is_ok(), read(&file, &[], oid, 2000).is_ok());
            prop_assert!(read(&file[..place], &cuts, oid, 2000).is_err());
        }
    }
}
