//! What is shown of the upstream's direction.

use std::sync::LazyLock;

use lockgate_detect::{KnownValues, MaskOptions, RuleSet, TagKey};
use proptest::prelude::*;

use super::*;

pub(super) const SECRET: &str = "correct horse";

static RULES: LazyLock<(RuleSet, KnownValues)> = LazyLock::new(|| {
    let known = KnownValues::new();
    known.add("db", SECRET.as_bytes()).unwrap();
    (RuleSet::only("").unwrap(), known)
});

/// All channels masked but those of port-forwards' data.
pub(crate) fn maskers() -> Maskers {
    let (rules, known) = &*RULES;
    Box::new(|channel| {
        let masker = || Masker::new(rules, known, &TagKey::new(b"test"), MaskOptions::default());
        (!matches!(channel, Channel::Data { .. })).then(masker)
    })
}

pub(super) fn half(upgrade: &Upgrade, opening: &[u8]) -> ServerHalf {
    let (mut client, server) = halves(upgrade, Limits::default(), Box::new(|_| Ok(())), Some(maskers()));
    client.push(opening).unwrap();
    server
}

/// The bytes that the client gets.
pub(super) fn shown(upgrade: &Upgrade, opening: &[u8], pieces: &[&[u8]]) -> Result<Vec<u8>, StreamError> {
    let (mut half, mut out) = (half(upgrade, opening), Vec::new());
    for piece in pieces {
        half.push(piece)?;
        out.extend(half.take().into_iter().flatten());
    }
    half.finish()?;
    out.extend(half.take().into_iter().flatten());
    Ok(out)
}

/// What the client reads of that, in words.
pub(super) fn read(upgrade: &Upgrade, opening: &[u8], wire: &[u8]) -> Vec<String> {
    let (_, [mut client, mut server]) = readers(upgrade, Limits::default());
    client.read(opening, &mut |_| Ok(())).unwrap();
    told(&mut server, wire).unwrap()
}

/// What the client reads, the same under every cut.
fn check(upgrade: &Upgrade, opening: &[u8], wire: &[u8]) -> String {
    let show =
        |pieces: &[&[u8]]| by_channel(read(upgrade, opening, &shown(upgrade, opening, pieces).unwrap()));
    let whole = shown(upgrade, opening, &[wire]).unwrap();
    let told = read(upgrade, opening, &whole);
    let expected = by_channel(told.clone());
    for at in 0..wire.len() {
        let (before, after) = wire.split_at(at);
        assert_eq!(show(&[before, after]), expected, "cut at {at}");
    }
    assert_eq!(show(&cut(wire, &[1])), expected);
    told.join("\n")
}

/// What is said of each channel, and the order of all else: between them, pauses make the order.
fn by_channel(told: Vec<String>) -> Vec<String> {
    let mut sorted = Vec::<String>::new();
    for line in told {
        let head = line.split_once(": ").map(|(head, _)| format!("{head}: "));
        match sorted.iter_mut().rev().find(|known| head.as_ref().is_some_and(|head| known.starts_with(head)))
        {
            Some(known) => known.push_str(&line[head.unwrap_or_default().len()..]),
            None => sorted.push(line),
        }
    }
    sorted.sort();
    sorted
}

pub(super) fn printed() -> Vec<u8> {
    [
        message(Side::Server, 1, b""),
        message(Side::Server, 1, b"the password is corr"),
        frame(Side::Server, 0x8a, b"pong"),
        message(Side::Server, 2, b"a warning of a corr"),
        frame(Side::Server, 0x02, b"\x01ect "),
        frame(Side::Server, 0x89, b"within"),
        frame(Side::Server, 0x00, b""),
        frame(Side::Server, 0x80, b"horse, and more: cor"),
        message(Side::Server, 3, b"{\"status\":\"Failure\",\"message\":\"no correct horse\"}"),
        frame(Side::Server, 0x88, b"\x03\xe8"),
    ]
    .concat()
}

