//! Every answer, byte for byte.

use lockgate_core::refusal::AccessRefusal;

use super::*;
use crate::{
    parse::{Capabilities, Command, PushRequest},
    testing::read,
};

fn request(refs: &[&str], capabilities: &str) -> PushRequest {
    let oid = |byte| crate::oid::Oid::from_bytes(&[byte; 20]).unwrap();
    let commands = refs.iter().map(|name| Command { old: oid(1), new: oid(2), name: (*name).to_owned() });
    PushRequest {
        shallow: Vec::new(),
        commands: commands.collect(),
        capabilities: Capabilities::parse(capabilities.as_bytes()).unwrap(),
        options: Vec::new(),
        certificate: false,
    }
}

fn denied() -> Refusal {
    let reason =
        |text: &str, rule: Option<&str>| AccessRefusal { reason: text.into(), rule: rule.map(Into::into) };
    Refusal::new(RefusalKind::Denied, "main is for people")
        .with_accesses(vec![reason("main is for people", Some("prod")), reason("", None)])
}

fn shown(response: Response<Body>) -> String {
    let (head, body) = response.into_parts();
    let mut text = format!("{}", head.status.as_u16());
    for (name, value) in &head.headers {
        text.push_str(&format!("\n{name}: {}", value.to_str().unwrap()));
    }
    let body = crate::testing::block_on(read(body));
    format!("{text}\n\n{}", body.escape_ascii().to_string().replace("\\n", "\\n\n"))
}

fn pushed(capabilities: &str, refusal: &Refusal) -> String {
    let request = request(&["refs/heads/main", "refs/heads/x"], capabilities);
    shown(PushDialect::new(&request, Duration::ZERO).refuse(refusal))
}

