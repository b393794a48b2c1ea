//! WebSocket frames whole and under every cut, and those that are refused.

use proptest::prelude::*;

use super::{encode::frame, *};

/// What a direction says, in words; pieces of a message that stand side by side are joined.
fn read(sender: Side, pieces: &[&[u8]]) -> Result<String, WebSocketError> {
    let (mut decoder, mut told, mut in_piece) = (Decoder::new(sender), String::new(), false);
    for piece in pieces {
        decoder.read::<WebSocketError>(piece, &mut |event| {
            let was_in_piece = std::mem::replace(&mut in_piece, matches!(event, Event::Payload(_)));
            let text = match event {
                Event::Begin { text, whole } => format!("begin text={text} whole={whole}\n"),
                Event::Payload(bytes) if was_in_piece => {
                    told.pop();
                    format!("{}\n", bytes.escape_ascii())
                }
                Event::Payload(bytes) => format!("  {}\n", bytes.escape_ascii()),
                Event::End => "end\n".to_owned(),
                Event::Control { opcode, payload } => format!("{opcode:?} {}\n", payload.escape_ascii()),
            };
            told.push_str(&text);
            Ok(())
        })?;
    }
    if decoder.is_at_boundary() { Ok(told) } else { Err(WebSocketError::Cut) }
}

fn refused(sender: Side, wire: &[u8], expected: WebSocketError) {
    assert_eq!(read(sender, &[wire]), Err(expected));
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(sender, &bytes), Err(expected));
}

fn transcript(sender: Side) -> Vec<u8> {
    [
        frame(sender, 0x82, b"\x01"),
        frame(sender, 0x81, b"\x00text"),
        frame(sender, 0x02, b"\x01one "),
        frame(sender, 0x89, b"ping within"),
        frame(sender, 0x00, b""),
        frame(sender, 0x00, b"message"),
        frame(sender, 0x8a, b""),
        frame(sender, 0x80, b", of frames"),
        frame(sender, 0x82, b""),
        frame(sender, 0x82, &[b'l'; 126]),
        frame(sender, 0x88, b"\x03\xe8bye"),
        frame(sender, 0x89, b""),
    ]
    .concat()
}

#[test]
fn messages_and_control_frames_are_read_whole_and_under_every_cut() {
    for sender in [Side::Client, Side::Server] {
        let wire = transcript(sender);
        let whole = read(sender, &[&wire]).unwrap();
        insta::assert_snapshot!("frames", whole);
        for at in 0..wire.len() {
            let (before, after) = wire.split_at(at);
            assert_eq!(read(sender, &[before, after]).as_ref(), Ok(&whole), "cut at {at}");
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read(sender, &bytes), Ok(whole));
    }
}

#[test]
fn lengths_of_every_width_are_read_and_written() {
    for length in [0, 1, 125, 126, 65535, 65536, 70000] {
        for sender in [Side::Client, Side::Server] {
            let told = read(sender, &[&frame(sender, 0x82, &vec![b'y'; length])]).unwrap();
            assert_eq!(told.matches('y').count(), length);
        }
    }
    let huge = [&[0x82, 127][..], &u64::MAX.to_be_bytes()].concat();
    refused(Side::Server, &huge, WebSocketError::Length);
    let long = [&[0x82, 127][..], &(u64::MAX >> 1).to_be_bytes(), b"begins"].concat();
    refused(Side::Server, &long, WebSocketError::Cut);
    refused(Side::Server, &[0x82, 126, 0, 125], WebSocketError::Length);
    refused(Side::Server, &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], WebSocketError::Length);
}

#[test]
fn masks_are_the_clients() {
    refused(Side::Client, &frame(Side::Server, 0x82, b"x"), WebSocketError::Mask);
    refused(Side::Server, &frame(Side::Client, 0x82, b"x"), WebSocketError::Mask);
    refused(Side::Client, &frame(Side::Server, 0x89, b""), WebSocketError::Mask);
}

#[test]
fn what_means_nothing_is_refused() {
    for bit in [0x40, 0x20, 0x10] {
        refused(Side::Server, &frame(Side::Server, 0x82 | bit, b"x"), WebSocketError::Reserved);
    }
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        refused(Side::Server, &frame(Side::Server, 0x80 | opcode, b"x"), WebSocketError::Opcode(opcode));
    }
}

#[test]
fn frames_in_odd_places_are_refused() {
    let check = |frames: &[(u8, &[u8])], expected| {
        for sender in [Side::Client, Side::Server] {
            let wire: Vec<u8> =
                frames.iter().flat_map(|(first, payload)| frame(sender, *first, payload)).collect();
            refused(sender, &wire, expected);
        }
    };
    check(&[(0x80, b"x")], WebSocketError::Continuation);
    check(&[(0x82, b"x"), (0x00, b"y")], WebSocketError::Continuation);
    check(&[(0x02, b"x"), (0x82, b"y")], WebSocketError::Continuation);
    check(&[(0x02, b"x"), (0x81, b"y")], WebSocketError::Continuation);
    check(&[(0x09, b"x")], WebSocketError::Control);
    check(&[(0x89, &[0; 126])], WebSocketError::Control);
    check(&[(0x88, b"\x03")], WebSocketError::Close);
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        check(&[(0x88, &u16::to_be_bytes(code))], WebSocketError::Close);
    }
    check(&[(0x88, b""), (0x82, b"x")], WebSocketError::Closed);
    check(&[(0x02, b"x"), (0x88, b""), (0x80, b"x")], WebSocketError::Closed);
    check(&[(0x02, b"x")], WebSocketError::Cut);
    check(&[(0x02, b"x"), (0x89, b"x")], WebSocketError::Cut);
}

#[test]
fn the_end_within_a_frame_is_told() {
    let wire = frame(Side::Client, 0x82, b"some text");
    for at in 1..wire.len() {
        assert_eq!(read(Side::Client, &[&wire[..at]]), Err(WebSocketError::Cut), "cut at {at}");
    }
}

proptest! {
    #[test]
    fn every_split_reads_the_same(cuts in prop::collection::vec(1usize..40, 1..60), client: bool) {
        let sender = if client { Side::Client } else { Side::Server };
        let wire = transcript(sender);
        let (mut pieces, mut rest) = (Vec::new(), &wire[..]);
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(read(sender, &pieces), read(sender, &[&wire]));
    }

    #[test]
    fn noise_does_no_harm(noise in prop::collection::vec(any::<u8>(), 0..300), at: usize, byte: u8) {
        fuzz_websocket(&noise);
        let mut wire = transcript(Side::Client);
        let at = at % wire.len();
        wire[at] = byte;
        fuzz_websocket(&wire);
    }
}
