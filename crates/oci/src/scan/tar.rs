//! Where in a tar (POSIX.1-2017, and GNU's) the bytes are that pass: which file, and its first bytes.
//!
//! All bytes are looked through whatever this says of them: it only gives findings their place. So it need not know
//! what an unpacker would make of a damaged or hostile archive; where it is lost, it says that it is.

/// Bytes of a header, and of what is padded.
const BLOCK: usize = 512;
/// Bytes of a long name that are read.
const NAME: usize = 4096;

/// A part of what passes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A file begins. Empty where its name is not known.
    Begin(&'a str),
    /// Bytes: of a file, or of what stands between files.
    Bytes(&'a [u8]),
    /// A file ends.
    End,
}

/// Follows a tar.
#[derive(Debug)]
pub(super) struct Walker {
    state: State,
    header: Vec<u8>,
    /// What a header before says of the next file's name.
    long: Option<String>,
    is_begun: bool,
}

#[derive(Debug)]
enum State {
    Header,
    /// So much of a file, and of its padding, is to come.
    File(u64, u64),
    /// So much of a long name in this form, and of its padding.
    Name(Form, Vec<u8>, u64, u64),
    /// Padding.
    Padding(u64),
    /// It is no tar.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Gnu,
    Pax,
}

impl Default for Walker {
    fn default() -> Self {
        Self { state: State::Header, header: Vec::new(), long: None, is_begun: false }
    }
}

impl Walker {
    /// Takes the next bytes; every one of them is shown once, in order.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut see: impl FnMut(Part<'_>)) {
        while !bytes.is_empty() {
            let length = match &self.state {
                State::Lost => bytes.len(),
                State::Header => BLOCK - self.header.len(),
                State::File(left, _) | State::Name(_, _, left, _) | State::Padding(left) => {
                    usize::try_from(*left).unwrap_or(usize::MAX)
                }
            };
            let (piece, rest) = bytes.split_at(length.min(bytes.len()));
            see(Part::Bytes(piece));
            self.take(piece, &mut see);
            bytes = rest;
        }
    }

    fn take(&mut self, piece: &[u8], see: &mut impl FnMut(Part<'_>)) {
        let taken = piece.len() as u64;
        match &mut self.state {
            State::Lost => {}
            State::Header => {
                self.header.extend_from_slice(piece);
                if self.header.len() == BLOCK {
                    let header = std::mem::take(&mut self.header);
                    self.state = self.after(&header, see);
                }
            }
            State::File(left, padding) => {
                *left -= taken;
                if *left == 0 {
                    see(Part::End);
                    self.state = padded(*padding);
                }
            }
            State::Name(form, name, left, padding) => {
                name.extend_from_slice(&piece[..piece.len().min(NAME.saturating_sub(name.len()))]);
                *left -= taken;
                if *left == 0 {
                    self.long = form.name(name).or(self.long.take());
                    self.state = padded(*padding);
                }
            }
            State::Padding(left) => {
                *left -= taken;
                if *left == 0 {
                    self.state = State::Header;
                }
            }
        }
    }

    fn after(&mut self, header: &[u8], see: &mut impl FnMut(Part<'_>)) -> State {
        if header.iter().all(|byte| *byte == 0) && self.is_begun {
            return State::Header;
        }
        let Some(size) = size(header).filter(|_| is_header(header)) else { return State::Lost };
        self.is_begun = true;
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let form = match header[156] {
            b'L' => Some(Form::Gnu),
            b'x' => Some(Form::Pax),
            _ => None,
        };
        if let Some(form) = form {
            return if size == 0 { State::Header } else { State::Name(form, Vec::new(), size, padding) };
        }
        let name = self.long.take().unwrap_or_else(|| name(header));
        if size == 0 {
            return State::Header;
        }
        see(Part::Begin(&name));
        State::File(size, padding)
    }
}

fn padded(padding: u64) -> State {
    if padding == 0 { State::Header } else { State::Padding(padding) }
}

/// By its sum, in which the sum itself counts as spaces.
fn is_header(header: &[u8]) -> bool {
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = header[148..156].iter().map(|byte| u64::from(*byte)).sum();
    number(&header[148..156]) == Some(sum - own + 8 * u64::from(b' '))
}

fn size(header: &[u8]) -> Option<u64> {
    // No archive is so long: what passes is counted.
    number(&header[124..136]).filter(|size| *size < 1 << 60)
}

/// Octal digits, or as GNU writes large ones: in base 256 behind a set bit.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (begin, last) = field.split_at(field.len() - 8);
        let is_small = begin
            .split_first()
            .is_some_and(|(first, rest)| *first == 0x80 && rest.iter().all(|byte| *byte == 0));
        return is_small.then(|| last.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    }
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn name(header: &[u8]) -> String {
    let text = |field: &[u8]| {
        String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    };
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    let is_posix = header[257..263] == *b"ustar\0";
    if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

impl Form {
    fn name(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Gnu => {
                let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                Some(String::from_utf8_lossy(name).into_owned())
            }
            // `<length> path=<name>\n`.
            Self::Pax => {
                let mut rest = bytes;
                while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
                    let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
                    let record = rest.get(space + 1..length)?;
                    if let Some(path) = record.strip_prefix(b"path=") {
                        let path = path.strip_suffix(b"\n").unwrap_or(path);
                        return Some(String::from_utf8_lossy(path).into_owned());
                    }
                    rest = rest.get(length..)?;
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header with its sum.
    fn header(name: &str, kind: u8, size: &[u8]) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..124 + size.len()].copy_from_slice(size);
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut entry = header(name, kind, format!("{:011o}", content.len()).as_bytes());
        entry.extend_from_slice(content);
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        entry
    }

    /// The files with their contents, and all bytes.
    fn walk(bytes: &[u8], cuts: &[usize]) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
        let (mut walker, mut files, mut all, mut inside) = (Walker::default(), Vec::new(), Vec::new(), false);
        let (mut rest, mut cuts) = (bytes, cuts.iter().cycle());
        while !rest.is_empty() {
            let cut = cuts.next().map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
            let (piece, after) = rest.split_at(cut);
            walker.push(piece, |part| match part {
                Part::Begin(name) => {
                    inside = true;
                    files.push((name.to_owned(), Vec::new()));
                }
                Part::Bytes(bytes) => {
                    all.extend_from_slice(bytes);
                    if let (true, Some((_, content))) = (inside, files.last_mut()) {
                        content.extend_from_slice(bytes);
                    }
                }
                Part::End => inside = false,
            });
            rest = after;
        }
        (files, all)
    }

    fn file(name: &str, content: &[u8]) -> (String, Vec<u8>) {
        (name.to_owned(), content.to_vec())
    }

    #[test]
    fn files_have_their_names() {
        let long = "d/".repeat(100) + "f";
        let pax = format!("{} path={long}\n", long.len() + 10);
        let large = header("large", b'0', &[&[0x80, 0, 0][..], &[0; 8], &[3]].concat());
        let archive = [
            entry("etc/a", b'0', b"one"),
            entry("empty", b'0', b""),
            entry("x", b'x', pax.as_bytes()),
            entry("cut", b'0', b"two"),
            entry("././@LongLink", b'L', (long.clone() + "\0").as_bytes()),
            entry("cut", b'0', &[7; 600]),
            large,
            b"abc".to_vec(),
            vec![0; 509],
            vec![0; 1024],
        ]
        .concat();
        let expected =
            [file("etc/a", b"one"), file(&long, b"two"), file(&long, &[7; 600]), file("large", b"abc")];
        assert_eq!(walk(&archive, &[]), (expected.to_vec(), archive.clone()));
        for cut in [1, 511, 513] {
            assert_eq!(walk(&archive, &[cut]).0, expected);
        }
    }

    #[test]
    fn what_is_no_tar_is_bytes() {
        let text = "no tar ".repeat(200);
        assert_eq!(walk(text.as_bytes(), &[100]), (Vec::new(), text.clone().into_bytes()));
        let hostile =
            [entry("a", b'0', b"one"), header("b", b'0', b"77777777777"), b"rest".to_vec()].concat();
        let (files, all) = walk(&hostile, &[]);
        assert_eq!((files.len(), all), (2, hostile));
        let mut large_sum = header("a", b'0', b"00000000003");
        large_sum[148] = 0x80;
        assert_eq!(walk(&large_sum, &[]).0, []);
        let mut broken = entry("a", b'0', b"one");
        broken[3] = 1;
        assert_eq!(walk(&broken, &[]).0, []);
    }

    proptest! {
        #[test]
        fn every_byte_is_shown_once(bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut in 1usize..700) {
            prop_assert_eq!(walk(&bytes, &[cut]).1, bytes);
        }

        #[test]
        fn cuts_make_no_difference(
            contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1500), 0..4),
            cuts in proptest::collection::vec(1usize..900, 1..5),
        ) {
            let archive: Vec<u8> = contents.iter().flat_map(|content| entry("f", b'0', content)).collect();
            prop_assert_eq!(walk(&archive, &cuts), walk(&archive, &[]));
        }
    }
}
