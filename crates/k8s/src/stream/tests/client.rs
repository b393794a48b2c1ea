//! What is told of the client's direction, and what of it is refused.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

/// What a watcher is told, in words; bytes of a channel that come one after another are joined.
fn watch(upgrade: &Upgrade, limits: Limits, pieces: &[&[u8]]) -> Result<String, StreamError> {
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let told = Arc::clone(&seen);
    let watcher: Watcher = Box::new(move |event| {
        let mut told = told.lock().unwrap();
        let text = match event {
            Event::Opened { id, channel } => format!("{id} opened: {channel:?}"),
            Event::Bytes { channel: Channel::Resize, .. } => return Ok(()),
            Event::Bytes { id, bytes, .. } => {
                let head = format!("{id}: ");
                let text = bytes.escape_ascii().to_string();
                match told.last_mut().filter(|last| last.starts_with(&head)) {
                    Some(last) => last.push_str(&text),
                    None => told.push(head + &text),
                }
                return if bytes.contains(&b'!') { Err("shouted at".to_owned()) } else { Ok(()) };
            }
            Event::Resized(Size { columns, rows }) => format!("{columns}x{rows}"),
            Event::Finished { id, channel } => format!("{id} finished: {channel:?}"),
        };
        told.push(text);
        Ok(())
    });
    let (mut client, _) = halves(upgrade, limits, watcher, None);
    for piece in pieces {
        client.push(piece)?;
    }
    client.finish()?;
    let told = seen.lock().unwrap().join("\n");
    Ok(told)
}

fn check(upgrade: &Upgrade, wire: &[u8]) -> String {
    let whole = watch(upgrade, Limits::default(), &[wire]).unwrap();
    for at in 0..wire.len() {
        let (before, after) = wire.split_at(at);
        assert_eq!(watch(upgrade, Limits::default(), &[before, after]).unwrap(), whole, "cut at {at}");
    }
    assert_eq!(watch(upgrade, Limits::default(), &cut(wire, &[1])).unwrap(), whole);
    whole
}

fn refused(upgrade: &Upgrade, wire: &[u8], expected: &Fault) {
    for pieces in [cut(wire, &[wire.len()]), cut(wire, &[1])] {
        let error = watch(upgrade, Limits::default(), &pieces).unwrap_err();
        assert_eq!((error.at_fault, &error.fault), (Side::Client, expected));
    }
}

pub(super) fn typed() -> Vec<u8> {
    [
        message(Side::Client, 4, b"{\"Width\":120,\"Height\":40}\n"),
        message(Side::Client, 0, b"echo "),
        frame(Side::Client, 0x89, b"ping"),
        frame(Side::Client, 0x81, b"\x00hello\r"),
        frame(Side::Client, 0x82, b""),
        message(Side::Client, 0, b""),
        message(Side::Client, 255, b"\x00"),
        frame(Side::Client, 0x88, b"\x03\xe8"),
    ]
    .concat()
}

pub(super) fn spoken() -> Vec<u8> {
    [
        opening(&mut encoder()),
        encode::data(9, false, b"{\"Width\":120,\"Height\":40}\n"),
        encode::data(1, false, b"echo "),
        encode::numbers(6, &[1]),
        encode::data(1, false, b"hello\r"),
        encode::data(1, true, b""),
        encode::numbers(3, &[3, 5]),
        encode::numbers(7, &[0, 0]),
    ]
    .concat()
}

