//! Any sequence of frames, sensible or not: peers that say what comes into their heads.

use lockgate_detect::{KnownValues, MaskOptions, RuleSet, TagKey};
use proptest::{prelude::*, sample::select};

use super::{
    server::{SECRET, read, shown},
    *,
};

/// Something that a side sends over WebSocket.
fn socket_frames(sender: Side) -> impl Strategy<Value = Vec<u8>> {
    let channel = || select(vec![0u8, 1, 1, 1, 2, 2, 3, 4, 5, 255]);
    prop_oneof![
        6 => (channel(), text()).prop_map(move |(channel, text)| message(sender, channel, &text)),
        2 => (channel(), prop::collection::vec(text(), 1..4)).prop_map(move |(channel, parts)| {
            let mut wire = frame(sender, 0x02, &[channel]);
            wire.extend(parts.iter().flat_map(|part| frame(sender, 0x00, part)));
            wire.extend(frame(sender, 0x80, b""));
            wire
        }),
        1 => select(vec![0x89, 0x8a, 0x82, 0x81, 0x88]).prop_map(move |first| frame(sender, first, b"")),
    ]
}

/// Something that a side sends over SPDY, on streams that are there or not.
#[derive(Debug, Clone)]
enum Frame {
    Open(&'static str),
    Reply(u32, bool),
    More(u32, bool),
    Data(u32, bool, Vec<u8>),
    Numbers(u8, u32),
}

fn spdy_frames() -> impl Strategy<Value = Frame> {
    let id = || select(vec![1u32, 3, 3, 3, 5, 5, 7, 9, 11]);
    let fin = || prop::bool::weighted(0.1);
    prop_oneof![
        2 => select(vec!["stdin", "stdout", "stderr", "error", "resize", "data"]).prop_map(Frame::Open),
        1 => (id(), fin()).prop_map(|(id, fin)| Frame::Reply(id, fin)),
        1 => (id(), fin()).prop_map(|(id, fin)| Frame::More(id, fin)),
        8 => (id(), fin(), text()).prop_map(|(id, fin, text)| Frame::Data(id, fin, text)),
        1 => (select(vec![3, 7, 9]), id()).prop_map(|(kind, id)| Frame::Numbers(kind, id)),
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    select(vec![
        "",
        "c",
        "corr",
        "ect ",
        "horse",
        "rect horse",
        SECRET,
        "{\"Width\":8,\"Height\":2}",
        "\u{e9}\r",
    ])
    .prop_map(|text| text.as_bytes().to_vec())
}

fn spdy(frames: &[Frame], encoder: &mut Encoder, next: &mut u32) -> Vec<u8> {
    let frames = frames.iter().flat_map(|frame| match frame {
        Frame::Open(kind) => {
            let id = *next;
            *next += 2;
            encoder.syn_stream(id, 0, &[("streamtype", kind), ("port", "80")])
        }
        Frame::Reply(id, fin) => encoder.syn_reply(*id, u8::from(*fin), &[]),
        Frame::More(id, fin) => encoder.headers(*id, u8::from(*fin), &[("a", "b")]),
        Frame::Data(id, fin, text) => encode::data(*id, *fin, text),
        Frame::Numbers(kind, id) => encode::numbers(*kind, &[*id, 1]),
    });
    frames.collect()
}

fn fuzz(kind: u8, size: u8, client: &[u8], server: &[u8]) {
    let length = u16::try_from(client.len()).unwrap().to_be_bytes();
    fuzz_stream(&[&[kind, size], &length[..], client, server].concat());
}

proptest! {
    #[test]
    fn any_messages_read_the_same_under_every_split(
        kind in select(vec![0u8, 1, 4, 5]),
        size in 1u8..20,
        client in prop::collection::vec(socket_frames(Side::Client), 0..6),
        server in prop::collection::vec(socket_frames(Side::Server), 0..12),
    ) {
        fuzz(kind, size, &client.concat(), &server.concat());
    }

    #[test]
    fn any_streams_read_the_same_under_every_split(
        kind in select(vec![2u8, 3, 6, 7]),
        size in 1u8..20,
        opens in prop::bool::weighted(0.8),
        client in prop::collection::vec(spdy_frames(), 0..6),
        server in prop::collection::vec(spdy_frames(), 0..12),
    ) {
        let mut up = encoder();
        let mut wire = Vec::new();
        let mut next = 1;
        if opens && kind < 4 {
            wire = opening(&mut up);
            next = 11;
        } else if opens {
            let kinds = [Frame::Open("data"), Frame::Open("data"), Frame::Open("error")];
            wire = spdy(&kinds, &mut up, &mut next);
        }
        wire.extend(spdy(&client, &mut up, &mut next));
        let mut down = spdy(&server, &mut encoder(), &mut 2);
        if kind % 4 == 2 {
            wire = tunnelled(Side::Client, &wire, &[usize::from(size)]);
            down = tunnelled(Side::Server, &down, &[5, 1]);
        }
        fuzz(kind, size, &wire, &down);
    }

    #[test]
    fn a_channel_is_masked_as_if_it_were_alone(
        messages in prop::collection::vec((1u8..3, text(), any::<bool>()), 0..20),
        sizes in prop::collection::vec(1usize..30, 1..10),
    ) {
        let known = KnownValues::new();
        known.add("db", SECRET.as_bytes()).unwrap();
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for (channel, text, pings) in &messages {
            wire.extend(message(Side::Server, *channel, text));
            if *pings {
                wire.extend(frame(Side::Server, 0x89, b""));
            }
        }
        for channel in [1, 2] {
            let rules = RuleSet::only("").unwrap();
            let mut masker = Masker::new(&rules, &known, &TagKey::new(b"test"), MaskOptions::default());
            let mut text = Vec::new();
            for (_, piece, _) in messages.iter().filter(|(of, _, _)| *of == channel) {
                masker.push(piece, &mut text);
            }
            masker.finish(&mut text);
            expected.push(text.escape_ascii().to_string());
        }
        let upgrade = command(V4);
        let told = read(&upgrade, b"", &shown(&upgrade, b"", &cut(&wire, &sizes)).unwrap());
        let of = |head: &str| told.iter().filter_map(|line| line.strip_prefix(head)).collect::<String>();
        prop_assert_eq!(vec![of("1: "), of("2: ")], expected);
    }
}
