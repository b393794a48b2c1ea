//! Streams of every kind, however they are cut, beside zlib.

use proptest::{collection::vec, prelude::*};

use super::{
    Inflate,
    fuzz::{expected, inflate},
};
use crate::testing::packs::deflated;

fn same(input: &[u8], pieces: &[usize]) {
    let found = inflate(&mut Inflate::new(), input, pieces);
    assert_eq!(found.map_err(|_| ()), expected(input).map_err(|_| ()), "{} bytes in {pieces:?}", input.len());
}

/// Data with something of everything: literals of few or many kinds, copies from near and far.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        vec(any::<u8>(), 0..600),
        vec(prop::sample::select(&b"ab"[..]), 0..600),
        vec(prop::sample::select(&b"the quick brown fox\n"[..]), 0..600),
        (vec(any::<u8>(), 1..40), 1..400usize).prop_map(|(word, times)| word.repeat(times)),
        (any::<u8>(), 1..40_000usize).prop_map(|(byte, times)| vec![byte; times]),
    ];
    (vec(part, 0..12), vec((any::<prop::sample::Index>(), 1..5000usize), 0..6)).prop_map(|(parts, again)| {
        let mut data = parts.concat();
        for (from, length) in again.into_iter().filter(|_| !parts.is_empty()) {
            let from = if data.is_empty() { 0 } else { from.index(data.len()) };
            data.extend_from_within(from..data.len().min(from + length));
        }
        data
    })
}

proptest! {
    #[test]
    fn makes_what_zlib_makes_however_it_is_split(
        (data, level, pieces) in (data(), 0..10u32, vec(1..70_000usize, 1..4)),
        behind in vec(any::<u8>(), 0..40),
    ) {
        let mut stream = deflated(&data, level);
        let end = stream.len();
        stream.extend_from_slice(&behind);
        let mut zlib = Inflate::new();
        for pieces in [&pieces[..], &[], &[1], &[7, 40]] {
            let found = inflate(&mut zlib, &stream, pieces).unwrap();
            prop_assert_eq!(found.as_ref(), Some(&(data.clone(), end)));
        }
        for cut in [0, 1, 2, end / 2, end - 1] {
            prop_assert_eq!(inflate(&mut zlib, &stream[..cut], &pieces), Ok(None));
        }
    }

    #[test]
    fn refuses_what_zlib_refuses(
        (data, level, pieces) in (data(), 0..10u32, vec(1..3000usize, 1..4)),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        early in any::<bool>(),
    ) {
        let mut stream = deflated(&data, level);
        let most = if early { stream.len().min(80) } else { stream.len() };
        for (place, byte) in changes {
            stream[place.index(most)] = byte;
        }
        same(&stream, &pieces);
        same(&stream, &[1]);
    }

    #[test]
    fn takes_any_bits_as_zlib_does(bits in vec(any::<u8>(), 0..400), kind in 0..8u8, pieces in vec(1..50usize, 1..3)) {
        // A header, and the type of the first block.
        let mut stream = vec![0x78, 0x9c];
        stream.extend_from_slice(&bits);
        if let Some(first) = stream.get_mut(2) {
            *first = *first & !7 | kind;
        }
        same(&stream, &pieces);
    }
}

#[test]
fn ends_where_the_stream_does() {
    // Streams one behind the other, all of them at hand at once.
    let contents: Vec<Vec<u8>> =
        (0..300usize).map(|n| b"some words of some tree".repeat(n % 7 + 1)[..n % 23].to_vec()).collect();
    let streams: Vec<u8> =
        contents.iter().enumerate().flat_map(|(n, it)| deflated(it, n as u32 % 10)).collect();
    let (mut zlib, mut read) = (Inflate::new(), 0);
    for content in &contents {
        let (made, length) = inflate(&mut zlib, &streams[read..], &[]).unwrap().unwrap();
        assert_eq!(made, *content);
        read += length;
    }
    assert_eq!(read, streams.len());
}

#[test]
fn copies_from_as_far_as_there_is() {
    // A literal and a copy from one byte before the beginning, by hand: fixed codes.
    let wrong = [0x78, 0x9c, 0x4b, 0x04, 0x11, 0x00, 0x00, 0x00, 0x00];
    same(&wrong, &[]);
    // What is copied is 32 KiB behind, over and over.
    let far: Vec<u8> = (0..32_768u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let data = far.repeat(9);
    let stream = deflated(&data, 9);
    assert!(stream.len() < data.len() / 4, "it copies");
    for pieces in [&[][..], &[1], &[100_000], &[31]] {
        let found = inflate(&mut Inflate::new(), &stream, pieces).unwrap();
        assert_eq!(found, Some((data.clone(), stream.len())));
    }
}

#[test]
fn says_what_is_wrong() {
    let told = |stream: &[u8]| inflate(&mut Inflate::new(), stream, &[]).unwrap_err().to_string();
    insta::assert_snapshot!(told(&[0x78, 0x9d]), @"the zlib stream is malformed: its header is wrong");
    insta::assert_snapshot!(told(&[0x77, 0x85]), @"the zlib stream is malformed: its method is not known");
    insta::assert_snapshot!(told(&[0x78, 0xbb]), @"the zlib stream is malformed: it needs a dictionary");
    insta::assert_snapshot!(told(&[0x78, 0x9c, 0x07]), @"the zlib stream is malformed: a block is of no known type");
    insta::assert_snapshot!(
        told(&[0x78, 0x9c, 0x01, 1, 0, 1, 0, 7]),
        @"the zlib stream is malformed: a stored block is of two lengths"
    );
    let mut stream = deflated(b"some words", 6);
    *stream.last_mut().unwrap() ^= 1;
    insta::assert_snapshot!(told(&stream), @"the zlib stream is malformed: its checksum is that of another");
}