#[test]
fn refuses_a_push_in_what_the_client_understands() {
    insta::assert_snapshot!(pushed("report-status side-band-64k", &denied()), @r#"
    200
    content-type: application/x-git-receive-pack-result
    cache-control: no-cache

    002a\x02lockgate: denied: main is for people\n
    0037\x02  refs/heads/main: main is for people (rule prod)\n
    0036\x02  refs/heads/x: refused together with the others\n
    0076\x01000eunpack ok\n
    002ang refs/heads/main main is for people\n
    0035ng refs/heads/x refused together with the others\n
    00000000
    "#);
    insta::assert_snapshot!(pushed("report-status-v2", &denied()), @r#"
    200
    content-type: application/x-git-receive-pack-result
    cache-control: no-cache

    000eunpack ok\n
    002ang refs/heads/main main is for people\n
    0035ng refs/heads/x refused together with the others\n
    0000
    "#);
    insta::assert_snapshot!(pushed("side-band-64k", &denied()), @r#"
    200
    content-type: application/x-git-receive-pack-result
    cache-control: no-cache

    002a\x02lockgate: denied: main is for people\n
    0037\x02  refs/heads/main: main is for people (rule prod)\n
    0036\x02  refs/heads/x: refused together with the others\n
    0000
    "#);
    insta::assert_snapshot!(pushed("", &denied()), @r#"
    403
    content-type: text/plain; charset=utf-8
    cache-control: no-cache

    lockgate: denied: main is for people\n
      rule: prod\n
    "#);
}

#[test]
fn says_where_to_approve() {
    let refusal = Refusal { kind: RefusalKind::ApprovalNeeded, ..denied() }.with_url("https://gate/a1");
    insta::assert_snapshot!(pushed("report-status side-band-64k", &refusal), @r#"
    200
    content-type: application/x-git-receive-pack-result
    cache-control: no-cache

    0033\x02lockgate: approval_needed: main is for people\n
    0037\x02  refs/heads/main: main is for people (rule prod)\n
    0036\x02  refs/heads/x: refused together with the others\n
    0020\x02  approve: https://gate/a1\n
    0088\x01000eunpack ok\n
    003ang refs/heads/main approval required: https://gate/a1\n
    0037ng refs/heads/x approval required: https://gate/a1\n
    00000000
    "#);
}

#[test]
fn says_by_which_command_to_approve() {
    let refusal = Refusal { kind: RefusalKind::ApprovalNeeded, ..denied() };
    let refusal = refusal.with_command("lockgate approvals approve a1");
    insta::assert_snapshot!(pushed("report-status side-band-64k", &refusal), @r#"
    200
    content-type: application/x-git-receive-pack-result
    cache-control: no-cache

    0033\x02lockgate: approval_needed: main is for people\n
    0037\x02  refs/heads/main: main is for people (rule prod)\n
    0036\x02  refs/heads/x: refused together with the others\n
    002e\x02  approve: lockgate approvals approve a1\n
    00a4\x01000eunpack ok\n
    0048ng refs/heads/main approval required: lockgate approvals approve a1\n
    0045ng refs/heads/x approval required: lockgate approvals approve a1\n
    00000000
    "#);
    let lines = crate::respond::text::lines(&refusal.with_url("https://gate/a1"), &[]);
    let places = &lines[lines.len() - 2..];
    assert_eq!(places, ["  approve: https://gate/a1", "  or run: lockgate approvals approve a1"]);
}

#[test]
fn lets_nobody_write_on_the_terminal() {
    let hostile = AccessRefusal { reason: "a\u{1b}[2J\nng b\u{202e}".into(), rule: Some("r\r".into()) };
    let refusal = Refusal::new(RefusalKind::Denied, "x").with_accesses(vec![hostile.clone(), hostile]);
    insta::assert_snapshot!(pushed("report-status side-band-64k", &refusal), @r#"
    200
    content-type: application/x-git-receive-pack-result
    cache-control: no-cache

    0019\x02lockgate: denied: x\n
    002e\x02  refs/heads/main: a [2J ng b  (rule r )\n
    002b\x02  refs/heads/x: a [2J ng b  (rule r )\n
    005a\x01000eunpack ok\n
    0023ng refs/heads/main a [2J ng b \n
    0020ng refs/heads/x a [2J ng b \n
    00000000
    "#);
}

#[test]
fn keeps_long_refusals_short() {
    let refs: Vec<String> = (0..1000).map(|n| format!("refs/heads/{n}/{}", "x".repeat(1000))).collect();
    let reason = AccessRefusal { reason: "y".repeat(100_000), rule: None };
    let refusal = Refusal::new(RefusalKind::Denied, "z".repeat(100_000)).with_accesses(vec![reason; 1000]);
    let request =
        request(&refs.iter().map(|name| &**name).collect::<Vec<_>>(), "report-status side-band-64k");
    let body = PushDialect::new(&request, Duration::ZERO).refuse(&refusal).into_body();
    let result = crate::report::describe_result(&*crate::testing::block_on(read(body))).unwrap();
    assert_eq!(result.refs.len(), 1000);
    assert!(result.refs.iter().all(|one| one.refused.as_ref().is_some_and(|reason| reason.len() <= 400)));
}

#[test]
fn refuses_what_was_not_read() {
    let check = |endpoint, kind| shown(refuse(endpoint, &Refusal::new(kind, "why")));
    let (fetch, push) = (Service::UploadPack, Service::ReceivePack);
    insta::assert_snapshot!(check(Some(Endpoint::Rpc(push)), RefusalKind::TooLarge), @r#"
    200
    content-type: application/x-git-receive-pack-result
    cache-control: no-cache

    001e\x02lockgate: too_large: why\n
    0018\x01000funpack why\n
    00000000
    "#);
    insta::assert_snapshot!(check(Some(Endpoint::Rpc(fetch)), RefusalKind::Invalid), @r#"
    200
    content-type: application/x-git-upload-pack-result
    cache-control: no-cache

    001fERR lockgate: invalid: why\n
    "#);
    insta::assert_snapshot!(check(Some(Endpoint::Advertisement(push)), RefusalKind::Internal), @r#"
    500
    content-type: text/plain; charset=utf-8
    cache-control: no-cache

    lockgate: internal: why\n
    "#);
    insta::assert_snapshot!(check(None, RefusalKind::NotFound), @r#"
    404
    content-type: text/plain; charset=utf-8
    cache-control: no-cache

    lockgate: not_found: why\n
    "#);
    insta::assert_snapshot!(check(Some(Endpoint::Rpc(push)), RefusalKind::Unauthenticated), @r#"
    401
    content-type: text/plain; charset=utf-8
    cache-control: no-cache
    www-authenticate: Basic realm="lockgate", charset="UTF-8"

    lockgate: unauthenticated: why\n
    git: give the token as the password, with any user name; or as a header:\n
      git -c http.extraHeader=\"Authorization: Bearer $TOKEN\" ...\n
    "#);
}

#[test]
fn holds_by_a_stream_where_one_can_be_kept_alive() {
    let hold = |capabilities| {
        PushDialect::new(&request(&["refs/heads/a"], capabilities), Duration::from_secs(7)).hold()
    };
    assert!(matches!(hold("report-status side-band-64k"), HoldStyle::Stream(_)));
    assert!(matches!(hold("report-status"), HoldStyle::Wait(wait) if wait.as_secs() == 7));
}

#[test]
fn resumes_only_with_a_report() {
    let HoldStyle::Stream(stream) =
        PushDialect::new(&request(&["refs/heads/a"], "side-band-64k"), Duration::ZERO).hold()
    else {
        panic!("no stream")
    };
    let check = |status: u16, media_type: &str, encoding: Option<&str>| {
        let mut response = with_type(media_type, Bytes::from_static(b"0000"));
        *response.status_mut() = status.try_into().unwrap();
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        }
        stream.resume(response).map(drop).map_err(|refusal| (refusal.kind, refusal.reason))
    };
    let result = "application/x-git-receive-pack-result";
    assert_eq!(check(200, result, None), Ok(()));
    for (status, media_type, encoding) in [
        (403, result, None),
        (200, "text/html", None),
        (200, result, Some("gzip")),
        (503, "text/plain", None),
    ] {
        assert_eq!(check(status, media_type, encoding).unwrap_err().0, RefusalKind::UpstreamInvalid);
    }
}

#[test]
fn advertises_to_pushing_clients_only() {
    let check = |service: Service, media_type: &str| {
        let body = b"0008abc\0";
        let response = with_type(media_type, Bytes::from_static(body));
        let dialect =
            AdvertisementDialect { service, strict: true, wait: Duration::ZERO, limits: Default::default() };
        crate::testing::block_on(read(dialect.respond(response).into_body())) != body[..]
    };
    let (push, fetch) = (Service::ReceivePack, Service::UploadPack);
    assert!(check(push, "application/x-git-receive-pack-advertisement"));
    assert!(!check(push, "text/plain"));
    assert!(!check(fetch, "application/x-git-upload-pack-advertisement"));
}

#[test]
fn only_messages_are_text() {
    let check = |media_type: &str| content(&with_type(media_type, Bytes::new()).into_parts().0);
    assert_eq!(check("application/x-git-upload-pack-result"), Content::Opaque);
    assert_eq!(check("application/x-git-receive-pack-advertisement"), Content::Opaque);
    assert_eq!(check("text/html; charset=utf-8"), Content::Text);
    assert_eq!(content(&Response::new(()).into_parts().0), Content::Text);
}
