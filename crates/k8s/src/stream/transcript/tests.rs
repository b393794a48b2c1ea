//! Recorded sessions, told again.

use super::{tar::tests::entry, *};
use crate::{
    parse::{
        spdy::encode,
        websocket::encode::{frame, message},
    },
    stream::tests::{V4, V5, command, encoder, forward, opening},
};

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What is told of recorded pieces, one after another, 100 ms apart.
fn replay(upgrade: &Upgrade, pieces: &[(Side, Vec<u8>)], tell: &mut impl FnMut(Moment<'_>)) -> Transcript {
    let mut transcript = Transcript::new(upgrade);
    for (index, (side, bytes)) in pieces.iter().enumerate() {
        transcript.push(Duration::from_millis(100 * index as u64), *side, bytes, tell);
    }
    transcript
}

#[test]
fn a_session_in_a_terminal_is_shown_and_its_commands_are_listed() {
    let pieces = [
        (Side::Server, message(Side::Server, 1, b"")),
        (Side::Client, message(Side::Client, 4, b"{\"Width\":100,\"Height\":30}")),
        (Side::Server, message(Side::Server, 1, b"$ ")),
        (Side::Client, message(Side::Client, 0, b"echo caf\xc3\xa9\r")),
        (Side::Server, message(Side::Server, 1, b"caf\xc3")),
        (Side::Server, message(Side::Server, 1, b"\xa9\r\n$ ")),
        (Side::Client, message(Side::Client, 0, b"exit\r")),
        (Side::Server, message(Side::Server, 3, b"{\"status\":\"Success\"}")),
        (Side::Server, frame(Side::Server, 0x88, b"\x03\xe8")),
    ];
    let (mut cast, mut out) = (Asciicast::new(None, "sh"), String::new());
    let mut summary = Summary::new(&strings(&["sh"]), 1 << 20);
    let transcript = replay(&command(V5), &pieces, &mut |moment| {
        cast.push(moment, &mut out);
        summary.push(moment);
    });
    cast.finish(&mut out);
    assert_eq!((transcript.fault(Side::Client), transcript.fault(Side::Server)), (None, None));
    insta::assert_snapshot!(out, @r#"
    {"version":2,"width":100,"height":30,"title":"sh"}
    [0.200000, "o", "$ "]
    [0.300000, "i", "echo café\r"]
    [0.400000, "o", "caf"]
    [0.500000, "o", "é\r\n$ "]
    [0.600000, "i", "exit\r"]
    "#);
    let typed: Vec<_> =
        summary.typed.lines().iter().map(|line| (line.at.as_millis(), &line.text[..])).collect();
    assert_eq!(typed, [(300, "echo café"), (600, "exit")]);
    assert_eq!(summary.stdout.bytes, "$ café\r\n$ ".as_bytes());
    assert_eq!(summary.status, b"{\"status\":\"Success\"}");
    assert!(summary.copied().is_none());
}

#[test]
fn a_command_without_a_terminal_is_told_too() {
    let pieces = [
        (Side::Client, opening(&mut encoder())),
        (Side::Server, [encode::data(3, false, b"out"), encode::data(5, true, b"err")].concat()),
        (Side::Server, encode::data(3, true, b"put")),
    ];
    let mut summary = Summary::new(&strings(&["date"]), 4);
    replay(&command(Transport::Spdy), &pieces, &mut |moment| summary.push(moment));
    assert_eq!((&summary.stdout.bytes[..], summary.stdout.length), (&b"outp"[..], 6));
    assert_eq!(summary.stderr.bytes, b"err");
}

#[test]
fn copied_files_are_listed_with_their_digests() {
    let tar = [entry(b'0', b"a.txt", b"abc"), vec![0; 1024]].concat();
    let listed = |words: &[&str], pieces: Vec<(Side, Vec<u8>)>| {
        let mut summary = Summary::new(&strings(words), 1 << 20);
        replay(&command(V4), &pieces, &mut |moment| summary.push(moment));
        assert_eq!((summary.stdout.length, summary.typed.lines().len()), (0, 0));
        summary.copied().unwrap()
    };
    let pieces = |side, channel| tar.chunks(100).map(|piece| (side, message(side, channel, piece))).collect();
    let down = listed(&["tar", "cf", "-", "/a.txt"], pieces(Side::Server, 1));
    let up = listed(&["tar", "-xmf", "-", "-C", "/"], pieces(Side::Client, 0));
    assert_eq!((down.way, up.way), (Copying::Download, Copying::Upload));
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let file =
        Entry { path: "a.txt".to_owned(), kind: EntryKind::File, size: 3, sha256: Some(sha256.to_owned()) };
    for copied in [down, up] {
        assert_eq!((copied.entries, copied.more, copied.error), (vec![file.clone()], 0, None));
    }
}

#[test]
fn connections_to_ports_are_counted() {
    let mut encoder = encoder();
    let mut open = |id, kind| encoder.syn_stream(id, 0, &[("streamtype", kind), ("port", "80")]);
    let pieces = [
        (Side::Client, [open(1, "error"), encode::data(1, true, b""), open(3, "data")].concat()),
        (Side::Client, encode::data(3, false, b"question")),
        (Side::Server, encode::data(3, true, b"a long answer")),
        (Side::Server, encode::data(1, false, b"refused")),
    ];
    let mut summary = Summary::new(&[], 0);
    replay(&forward(Transport::Spdy, &[]), &pieces, &mut |moment| summary.push(moment));
    let counted: Vec<_> = summary
        .forwarded
        .iter()
        .map(|(id, it)| (*id, it.port, it.sent, it.received, it.error.clone()))
        .collect();
    assert_eq!(counted, [(1, 80, 0, 7, Some(b"refused".to_vec())), (3, 80, 8, 13, None)]);
    assert_eq!(summary.forwarded[&3].last, Duration::from_millis(200));

    let pieces = [
        (Side::Server, [message(Side::Server, 0, b"\x50\0"), message(Side::Server, 1, b"\x50\0")].concat()),
        (Side::Client, message(Side::Client, 0, b"question")),
        (Side::Server, message(Side::Server, 0, b"a long answer")),
    ];
    let mut summary = Summary::new(&[], 0);
    replay(&forward(V4, &[80]), &pieces, &mut |moment| summary.push(moment));
    let counted: Vec<_> = summary.forwarded.iter().map(|(id, it)| (*id, it.sent, it.received)).collect();
    assert_eq!(counted, [(0, 8, 13)]);
}

#[test]
fn what_was_refused_ends_a_direction_and_not_the_other() {
    let pieces = [
        (Side::Client, message(Side::Client, 0, b"ls\r")),
        (Side::Client, message(Side::Client, 9, b"x")),
        (Side::Client, message(Side::Client, 0, b"pwd\r")),
        (Side::Server, message(Side::Server, 1, b"files")),
    ];
    let mut summary = Summary::new(&[], 100);
    let transcript = replay(&command(V4), &pieces, &mut |moment| summary.push(moment));
    assert_eq!(transcript.fault(Side::Client), Some(&Fault::Channel(9)));
    assert_eq!(summary.typed.lines().len(), 1);
    assert_eq!(summary.stdout.bytes, b"files");
}
