//! Entries of all dialects, whole and cut, and what is no tar.

use proptest::prelude::*;

use super::*;

/// A header and a content, as tar writes them.
pub(in super::super) fn entry(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut entry = header(kind, name, content.len() as u64);
    entry.extend_from_slice(content);
    entry.resize(entry.len().next_multiple_of(BLOCK), 0);
    entry
}

fn header(kind: u8, name: &[u8], size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u64 = block[..BLOCK].iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length =
        (1..).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap() + rest.len();
    format!("{length}{rest}").into_bytes()
}

fn read(wire: &[u8], size: usize) -> String {
    let mut tar = Tar::new();
    for piece in wire.chunks(size) {
        tar.push(piece);
    }
    let (entries, more, error) = tar.finish();
    let mut text = String::new();
    for Entry { path, kind, size, sha256 } in entries {
        let sha256 = sha256.map_or("none".to_owned(), |sha256| sha256[..8].to_owned());
        text += &format!("{path} {kind:?} {size} {sha256}\n");
    }
    text + &format!("{more} more, {error:?}")
}

fn check(wire: &[u8]) -> String {
    let whole = read(wire, usize::MAX);
    for size in [1, 7, 511, 512, 513] {
        assert_eq!(read(wire, size), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn entries_of_all_dialects_are_read() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    let mut prefixed = header(b'0', b"name", 0);
    prefixed[345..351].copy_from_slice(b"prefix");
    seal(&mut prefixed);
    let mut linked = header(b'2', b"link", 0);
    linked[157..163].copy_from_slice(b"target");
    seal(&mut linked);
    let mut binary = header(b'0', b"binary", 0);
    binary[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x03");
    seal(&mut binary);
    let wire = [
        entry(b'5', b"folder/", b""),
        entry(b'0', b"folder/empty", b""),
        entry(0, b"folder/abc", b"abc"),
        entry(b'0', b"block", &[b'x'; BLOCK]),
        prefixed,
        linked,
        binary,
        entry(b'0', b"", b"abc")[BLOCK..].to_vec(),
        entry(b'L', b"././@LongLink", [long.as_bytes(), b"\0"].concat().as_slice()),
        entry(b'0', b"cut", b"long"),
        entry(b'g', b"pax_global_header", &record("comment", "of no entry")),
        entry(
            b'x',
            b"PaxHeaders",
            &[record("path", &long), record("mtime", "1.5"), record("size", "5")].concat(),
        ),
        entry(b'0', b"cut", b"12345"),
        entry(b'3', b"device", b""),
        vec![0; 2 * BLOCK],
        b"padding".to_vec(),
    ]
    .concat();
    insta::assert_snapshot!(check(&wire));
}

#[test]
fn what_is_no_tar_is_told_behind_what_was() {
    let good = entry(b'0', b"good", b"abc");
    let mut bad = entry(b'0', b"bad", b"abc");
    bad[0] ^= 1;
    insta::assert_snapshot!(check(&[&good[..], &bad].concat()), @r"
    good File 3 ba7816bf
    0 more, Some(Header)
    ");
    insta::assert_snapshot!(check(&good[..BLOCK + 2]), @r"
    good File 3 none
    0 more, None
    ");
    insta::assert_snapshot!(check(&header(b'L', b"x", META + 1)), @"0 more, Some(Meta)");
    insta::assert_snapshot!(check(&entry(b'x', b"x", b"9 path=x\n9")), @"0 more, Some(Meta)");
    insta::assert_snapshot!(check(&entry(b'x', b"x", b"99999999999999999999 a=b\n")), @"0 more, Some(Meta)");
    let mut huge = header(b'0', b"huge", 0);
    huge[124..136].fill(0xff);
    seal(&mut huge);
    insta::assert_snapshot!(check(&huge), @"0 more, Some(Number)");
}

#[test]
fn the_entries_that_are_kept_are_bounded() {
    let wire = entry(b'0', b"x", b"").repeat(ENTRIES + 7);
    let (entries, more, _) = {
        let mut tar = Tar::new();
        tar.push(&wire);
        tar.finish()
    };
    assert_eq!((entries.len(), more), (ENTRIES, 7));
}

proptest! {
    #[test]
    fn noise_does_no_harm(noise in prop::collection::vec(any::<u8>(), 0..2000), kind: u8) {
        let mut wire = header(kind, b"x", 700);
        wire.extend(noise);
        prop_assert_eq!(read(&wire, 13), read(&wire, usize::MAX));
    }
}