pub(super) fn spoken() -> Vec<u8> {
    let mut encoder = encoder();
    [
        encoder.syn_reply(1, 0, &[]),
        encoder.syn_reply(3, 0, &[("a", "b")]),
        encode::numbers(9, &[1, 100]),
        encode::data(3, false, b"the password is corr"),
        encode::data(5, false, b"a warning of a corr"),
        encode::data(3, false, b"ect horse"),
        encode::data(3, true, b", and more: cor"),
        encode::data(5, false, b""),
        encode::data(7, false, b"{\"message\":\"no correct horse\"}"),
        encode::data(7, true, b""),
        encode::numbers(3, &[5, 5]),
        encode::numbers(7, &[9, 0]),
    ]
    .concat()
}

#[test]
fn channels_are_masked_each_on_its_own() {
    insta::assert_snapshot!(check(&command(V4), b"", &printed()));
}

#[test]
fn streams_are_masked_each_on_its_own() {
    let opening = opening(&mut encoder());
    let told = check(&command(Transport::Spdy), &opening, &spoken());
    insta::assert_snapshot!(told);
    for sizes in [&[1][..], &[4, 1, 3], &[1000]] {
        let (up, down) =
            (tunnelled(Side::Client, &opening, sizes), tunnelled(Side::Server, &spoken(), sizes));
        let tunnel = check(&command(TUNNEL), &up, &down);
        let inner: Vec<_> =
            tunnel.lines().filter(|line| !line.starts_with("Ping")).map(str::to_owned).collect();
        assert_eq!(by_channel(inner), by_channel(told.lines().map(str::to_owned).collect()));
    }
}

#[test]
fn without_maskers_all_bytes_pass_as_they_are() {
    let opening = opening(&mut encoder());
    for (upgrade, opening, wire) in [
        (command(V5), &b""[..], printed()),
        (command(Transport::Spdy), &opening, spoken()),
        (command(TUNNEL), &tunnelled(Side::Client, &opening, &[5]), tunnelled(Side::Server, &spoken(), &[3])),
    ] {
        let (mut client, mut server) = halves(&upgrade, Limits::default(), Box::new(|_| Ok(())), None);
        client.push(opening).unwrap();
        let mut out = Vec::new();
        for piece in cut(&wire, &[1, 5, 3]) {
            server.push(piece).unwrap();
            assert_eq!(server.take().unwrap(), piece);
            out.extend_from_slice(piece);
        }
        server.finish().unwrap();
        assert_eq!(out, wire);
    }
}

