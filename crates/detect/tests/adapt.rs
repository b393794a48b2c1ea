//! Bodies and streams are masked across frames, keep their trailers and errors, and let go after a pause.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use lockgate_detect::{KnownValues, MaskBody, MaskOptions, MaskStream, Masker, RuleSet, TagKey};

const SECRET: &str = "correct horse battery";

fn masker() -> Masker {
    let known = KnownValues::new();
    known.add("pass", SECRET.as_bytes()).unwrap();
    Masker::new(&RuleSet::builtin(), &known, &TagKey::new(b"key"), MaskOptions::default())
}

fn data(text: &'static str) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn a_secret_over_two_frames_is_masked_and_trailers_are_kept() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = [data("it is correct ho"), data("rse battery, yes"), Ok(Frame::trailers(trailers.clone()))];
    let mut body = MaskBody::new(StreamBody::new(stream::iter(frames)), masker());
    let mut text = Vec::new();
    let mut last = None;
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => text.extend_from_slice(&data),
            Err(frame) => last = frame.into_trailers().ok(),
        }
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("it is [MASKED:pass:") && text.ends_with("], yes"), "{text}");
    assert_eq!(last, Some(trailers));
    assert_eq!(body.masker().findings().len(), 1);
}

#[tokio::test]
async fn large_unmasked_frames_are_not_copied() {
    let input = Bytes::from("x".repeat(100_000));
    let mut body = MaskBody::new(
        StreamBody::new(stream::iter([Ok::<_, Infallible>(Frame::data(input.clone()))])),
        masker(),
    );
    let output = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(output.as_ptr(), input.as_ptr());
}

#[tokio::test]
async fn what_is_held_is_dropped_when_the_source_fails() {
    let items = [Ok(Bytes::from_static(b"shown, correct horse batt")), Err("cut")];
    let mut masked = MaskStream::new(stream::iter(items), masker());
    let mut shown = Vec::new();
    let error = loop {
        match masked.next().await.unwrap() {
            Ok(bytes) => shown.extend_from_slice(&bytes),
            Err(error) => break error,
        }
    };
    assert_eq!(error, "cut");
    assert!(!String::from_utf8(shown).unwrap().contains("correct"));
    assert!(masked.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_pause_shows_a_prompt_and_keeps_a_confirmed_prefix() {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"Password: AK"))]);
    let mut masked = Box::pin(
        MaskStream::new(first.chain(stream::pending()), masker()).with_pause(Duration::from_millis(200)),
    );
    assert_eq!(masked.next().await.unwrap().unwrap(), "Password: ");
    assert_eq!(masked.next().await.unwrap().unwrap(), "AK");

    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"id AKIA"))]);
    let mut masked = Box::pin(
        MaskStream::new(first.chain(stream::pending()), masker()).with_pause(Duration::from_millis(200)),
    );
    assert_eq!(masked.next().await.unwrap().unwrap(), "id ");
    assert!(tokio::time::timeout(Duration::from_secs(60), masked.next()).await.is_err());
}
