//! Bodies in frames: what is out when, and how they end.

use std::convert::Infallible;

use http::HeaderMap;
use http_body_util::channel::Channel;
use lockgate_detect::{KnownValues, RuleSet, TagKey};

use super::super::{Format, Options, Subject};
use super::*;

const SECRET: &str = r#"{"kind":"Secret","metadata":{"name":"a"},"data":{"a":"cGw0bnRlZA=="}}"#;

fn masking(is_watch: bool, format: Format) -> Masking {
    let subject = Subject { resource: "secrets".to_owned(), is_watch, ..Subject::default() };
    let (rules, known, tags) = (RuleSet::builtin(), KnownValues::new(), TagKey::new(b"test"));
    Masking::new(subject, format, &rules, &known, &tags, Options::default())
}

fn body(pieces: Vec<Result<&'static str, &'static str>>) -> Body {
    let frames = pieces.into_iter().map(|piece| match piece {
        Ok(text) => Ok(Frame::data(Bytes::from(text))),
        Err(fault) => Err(BodyError::Upstream(fault.into())),
    });
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

async fn read(mut body: Body) -> Result<String, String> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| std::error::Error::source(&error).unwrap().to_string())?;
        text.extend_from_slice(frame.data_ref().map_or(&b""[..], |data| data));
    }
    Ok(String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn a_small_answer_is_counted_before_its_head_is_sent() {
    let (first, second) = SECRET.split_at(30);
    let masked = masked(body(vec![Ok(first), Ok(second)]), masking(false, Format::Json)).await.unwrap();
    assert_eq!(masked.count, Some(1));
    let text = read(masked.body).await.unwrap();
    assert!(text.starts_with(r#"{"kind":"Secret","metadata":{"name":"a"},"data":{"a":""#), "{text}");
    assert!(!text.contains("cGw0bnRlZA=="));
}

#[tokio::test]
async fn a_large_list_streams() {
    let mut pieces = vec![Ok(r#"{"kind":"SecretList","items":["#)];
    let item: &'static str = Box::leak(
        format!("{{\"x\":\"{}\",\"data\":{{\"a\":\"cGw0bnRlZA==\"}}}}", "y".repeat(1 << 18)).into_boxed_str(),
    );
    for at in 0..10 {
        pieces.extend((at > 0).then_some(Ok(",")));
        pieces.push(Ok(item));
    }
    pieces.push(Ok("]}"));
    let length: usize = pieces.iter().map(|piece| piece.unwrap().len()).sum();
    let masked = masked(body(pieces), masking(false, Format::Json)).await.unwrap();
    assert_eq!(masked.count, None);
    let text = read(masked.body).await.unwrap();
    assert!(text.len() > length && text.ends_with("]}"));
    assert!(!text.contains("cGw0bnRlZA=="));
}

#[tokio::test]
async fn what_breaks_off_or_is_malformed_is_the_upstreams_fault() {
    let check = async |pieces: Vec<Result<&'static str, &'static str>>, is_watch, expected: &str| {
        let error = match masked(body(pieces), masking(is_watch, Format::Json)).await {
            Ok(masked) => read(masked.body).await.unwrap_err(),
            Err(BodyError::Upstream(cause)) => cause.to_string(),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(error, expected);
    };
    for is_watch in [false, true] {
        check(vec![Ok("{\"a\":"), Err("reset")], is_watch, "reset").await;
        check(vec![Ok("{\"a\":")], is_watch, "the upstream's answer ended within an object").await;
        check(vec![Ok("{]\n")], is_watch, "the upstream's JSON can't be masked").await;
    }
}

#[tokio::test]
async fn an_event_is_out_when_its_line_is() {
    let (mut sender, upstream) = Channel::<Bytes, Infallible>::new(1);
    let upstream = upstream.map_err(|never| match never {}).boxed_unsync();
    let mut masked = masked(upstream, masking(true, Format::Json)).await.unwrap();
    assert_eq!(masked.count, None);
    let event = format!("{{\"type\":\"ADDED\",\"object\":{SECRET}}}\n");
    for _ in 0..2 {
        sender.send_data(Bytes::from(event.clone())).await.unwrap();
        let mut text = Vec::new();
        // Nothing more comes, and all of it is out.
        while !text.ends_with(b"}\n") {
            text.extend_from_slice(&masked.body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(r#"{"type":"ADDED","#) && !text.contains("cGw0bnRlZA=="), "{text}");
    }
    let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
    sender.send_trailers(trailers.clone()).await.unwrap();
    drop(sender);
    assert_eq!(masked.body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(masked.body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_pauses_is_shown() {
    let (mut sender, upstream) = Channel::<Bytes, Infallible>::new(1);
    let upstream = upstream.map_err(|never| match never {}).boxed_unsync();
    let mut masked = masked(upstream, masking(false, Format::Text)).await.unwrap();
    sender.send_data(Bytes::from_static(b"login password: ")).await.unwrap();
    let mut text = Vec::new();
    while text != b"login password: " {
        text.extend_from_slice(&masked.body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    drop(sender);
    assert!(masked.body.frame().await.is_none());
}
