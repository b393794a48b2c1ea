//! Recordings of terminals: sizes, times, and text that is cut within a character.

use proptest::prelude::*;

use super::*;
use crate::parse::side::Side;

fn millis(at: u64) -> Duration {
    Duration::from_millis(at)
}

fn bytes(at: u64, channel: Channel, bytes: &[u8]) -> Moment<'_> {
    let side = if channel == Channel::Stdin { Side::Client } else { Side::Server };
    Moment { at: millis(at), what: What::Bytes { side, id: 0, channel, bytes } }
}

fn resized(at: u64, columns: u16, rows: u16) -> Moment<'static> {
    Moment { at: millis(at), what: What::Resized(Size { columns, rows }) }
}

fn cast(moments: &[Moment<'_>]) -> String {
    let (mut cast, mut out) = (Asciicast::new(Some(1_767_225_600), "sh"), String::new());
    for moment in moments {
        cast.push(*moment, &mut out);
    }
    cast.finish(&mut out);
    out
}

#[test]
fn a_terminal_has_the_size_that_it_tells_first() {
    let moments = [
        bytes(1000, Channel::Stdout, b"$ "),
        resized(1100, 120, 40),
        bytes(1200, Channel::Stdin, b"ls\r"),
        bytes(1300, Channel::Stderr, b"no\r\n"),
        bytes(1350, Channel::Error, b"{}"),
        resized(1400, 100, 50),
    ];
    insta::assert_snapshot!(cast(&moments), @r#"
    {"version":2,"width":120,"height":40,"timestamp":1767225600,"title":"sh"}
    [1.000000, "o", "$ "]
    [1.200000, "i", "ls\r"]
    [1.300000, "o", "no\r\n"]
    [1.400000, "r", "100x50"]
    "#);
}

#[test]
fn a_terminal_that_tells_no_size_soon_has_the_usual_one() {
    let moments =
        [bytes(0, Channel::Stdout, b"$ "), bytes(251, Channel::Stdout, b"x"), resized(260, 120, 40)];
    insta::assert_snapshot!(cast(&moments), @r#"
    {"version":2,"width":80,"height":24,"timestamp":1767225600,"title":"sh"}
    [0.000000, "o", "$ "]
    [0.251000, "o", "x"]
    [0.260000, "r", "120x40"]
    "#);
    assert_eq!(cast(&[]).lines().count(), 1);
}

#[test]
fn nothing_waits_for_a_size_without_bounds() {
    let (mut cast, mut out) = (Asciicast::new(None, ""), String::new());
    cast.push(bytes(0, Channel::Stdout, &[b'x'; KEPT]), &mut out);
    assert!(out.starts_with("{\"version\":2,\"width\":80,\"height\":24}\n[0.000000, \"o\", \"xxx"));
}

#[test]
fn what_is_no_text_is_shown_as_such_and_a_cut_is_not() {
    let moments = [
        bytes(0, Channel::Stdout, b"caf\xc3"),
        bytes(1, Channel::Stderr, b"\xe2"),
        bytes(2, Channel::Stdout, b"\xa9 \xff!"),
        bytes(3, Channel::Stderr, b"\x82"),
        bytes(4, Channel::Stderr, b"\xac"),
        bytes(5, Channel::Stdout, b"\xf0\x9f"),
    ];
    insta::assert_snapshot!(cast(&moments), @r#"
    {"version":2,"width":80,"height":24,"timestamp":1767225600,"title":"sh"}
    [0.000000, "o", "caf"]
    [0.002000, "o", "é �!"]
    [0.004000, "o", "€"]
    [0.005000, "o", "�"]
    "#);
}

proptest! {
    #[test]
    fn text_is_the_same_under_every_split(
        text in prop_oneof!["\\PC{0,40}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..40)],
        sizes in prop::collection::vec(1usize..5, 1..20),
    ) {
        let (mut split, mut shown) = (Text::default(), String::new());
        for piece in crate::stream::tests::cut(&text, &sizes) {
            shown += &split.push(piece);
        }
        shown += &split.finish();
        prop_assert_eq!(shown, String::from_utf8_lossy(&text));
    }
}
