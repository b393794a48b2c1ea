//! SPDY frames whole and under every cut, and those that are refused.

use flate2::Compression;
use proptest::prelude::*;

use super::{
    encode::{self, Encoder},
    *,
};

/// What a direction says, in words; DATA of a stream that stands side by side is joined.
fn read(sender: Side, limits: Limits, pieces: &[&[u8]]) -> Result<Vec<String>, SpdyError> {
    let (mut decoder, mut told) = (Decoder::new(sender, limits), Vec::<String>::new());
    let mut wire = Vec::new();
    for piece in pieces {
        decoder.read::<SpdyError>(piece, &mut |event| {
            match event {
                Event::Control { control, raw } => {
                    wire.extend_from_slice(raw);
                    told.push(format!("{control:?}"));
                }
                Event::Data { stream, bytes, fin } => {
                    let head = format!("data {stream} ");
                    match told.last_mut().filter(|last| last.starts_with(&head) && !last.ends_with('.')) {
                        Some(last) => last.push_str(&bytes.escape_ascii().to_string()),
                        None => told.push(format!("{head}{}", bytes.escape_ascii())),
                    }
                    if fin {
                        told.last_mut().unwrap().push('.');
                    }
                }
            }
            Ok(())
        })?;
    }
    if decoder.is_at_boundary() { Ok(told) } else { Err(SpdyError::Cut) }
}

fn refused(sender: Side, wire: &[u8], expected: SpdyError) {
    assert_eq!(read(sender, Limits::default(), &[wire]), Err(expected.clone()));
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(sender, Limits::default(), &bytes), Err(expected));
}

fn transcript(level: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(level);
    [
        encoder.syn_stream(1, 0, &[("streamtype", "error")]),
        encoder.syn_stream(3, 1, &[("streamtype", "stdin"), ("port", "8080")]),
        encoder.headers(1, 1, &[("x", "")]),
        encoder.syn_stream(0x7fff_ffff, 2, &[]),
        encode::data(3, false, b"some text"),
        encode::data(3, false, b""),
        encode::data(5, true, b"more"),
        encode::data(7, true, b""),
        encode::numbers(3, &[3, 5]),
        encode::numbers(4, &[1, 7, 65536]),
        encode::numbers(6, &[1]),
        encode::numbers(9, &[0, 65536]),
        encode::numbers(7, &[3, 0]),
    ]
    .concat()
}

#[test]
fn all_frames_are_read_whole_and_under_every_cut() {
    let wire = transcript(Compression::best());
    let whole = read(Side::Client, Limits::default(), &[&wire]).unwrap();
    insta::assert_snapshot!(whole.join("\n"), @r#"
    SynStream { stream: 1, fin: false, unidirectional: false, headers: {"streamtype": "error"} }
    SynStream { stream: 3, fin: true, unidirectional: false, headers: {"streamtype": "stdin", "port": "8080"} }
    Headers { stream: 1, fin: true, headers: {"x": ""} }
    SynStream { stream: 2147483647, fin: false, unidirectional: true, headers: {} }
    data 3 some text
    data 5 more.
    data 7 .
    RstStream { stream: 3, status: 5 }
    Settings
    Ping(1)
    WindowUpdate { stream: 0, delta: 65536 }
    GoAway { last: 3, status: 0 }
    "#);
    for at in 0..wire.len() {
        let (before, after) = wire.split_at(at);
        assert_eq!(
            read(Side::Client, Limits::default(), &[before, after]).as_ref(),
            Ok(&whole),
            "cut at {at}"
        );
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(Side::Client, Limits::default(), &bytes), Ok(whole));
}

/// What the library of kubectl and of the API server writes (moby/spdystream 0.5.1).
const CLIENT: &str = "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a68000\
    00000ffff800300010000001700000003000000000000c22e555c92929907000000ffff8003000100000019000000050000000000\
    00c22ac5565c92925f5a02000000ffff80030006000000040000000100000003000000036c730a00000003010000008003000300\
    000008000000050000000580030007000000080000000000000000";
const SERVER: &str = "80030002000000140000000178f9e3c6a7c26260606000000000ffff800300020000000c0000000302610000000\
    0ffff800300020000000c00000005026100000000ffff8003000800000015000000016260606004e10a70d9c89004000000ffff00\
    0000050000000566696c650a000000050100000000000001000000027b7d80030007000000080000000500000000";

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.as_bytes().chunks(2).map(pair).collect()
}