#[test]
fn what_is_typed_is_told() {
    insta::assert_snapshot!(check(&command(V5), &typed()), @r#"
    120x40
    0: echo hello\r
    0 finished: Stdin
    "#);
    insta::assert_snapshot!(check(&command(Transport::Spdy), &spoken()), @r#"
    1 opened: Stdin
    3 opened: Stdout
    5 opened: Stderr
    7 opened: Error
    9 opened: Resize
    120x40
    1: echo hello\r
    1 finished: Stdin
    "#);
}

#[test]
fn ports_are_told_before_their_bytes() {
    let mut encoder = encoder();
    let mut open = |id, kind, port| {
        encoder.syn_stream(id, 0, &[("streamtype", kind), ("port", port), ("requestid", "0")])
    };
    let spdy = [
        open(1, "error", "80"),
        encode::data(1, true, b""),
        open(3, "data", "80"),
        encode::data(3, false, b"GET / HTTP/1.0\r\n\r\n"),
        open(5, "error", "5432"),
        open(7, "data", "5432"),
        encode::data(7, true, b"\x00\x01"),
    ]
    .concat();
    let expected = check(&forward(Transport::Spdy, &[]), &spdy);
    insta::assert_snapshot!(expected, @r"
    1 opened: DataError { port: 80 }
    1 finished: DataError { port: 80 }
    3 opened: Data { port: 80 }
    3: GET / HTTP/1.0\r\n\r\n
    5 opened: DataError { port: 5432 }
    7 opened: Data { port: 5432 }
    7: \x00\x01
    7 finished: Data { port: 5432 }
    ");
    for sizes in [&[1][..], &[4, 1, 3], &[1000]] {
        let wire = tunnelled(Side::Client, &spdy, sizes);
        assert_eq!(watch(&forward(TUNNEL, &[]), Limits::default(), &cut(&wire, &[7])).unwrap(), expected);
    }
    assert_eq!(check(&forward(TUNNEL, &[]), &tunnelled(Side::Client, &spdy, &[3])), expected);

    let channels = [message(Side::Client, 0, b"one"), message(Side::Client, 2, b"two")].concat();
    assert_eq!(check(&forward(V4, &[80, 5432]), &channels), "0: one\n2: two");
}

#[test]
fn what_servers_could_read_in_another_way_is_refused() {
    let check = |frames: &[Vec<u8>], expected| refused(&command(V5), &frames.concat(), &expected);
    // A server that takes frames for messages would see a channel in the second one's first byte.
    let hidden = [frame(Side::Client, 0x02, b"\x04"), frame(Side::Client, 0x80, b"\x00rm -rf /\r")];
    check(&hidden, Fault::Fragmented);
    for channel in [1, 2, 3, 5, 254] {
        check(&[message(Side::Client, channel, b"x")], Fault::Channel(channel));
    }
    check(&[message(Side::Client, 255, b"")], Fault::HalfClose);
    check(&[message(Side::Client, 255, b"\x05")], Fault::HalfClose);
    check(&[message(Side::Client, 255, b"\x00\x00")], Fault::HalfClose);
    refused(&command(V4), &message(Side::Client, 255, b"\x00"), &Fault::Channel(255));
    refused(&forward(V4, &[80]), &message(Side::Client, 1, b"x"), &Fault::Channel(1));
    refused(&forward(V4, &[80]), &message(Side::Client, 2, b"x"), &Fault::Channel(2));
    refused(&forward(TUNNEL, &[]), &frame(Side::Client, 0x81, b"x"), &Fault::Text);
    refused(&command(V5), &frame(Side::Server, 0x82, b"x"), &WebSocketError::Mask.into());
    refused(&command(V5), &message(Side::Client, 0, b"some text")[..9], &WebSocketError::Cut.into());
    refused(&forward(TUNNEL, &[]), &frame(Side::Client, 0x82, b"\x00"), &SpdyError::Cut.into());
}

#[test]
fn streams_are_opened_for_what_is_known_and_once() {
    let check = |upgrade: &Upgrade, headers: &[(&str, &str)]| {
        refused(upgrade, &encoder().syn_stream(1, 0, headers), &Fault::Opening(1));
    };
    let command = command(Transport::Spdy);
    check(&command, &[]);
    check(&command, &[("streamtype", "stdio")]);
    check(&command, &[("streamtype", "data"), ("port", "80")]);
    check(&command, &[("streamtype", "stdin\0stdout")]);
    let forward = forward(Transport::Spdy, &[]);
    check(&forward, &[("streamtype", "stdin")]);
    check(&forward, &[("streamtype", "data")]);
    for port in ["", "0", "+80", "-1", "65536", "80\0", "80,81", " 80"] {
        check(&forward, &[("streamtype", "data"), ("port", port)]);
    }
    let mut encoder = encoder();
    let twice = [1, 3].map(|id| encoder.syn_stream(id, 0, &[("streamtype", "stdin")])).concat();
    refused(&command, &twice, &Fault::Opening(3));
}

#[test]
fn bytes_on_streams_that_are_not_the_clients_are_refused() {
    let check = |bytes: &[u8], id| {
        refused(&command(Transport::Spdy), &[&opening(&mut encoder()), bytes].concat(), &Fault::Stream(id));
    };
    check(&encode::data(11, false, b"x"), 11);
    check(&encode::data(3, false, b"x"), 3);
    check(&[encode::data(1, true, b"x"), encode::data(1, false, b"x")].concat(), 1);
    check(&[encode::numbers(3, &[1, 5]), encode::data(1, false, b"x")].concat(), 1);
    let closed = encoder().syn_stream(1, 1, &[("streamtype", "stdin")]);
    refused(&command(Transport::Spdy), &[closed, encode::data(1, false, b"x")].concat(), &Fault::Stream(1));
}

#[test]
fn streams_are_bounded_and_those_that_were_reset_make_room() {
    let limits = Limits { streams: 4, ..Limits::default() };
    let upgrade = forward(Transport::Spdy, &[]);
    let wire = |ends: fn(u32) -> Vec<u8>| {
        let mut encoder = encoder();
        let open =
            |id| [encoder.syn_stream(id, 0, &[("streamtype", "data"), ("port", "80")]), ends(id)].concat();
        (0..50).map(|number| 2 * number + 1).flat_map(open).collect::<Vec<_>>()
    };
    let error = watch(&upgrade, limits, &[&wire(|_| Vec::new())]).unwrap_err();
    assert_eq!(error.fault, Fault::TooMany);
    // The other side has not finished yet.
    let error = watch(&upgrade, limits, &[&wire(|id| encode::data(id, true, b""))]).unwrap_err();
    assert_eq!(error.fault, Fault::TooMany);
    watch(&upgrade, limits, &[&wire(|id| encode::numbers(3, &[id, 5]))]).unwrap();
}

#[test]
fn what_the_watcher_refuses_goes_no_further() {
    let wire = [message(Side::Client, 0, b"quiet"), message(Side::Client, 0, b"loud!")].concat();
    refused(&command(V4), &wire, &Fault::Refused("shouted at".to_owned()));
}

proptest! {
    #[test]
    fn every_split_tells_the_same(sizes in prop::collection::vec(1usize..40, 1..60)) {
        for (upgrade, wire) in [
            (command(V5), typed()),
            (command(Transport::Spdy), spoken()),
            (command(TUNNEL), tunnelled(Side::Client, &spoken(), &sizes)),
        ] {
            let whole = watch(&upgrade, Limits::default(), &[&wire]).unwrap();
            prop_assert_eq!(watch(&upgrade, Limits::default(), &cut(&wire, &sizes)).unwrap(), whole);
        }
    }
}