#[test]
fn what_is_held_goes_before_what_ends_it() {
    let held = |upgrade: &Upgrade, opening: &[u8], before: Vec<u8>, end: Vec<u8>| {
        let mut half = half(upgrade, opening);
        half.push(&before).unwrap();
        assert!(half.is_holding());
        let mut out = half.take().unwrap().to_vec();
        half.push(&end).unwrap();
        assert!(!half.is_holding(), "held beyond the end");
        out.extend(half.take().unwrap());
        read(upgrade, opening, &out).join("\n")
    };
    let channels = |end| held(&command(V4), b"", message(Side::Server, 1, b"is it corr"), end);
    insta::assert_snapshot!(channels(message(Side::Server, 3, b"{}")), @r"
    1: is it corr
    3: {}
    ");
    insta::assert_snapshot!(channels(frame(Side::Server, 0x88, b"")), @r"
    1: is it corr
    Close
    ");
    let opening = opening(&mut encoder());
    let streams = |end| held(&command(Transport::Spdy), &opening, encode::data(3, false, b"is it corr"), end);
    insta::assert_snapshot!(streams(encode::data(7, false, b"{}")), @r"
    3: is it corr
    7: {}
    ");
    insta::assert_snapshot!(streams(encode::data(3, true, b"")), @r"
    3: is it corr
    3 finished
    ");
    insta::assert_snapshot!(streams(encode::numbers(3, &[3, 5])), @r"
    3: is it corr
    frame of type 3
    ");
    insta::assert_snapshot!(streams(encode::numbers(7, &[9, 0])), @r"
    3: is it corr
    frame of type 7
    ");
    insta::assert_snapshot!(streams(super::encoder().headers(3, 1, &[])), @r"
    3: is it corr
    frame of type 8
    ");
}

#[test]
fn a_pause_frees_what_is_not_confirmed() {
    let mut half = half(&command(V5), b"");
    half.push(&message(Side::Server, 1, b"$ co")).unwrap();
    assert_eq!(half.take().unwrap(), message(Side::Server, 1, b"$ "));
    assert!(half.is_holding());
    half.idle();
    assert_eq!(half.take().unwrap(), message(Side::Server, 1, b"co"));
    assert!(!half.is_holding());
    // It is masked nevertheless where it turns out to be one.
    half.push(&message(Side::Server, 1, b"rrect horse\n")).unwrap();
    let shown = half.take().unwrap();
    assert!(shown.escape_ascii().to_string().contains("[MASKED:db:"), "{}", shown.escape_ascii());
    assert_eq!(half.masked(), 1);
}

#[test]
fn a_pause_frees_nothing_that_is_confirmed() {
    let mut half = half(&command(V5), b"");
    half.push(&message(Side::Server, 1, b"correct hors")).unwrap();
    half.idle();
    assert!(half.is_holding());
    assert_eq!(half.take(), None);
}

#[test]
fn a_status_stays_one_message_and_nothing_comes_within() {
    let mut half = half(&command(V5), b"");
    half.push(&message(Side::Server, 1, b"co")).unwrap();
    let status = message(Side::Server, 3, &[b"{\"message\":\"", &b"x".repeat(100_000)[..], b"\"}"].concat());
    let mut out = Vec::new();
    for piece in cut(&status, &[997]) {
        half.push(piece).unwrap();
        half.idle();
        out.extend(half.take().into_iter().flatten());
    }
    let (_, [_, mut reader]) = readers(&command(V5), Limits::default());
    let mut messages = Vec::new();
    reader
        .read(&out, &mut |seen| {
            if let Seen::Begin { id, .. } | Seen::End { id, .. } = seen {
                messages.push(id);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(messages, [1, 1, 3, 3]);
}

#[test]
fn the_port_at_the_beginning_of_a_channel_is_no_text() {
    let upgrade = forward(V4, &[80]);
    // 28515 is "co", which could begin the secret.
    let wire = [
        message(Side::Server, 0, b"co"),
        message(Side::Server, 1, b"co"),
        message(Side::Server, 1, SECRET.as_bytes()),
    ];
    let out = shown(&upgrade, b"", &[&wire.concat()]).unwrap();
    assert!(out.starts_with(&wire[..2].concat()), "{}", out.escape_ascii());
    assert!(!out.escape_ascii().to_string().contains(SECRET));
}

#[test]
fn the_data_of_ports_passes_as_it_is() {
    let mut encoder = encoder();
    let mut open = |id, kind| encoder.syn_stream(id, 0, &[("streamtype", kind), ("port", "80")]);
    let opening = [open(1, "error"), open(3, "data")].concat();
    let wire =
        [encode::data(3, false, SECRET.as_bytes()), encode::data(1, false, SECRET.as_bytes())].concat();
    let out = shown(&forward(Transport::Spdy, &[]), &opening, &[&wire]).unwrap();
    assert!(out.starts_with(&encode::data(3, false, SECRET.as_bytes())));
    assert_eq!(out.escape_ascii().to_string().matches(SECRET).count(), 1);
}

fn refused(upgrade: &Upgrade, opening: &[u8], wire: &[u8], expected: &Fault) {
    for pieces in [cut(wire, &[wire.len()]), cut(wire, &[1])] {
        let error = shown(upgrade, opening, &pieces).unwrap_err();
        assert_eq!((error.at_fault, &error.fault), (Side::Server, expected));
    }
}

#[test]
fn what_no_api_server_sends_is_refused() {
    let check = |frames: Vec<u8>, expected| refused(&command(V5), b"", &frames, &expected);
    check(frame(Side::Server, 0x81, b"\x01text"), Fault::Text);
    for channel in [0, 4, 5, 254] {
        check(message(Side::Server, channel, b"x"), Fault::Channel(channel));
    }
    check(frame(Side::Client, 0x82, b"\x01x"), WebSocketError::Mask.into());
    check(frame(Side::Server, 0x02, b"\x01x"), WebSocketError::Cut.into());
    let opening = opening(&mut encoder());
    let check = |frames: Vec<u8>, expected| refused(&command(Transport::Spdy), &opening, &frames, &expected);
    check(encoder().syn_stream(2, 0, &[("streamtype", "stdout")]), Fault::Opening(2));
    check(encode::data(11, false, b"x"), Fault::Stream(11));
    check(encode::data(1, false, b"x"), Fault::Stream(1));
    check([encode::data(3, true, b""), encode::data(3, false, b"x")].concat(), Fault::Stream(3));
    check(encode::data(3, false, b"x")[..8].to_vec(), SpdyError::Cut.into());
}

#[test]
fn bytes_that_cross_a_reset_are_still_masked() {
    let opening = [opening(&mut encoder()), encode::numbers(3, &[3, 5])].concat();
    let out =
        shown(&command(Transport::Spdy), &opening, &[&encode::data(3, false, SECRET.as_bytes())]).unwrap();
    assert!(out.escape_ascii().to_string().contains("[MASKED:db:"));
}

#[test]
fn a_fault_comes_behind_what_was_right() {
    let mut half = half(&command(V4), b"");
    let wire = [message(Side::Server, 1, b"right"), message(Side::Server, 9, b"wrong")].concat();
    half.push(&wire).unwrap_err();
    assert_eq!(half.take().unwrap(), message(Side::Server, 1, b"right"));
}

#[test]
fn large_output_passes_whole() {
    let upgrade = command(V5);
    let payload: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let wire: Vec<u8> = payload.chunks(32 << 10).flat_map(|piece| message(Side::Server, 1, piece)).collect();
    let out = shown(&upgrade, b"", &cut(&wire, &[65_536, 100])).unwrap();
    let (_, [_, mut reader]) = readers(&upgrade, Limits::default());
    let mut read = Vec::new();
    reader
        .read(&out, &mut |seen| {
            if let Seen::Bytes { bytes, .. } = seen {
                read.extend_from_slice(bytes);
            }
            Ok(())
        })
        .unwrap();
    assert!(read == payload);
}

proptest! {
    #[test]
    fn every_split_shows_the_same(sizes in prop::collection::vec(1usize..40, 1..60)) {
        let opening = opening(&mut encoder());
        let tunnel = tunnelled(Side::Client, &opening, &sizes);
        for (upgrade, opening, wire) in [
            (command(V4), &b""[..], printed()),
            (command(Transport::Spdy), &opening, spoken()),
            (command(TUNNEL), &tunnel, tunnelled(Side::Server, &spoken(), &sizes)),
        ] {
            let show = |pieces: &[&[u8]]| by_channel(read(&upgrade, opening, &shown(&upgrade, opening, pieces).unwrap()));
            prop_assert_eq!(show(&cut(&wire, &sizes)), show(&[&wire]));
        }
    }

    #[test]
    fn noise_does_no_harm(
        kind in 0u8..8,
        size in 1u8..9,
        at: usize,
        bytes in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        let (opening, server) = match kind % 4 {
            0 | 1 => (Vec::new(), printed()),
            2 => (tunnelled(Side::Client, &opening(&mut encoder()), &[9]), tunnelled(Side::Server, &spoken(), &[9])),
            _ => (opening(&mut encoder()), spoken()),
        };
        let length = u16::try_from(opening.len()).unwrap().to_be_bytes();
        let mut wire = [&[kind, size], &length[..], &opening, &server].concat();
        let at = 2 + at % (wire.len() - 2);
        wire.splice(at..at, bytes);
        fuzz_stream(&wire);
    }
}