#[test]
fn what_kubectl_and_the_api_server_write_is_read() {
    let client = read(Side::Client, Limits::default(), &[&unhex(CLIENT)]).unwrap();
    insta::assert_snapshot!(client.join("\n"), @r#"
    SynStream { stream: 1, fin: false, unidirectional: false, headers: {"streamtype": "error"} }
    SynStream { stream: 3, fin: false, unidirectional: false, headers: {"streamtype": "stdin"} }
    SynStream { stream: 5, fin: false, unidirectional: false, headers: {"streamtype": "stdout"} }
    Ping(1)
    data 3 ls\n.
    RstStream { stream: 5, status: 5 }
    GoAway { last: 0, status: 0 }
    "#);
    let server = read(Side::Server, Limits::default(), &[&unhex(SERVER)]).unwrap();
    insta::assert_snapshot!(server.join("\n"), @r#"
    SynReply { stream: 1, fin: false, headers: {} }
    SynReply { stream: 3, fin: false, headers: {} }
    SynReply { stream: 5, fin: false, headers: {} }
    Headers { stream: 1, fin: false, headers: {"x": "a\0b"} }
    data 5 file\n.
    data 1 {}
    GoAway { last: 5, status: 0 }
    "#);
}

#[test]
fn the_end_within_a_frame_is_told() {
    let wire = encode::data(3, false, b"some text");
    for at in 1..wire.len() {
        assert_eq!(read(Side::Client, Limits::default(), &[&wire[..at]]), Err(SpdyError::Cut), "cut at {at}");
    }
}

#[test]
fn control_frames_are_handed_on_as_they_came() {
    let mut encoder = Encoder::new(Compression::fast());
    let frames = [
        encoder.syn_reply(1, 0, &[("a", "b")]),
        encoder.headers(1, 0, &[("a", "c")]),
        encode::numbers(6, &[2]),
    ];
    let mut decoder = Decoder::new(Side::Server, Limits::default());
    let mut seen = Vec::new();
    for byte in frames.concat() {
        decoder
            .read::<SpdyError>(&[byte], &mut |event| {
                if let Event::Control { raw, .. } = event {
                    seen.push(raw.to_vec());
                }
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(seen, frames);
}

#[test]
fn ids_grow_and_are_of_their_side() {
    for ids in [&[1, 1][..], &[3, 1], &[2], &[0], &[0x8000_0001]] {
        let mut encoder = Encoder::new(Compression::fast());
        let wire: Vec<u8> = ids.iter().flat_map(|id| encoder.syn_stream(*id, 0, &[])).collect();
        refused(Side::Client, &wire, SpdyError::Stream(ids[ids.len() - 1]));
    }
    let wire = Encoder::new(Compression::fast()).syn_stream(1, 0, &[]);
    refused(Side::Server, &wire, SpdyError::Stream(1));
    refused(Side::Server, &encode::data(0, false, b"x"), SpdyError::Stream(0));
    refused(Side::Server, &encode::numbers(3, &[0, 1]), SpdyError::Stream(0));
    // Ids have 31 bits: 128 is not 0.
    let data = read(Side::Server, Limits::default(), &[&encode::data(128, false, b"x")]).unwrap();
    assert_eq!(data, ["data 128 x"]);
}

#[test]
fn what_means_nothing_is_refused() {
    refused(Side::Server, &[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], SpdyError::Version(2));
    for kind in [0, 5, 10, 255] {
        refused(Side::Server, &encode::control(kind, 0, &[]), SpdyError::Type(kind.into()));
    }
    refused(Side::Server, &encode::control(6, 1, &[0, 0, 0, 1]), SpdyError::Flags(1));
    refused(Side::Server, &[0, 0, 0, 1, 2, 0, 0, 0], SpdyError::Flags(2));
    for (kind, length) in [(1, 9), (2, 3), (3, 7), (3, 9), (4, 3), (4, 5), (6, 5), (7, 4), (8, 0), (9, 12)] {
        refused(
            Side::Client,
            &encode::control(kind, 0, &vec![0; length]),
            SpdyError::Length(kind.into(), length),
        );
    }
    refused(Side::Client, &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], SpdyError::TooLong(MAX_DATA));
}

fn block_refused(block: &[u8], expected: HeaderError) {
    let compressed = Encoder::new(Compression::best()).compressed(block);
    raw_block_refused(&compressed, expected);
}

fn raw_block_refused(compressed: &[u8], expected: HeaderError) {
    let body = [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], compressed].concat();
    refused(Side::Client, &encode::control(1, 0, &body), expected.into());
}

#[test]
fn headers_that_could_be_read_in_two_ways_are_refused() {
    block_refused(b"", HeaderError::Lengths);
    block_refused(b"\0\0\0", HeaderError::Lengths);
    block_refused(b"\0\0\0\x01", HeaderError::Lengths);
    block_refused(b"\0\0\0\x01\0\0\0\x09abc", HeaderError::Lengths);
    block_refused(b"\0\0\0\0more", HeaderError::Lengths);
    block_refused(b"\xff\xff\xff\xff", HeaderError::TooMany);
    block_refused(&encode::block(&[("", "a")]), HeaderError::Name);
    block_refused(&encode::block(&[("StreamType", "a")]), HeaderError::Name);
    block_refused(&encode::block(&[("streamtype", "stdin"), ("streamtype", "stdout")]), HeaderError::Name);
    raw_block_refused(b"", HeaderError::Lengths);
    raw_block_refused(b"no zlib", HeaderError::Zlib);
    // Another dictionary.
    raw_block_refused(b"\x78\xbb\0\0\0\x01more", HeaderError::Zlib);
    // A stream at its end, with bytes behind it.
    let mut ended = Encoder::new(Compression::fast()).compressed(&encode::block(&[]));
    ended.extend_from_slice(b"\x03\0\0\0\0\x01and more");
    raw_block_refused(&ended, HeaderError::Zlib);
}

#[test]
fn a_bomb_in_headers_goes_off_in_a_small_room() {
    let value = "x".repeat(1 << 20);
    let wire = Encoder::new(Compression::best()).syn_stream(1, 0, &[("a", &value)]);
    assert!(wire.len() < Limits::default().control);
    refused(Side::Client, &wire, HeaderError::TooMany.into());
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (&name[..], "")).collect();
    refused(
        Side::Client,
        &Encoder::new(Compression::best()).syn_stream(1, 0, &many),
        HeaderError::TooMany.into(),
    );
    // As many and as long as is taken: sizes at which the decompressor fills its room exactly, too.
    for length in [4079, 4080, 4081, 8176, 60_000] {
        let wire = Encoder::new(Compression::best()).syn_stream(1, 0, &[("a", &"y".repeat(length))]);
        assert!(read(Side::Client, Limits::default(), &[&wire]).unwrap()[0].contains(&"y".repeat(length)));
    }
}

proptest! {
    #[test]
    fn every_split_reads_the_same(cuts in prop::collection::vec(1usize..40, 1..60), level in 0u32..10) {
        let wire = transcript(Compression::new(level));
        let (mut pieces, mut rest) = (Vec::new(), &wire[..]);
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let limits = Limits::default();
        prop_assert_eq!(read(Side::Client, limits, &pieces), read(Side::Client, limits, &[&wire]));
    }

    #[test]
    fn noise_does_no_harm(noise in prop::collection::vec(any::<u8>(), 0..300), at: usize, byte: u8) {
        fuzz_spdy(&noise);
        let mut wire = transcript(Compression::none());
        let at = at % wire.len();
        wire[at] = byte;
        fuzz_spdy(&wire);
    }
}
