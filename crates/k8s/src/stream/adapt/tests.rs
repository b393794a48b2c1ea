//! Halves around bodies: pauses, ends and faults.

use futures::{StreamExt as _, channel::mpsc};

use super::*;
use crate::{
    parse::{side::Side, websocket::encode::message},
    stream::{
        Limits, halves,
        tests::{V4, command, maskers},
    },
};

const IDLE: Duration = Duration::from_millis(5);

type Sender = mpsc::UnboundedSender<Result<Bytes, BodyError>>;

fn body() -> (Sender, Body) {
    let (sender, frames) = mpsc::unbounded();
    (sender, StreamBody::new(frames.map(|frame: Result<_, _>| frame.map(Frame::data))).boxed_unsync())
}

fn both() -> (ClientHalf, ServerHalf) {
    halves(&command(V4), Limits::default(), Box::new(|_| Ok(())), Some(maskers()))
}

async fn next(body: &mut Body) -> Option<Result<Vec<u8>, BodyError>> {
    Some(body.frame().await?.map(|frame| frame.into_data().unwrap().to_vec()))
}

#[tokio::test]
async fn a_prompt_is_shown_after_a_pause() {
    let (sender, body) = body();
    let mut shown = masked(body, both().1, IDLE);
    sender.unbounded_send(Ok(message(Side::Server, 1, b"$ co").into())).unwrap();
    assert_eq!(next(&mut shown).await.unwrap().unwrap(), message(Side::Server, 1, b"$ "));
    assert_eq!(next(&mut shown).await.unwrap().unwrap(), message(Side::Server, 1, b"co"));
    drop(sender);
    assert!(next(&mut shown).await.is_none());
}

#[tokio::test]
async fn the_end_comes_behind_what_was_right() {
    let (sender, body) = body();
    let mut shown = masked(body, both().1, IDLE);
    let mut wire = message(Side::Server, 1, b"right");
    wire.extend_from_slice(b"\x82\x05\x01cut");
    sender.unbounded_send(Ok(wire.into())).unwrap();
    drop(sender);
    let mut read = Vec::new();
    let error = loop {
        match next(&mut shown).await.unwrap() {
            Ok(piece) => read.extend(piece),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, BodyError::Upstream(_)), "{error}");
    assert_eq!(read, message(Side::Server, 1, b"rightcut"));
}

#[tokio::test]
async fn a_body_that_breaks_off_shows_nothing_that_was_held() {
    let (sender, body) = body();
    let mut shown = masked(body, both().1, IDLE);
    sender.unbounded_send(Ok(message(Side::Server, 1, b"correct hors").into())).unwrap();
    sender.unbounded_send(Err(BodyError::Ours("full".into()))).unwrap();
    assert!(matches!(next(&mut shown).await, Some(Err(BodyError::Ours(_)))));
}

#[tokio::test]
async fn what_is_typed_passes_once_it_is_understood() {
    let (sender, body) = body();
    let mut passed = watched(body, std::future::ready(Some(both().0)));
    let wire = message(Side::Client, 0, b"ls\r");
    for piece in wire.chunks(2) {
        sender.unbounded_send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        assert_eq!(next(&mut passed).await.unwrap().unwrap(), piece);
    }
    sender.unbounded_send(Ok(message(Side::Client, 9, b"x").into())).unwrap();
    assert!(matches!(next(&mut passed).await, Some(Err(BodyError::Client(_)))));
}

#[tokio::test]
async fn a_client_that_vanishes_within_a_frame_is_at_fault() {
    let (sender, body) = body();
    let mut passed = watched(body, std::future::ready(Some(both().0)));
    sender.unbounded_send(Ok(Bytes::from_static(b"\x82"))).unwrap();
    drop(sender);
    assert_eq!(next(&mut passed).await.unwrap().unwrap(), b"\x82");
    assert!(matches!(next(&mut passed).await, Some(Err(BodyError::Client(_)))));
}

#[tokio::test]
async fn nothing_is_read_of_what_was_not_upgraded() {
    let (sender, body) = body();
    let mut passed = watched(body, std::future::ready(None));
    sender.unbounded_send(Ok(Bytes::from_static(b"x"))).unwrap();
    assert!(next(&mut passed).await.is_none());
}
