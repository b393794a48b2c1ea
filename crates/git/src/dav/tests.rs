//! WebDAV through the protocol, to an upstream of a few files.

mod push;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use flate2::{Compression, write::ZlibEncoder};
use futures::future::BoxFuture;
use http::{HeaderName, Response, StatusCode};
use lockgate_core::{
    access::Outline,
    protocol::{Dialect, Probe, Protocol as _},
};

use super::{head::DESTINATION, *};
use crate::{
    Git,
    oid::ObjectFormat,
    pack::{Kind, name},
    testing::{Rig, pieces, read},
};

/// The repository's files. The upstream answers with a status instead where there is one.
#[derive(Default)]
struct Upstream {
    files: Mutex<BTreeMap<String, Result<String, StatusCode>>>,
    asked: Mutex<Vec<String>>,
    /// Whether the policy refuses whatever is found out.
    hopeless: AtomicBool,
    /// Whether it refuses to change refs that are there.
    creates_only: AtomicBool,
}

impl Upstream {
    fn of(files: &[(&str, &str)]) -> Self {
        let upstream = Self::default();
        files.iter().for_each(|(file, content)| upstream.set(file, Ok(content)));
        upstream
    }

    fn set(&self, file: &str, content: Result<&str, StatusCode>) {
        let content = content.map(str::to_owned);
        self.files.lock().unwrap().insert(format!("/team/app.git/{file}"), content);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Probe for Upstream {
    fn may_pass(&self, outlines: &[Outline]) -> bool {
        let forces = |outline: &Outline| {
            let change = outline.access.attributes.get("change").map(ToString::to_string);
            !outline.open.contains(&"change") && change.is_some_and(|change| change == "force")
        };
        let is_forced = self.creates_only.load(Ordering::Relaxed) && outlines.iter().any(forces);
        !self.hopeless.load(Ordering::Relaxed) && !is_forced
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        let is_list = request.method().as_str() == "PROPFIND";
        assert!(is_list || request.method() == Method::GET);
        self.asked.lock().unwrap().push(request.uri().to_string());
        let file = self.files.lock().unwrap().get(request.uri().path()).cloned();
        let (status, content) = match file {
            Some(Ok(content)) => (StatusCode::OK, content),
            Some(Err(status)) => (status, String::new()),
            None => (StatusCode::NOT_FOUND, String::new()),
        };
        let folder = format!("{}/", request.uri().path());
        let is_folder = self.files.lock().unwrap().keys().any(|file| file.starts_with(&folder));
        let (status, content) = match is_list && is_folder {
            true => (StatusCode::MULTI_STATUS, "<a:collection/>".to_owned()),
            false => (status, content),
        };
        let response = Response::builder().status(status).body(body::full(content)).unwrap();
        Box::pin(async { Ok(response) })
    }
}

fn request(asked: &str, body: impl AsRef<[u8]>) -> Request<Body> {
    let (method, file) = asked.split_once(' ').unwrap();
    let mut request = Request::new(pieces(body.as_ref(), &[7, 1]));
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = format!("/team/app.git/{file}").parse().unwrap();
    for (name, value) in
        [("depth", "1"), ("timeout", "Second-60"), ("overwrite", "T"), ("lock-token", "<a:b>")]
    {
        request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    request.extensions_mut().insert(Called("http://gate/git/box".into()));
    request
}

struct Passing {
    /// As `action binding`, and how refs change.
    asked: Vec<String>,
    request: Request<Body>,
    dialect: Arc<dyn Dialect>,
}

async fn classify(rig: &Rig, upstream: &Upstream, request: Request<Body>) -> Result<Passing, Refusal> {
    let Classified::Asks { accesses, request, dialect } =
        Git::default().classify(rig.context(upstream), request).await?
    else {
        panic!("it is decided")
    };
    let shown = accesses.iter().map(|access| {
        let change = access.attributes.get("change").map(|change| format!(" ({change})")).unwrap_or_default();
        // The digits of names are all the same here.
        let (mut short, mut last, mut run) = (String::new(), None, 0);
        for c in access.binding.chars() {
            run = if last == Some(c) { run + 1 } else { 0 };
            last = Some(c);
            if run < 2 {
                short.push(c);
            }
        }
        format!("{} {short}{change}", access.action)
    });
    Ok(Passing { asked: shown.collect(), request, dialect })
}

async fn asked(upstream: &Upstream, what: &str, body: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    let classified = classify(&Rig::with(Auth::Passthrough), upstream, request(what, body)).await;
    classified.map(|passing| passing.asked).map_err(|refusal| format!("{}: {refusal}", refusal.kind.word()))
}

fn hex(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

const FETCH: &str = "fetch team/app";

#[tokio::test]
async fn what_is_stored_leads_nowhere_yet() {
    let nothing = Upstream::default();
    let check = async |what: &str, body: &str, expected: &[&str]| {
        let expected = [&[FETCH], expected].concat();
        assert_eq!(asked(&nothing, what, body).await.unwrap(), expected, "{what}");
    };
    check("PROPFIND refs/", "<a/>", &["read-file team/app/refs/"]).await;
    check("PROPFIND ", "", &["read-file team/app/"]).await;
    check("MKCOL objects/ab/", "what is not looked at", &["write-object create team/app/objects/ab/"]).await;
    check("UNLOCK info/refs", "", &["write-object unlock team/app/info/refs"]).await;
    check("MKCOL refs/", "", &["write-object create team/app/refs/"]).await;
    assert_eq!(nothing.asked(), 0);
    check("LOCK refs/heads/x", "<a/>", &["write-object lock team/app/refs/heads/x"]).await;
    check("UNLOCK refs/heads/x", "<a/>", &["write-object unlock team/app/refs/heads/x"]).await;
    check("MKCOL refs/heads/x/", "", &["write-object create team/app/refs/heads/x/"]).await;
    let classified = classify(&Rig::new(), &nothing, request("PROPFIND refs/", "")).await;
    assert!(
        classified.is_err_and(|refusal| refusal.kind == RefusalKind::NotFound),
        "not with our credential"
    );
}

#[tokio::test]
async fn what_is_asked_in_xml_is_written_anew() {
    let nothing = Upstream::default();
    let sent = async |what: &str, changes: &[(&'static str, &str)]| {
        let mut request = request(what, "<!DOCTYPE a><b url=\"http://ada:secret@gate/\"/>");
        for (name, value) in changes {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let passing = classify(&Rig::with(Auth::Passthrough), &nothing, request).await.unwrap();
        String::from_utf8(read(passing.request.into_body()).await.to_vec()).unwrap()
    };
    assert_eq!(sent("PROPFIND refs/", &[]).await, KINDS);
    assert_eq!(sent("PROPFIND ", &[("depth", "0")]).await, LOCKS);
    assert_eq!(sent("LOCK info/refs", &[]).await, LOCK);
    assert_eq!(sent("LOCK info/refs", &[("if", "(<a:b>)")]).await, "");
    for (method, is_dropped) in
        [("PROPFIND", true), ("LOCK", true), ("MOVE", true), ("PUT", false), ("POST", false)]
    {
        assert_eq!(drops_body(&method.parse().unwrap()), is_dropped, "{method}");
    }
}

#[tokio::test]
async fn who_can_not_push_a_ref_can_not_keep_others_from_it() {
    let upstream = Upstream::of(&[("refs/heads/l", &hex('b'))]);
    upstream.set("packed-refs", Ok(&format!("{} refs/heads/p/q\n", hex('c'))));
    upstream.creates_only.store(true, Ordering::Relaxed);
    let lock = async |name: &str| asked(&upstream, &format!("LOCK refs/heads/{name}"), "").await.unwrap();
    assert_eq!(lock("n").await.len(), 2);
    assert_eq!(lock("l").await[2], "push refs/heads/l bb..ff (force)");
    assert_eq!(lock("p/q").await[2], "push refs/heads/p/q cc..ff (force)");
    // A folder in which others create refs; what is in another.
    upstream.set("refs/heads/f/g", Ok(&hex('b')));
    for name in ["heads", "heads/f", "heads/p", "heads/p/q/r"] {
        let refused = asked(&upstream, &format!("LOCK refs/{name}"), "").await.unwrap_err();
        assert!(refused.ends_with("can't be beside each other"), "{name}: {refused}");
    }
    // It may have been created under the lock.
    assert_eq!(asked(&upstream, "UNLOCK refs/heads/l", "").await.unwrap().len(), 2);
    // No ref is in another.
    for what in
        ["PUT refs/heads/p", "PUT refs/heads/p/q/r", "MKCOL refs/heads/p/q/", "MKCOL refs/heads/p/q/r/"]
    {
        let refused = asked(&upstream, what, hex('a')).await.unwrap_err();
        assert!(
            refused.ends_with(" and a ref that is there can't be beside each other"),
            "{what}: {refused}"
        );
    }
    for what in ["PUT refs/heads/p/r", "PUT refs/heads/pp", "MKCOL refs/heads/p/", "MKCOL refs/heads/p/qq/"] {
        asked(&upstream, what, hex('a')).await.unwrap();
    }
}

#[tokio::test]
async fn an_object_is_what_its_name_says() {
    let nothing = Upstream::default();
    let content = b"hello\n".repeat(100_000);
    let file = deflated(&[b"blob 600000\0", &*content].concat());
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let oid = name(format, Kind::Blob, &content).unwrap().to_string();
        let suffix = "a".repeat(oid.len());
        let place = format!("objects/{}/{}", &oid[..2], &oid[2..]);
        for place in [place.clone(), format!("{place}_{suffix}")] {
            let sent = request(&format!("PUT {place}"), &file);
            let passing = classify(&Rig::with(Auth::Passthrough), &nothing, sent).await.unwrap();
            assert_eq!(passing.request.uri().path(), format!("/team/app.git/{place}"));
            assert_eq!(read(passing.request.into_body()).await, file, "it is forwarded as it came");
        }
        let other = format!("objects/00/{}", &oid[2..]);
        for (place, file) in [(&other, &file[..]), (&place, &file[..500]), (&place, b"")] {
            let refused = asked(&nothing, &format!("PUT {place}"), file).await.unwrap_err();
            assert!(refused.starts_with("invalid: "), "{refused}");
        }
        let mut sent = request(&format!("MOVE {place}_{suffix}"), "");
        let there = format!("http://gate/git/box/team/app.git/{place}").parse().unwrap();
        sent.headers_mut().insert(DESTINATION, there);
        let passing = classify(&Rig::with(Auth::Passthrough), &nothing, sent).await.unwrap();
        assert!(passing.asked[1].starts_with("write-object keep team/app/objects/"), "{:?}", passing.asked);
        let destination = format!("http://upstream.example/team/app.git/{place}");
        assert_eq!(passing.request.headers()[DESTINATION], destination);
    }
    let mut rig = Rig::with(Auth::Passthrough);
    rig.spools.max = 100;
    let large = classify(&rig, &nothing, request(&format!("PUT objects/00/{}", &hex('0')[2..]), &file)).await;
    assert!(large.is_err_and(|refusal| refusal.kind == RefusalKind::TooLarge));
}

#[tokio::test]
async fn nothing_is_brought_where_the_policy_looks_into_pushes() {
    let upstream = Upstream::of(&[("refs/heads/l", &hex('b')), ("refs/heads/m", &hex('b'))]);
    upstream.set("packed-refs", Ok(&format!("{} refs/heads/m\n", hex('c'))));
    upstream.set("info/refs", Ok(&format!("{}\trefs/heads/l\n", hex('c'))));
    let mut rig = Rig::with(Auth::Passthrough);
    rig.needs = ["finding"].into_iter().collect();
    let check =
        async |what: &str, body: &str, passes: bool| match classify(&rig, &upstream, request(what, body))
            .await
        {
            Ok(_) => assert!(passes, "{what}"),
            Err(refusal) => {
                assert!(!passes && refusal.kind == RefusalKind::Denied, "{what}: {refusal}");
                assert!(refusal.reason.contains("push over smart HTTP"), "{refusal}");
            }
        };
    let object = format!("objects/{}/{}", &hex('a')[..2], &hex('a')[2..]);
    let there = format!("MOVE {object}_{}", hex('a'));
    let mut moved = request(&there, "");
    moved.headers_mut().insert(DESTINATION, format!("http://gate/team/app.git/{object}").parse().unwrap());
    assert!(classify(&rig, &upstream, moved).await.is_err_and(|refusal| refusal.kind == RefusalKind::Denied));
    check(&format!("PUT {object}"), "", false).await;
    check("PUT refs/heads/n", &hex('a'), false).await;
    check("LOCK refs/heads/n", "", false).await;
    check("PUT info/refs", &format!("{}\trefs/heads/l\n", hex('d')), false).await;
    // What brings nothing.
    check("PUT info/refs", &format!("{}\trefs/heads/l\n", hex('b')), true).await;
    check("PUT info/refs", "", true).await;
    check("DELETE refs/heads/l", "", true).await;
    check("DELETE refs/heads/m", "", false).await;
    check("MKCOL refs/heads/", "", true).await;
    let classified =
        Git::default().classify(rig.context(&upstream), request("DELETE refs/heads/l", "")).await;
    let Ok(Classified::Asks { accesses, .. }) = classified else { panic!() };
    assert!(accesses[1].attributes.get("finding").is_some(), "it is said that there is none");
}

#[tokio::test]
async fn who_may_not_learns_nothing() {
    let upstream = Upstream::of(&[("refs/heads/l", &hex('b'))]);
    upstream.hopeless.store(true, Ordering::Relaxed);
    for (what, body) in [
        ("PUT refs/heads/l", hex('a')),
        ("DELETE refs/heads/l", String::new()),
        ("DELETE refs/heads/n", String::new()),
        ("LOCK refs/heads/l", String::new()),
        ("UNLOCK refs/heads/l", String::new()),
    ] {
        let asked = asked(&upstream, what, body).await.unwrap();
        assert!(asked.last().unwrap().starts_with("push refs/heads/"), "{asked:?}");
    }
    asked(&upstream, "PUT info/refs", "what is not read").await.unwrap();
    asked(&upstream, "MKCOL refs/heads/n/", "").await.unwrap();
    asked(&upstream, &format!("PUT objects/00/{}", &hex('0')[2..]), "what is not read").await.unwrap();
    assert_eq!(upstream.asked(), 0);
}

#[tokio::test]
async fn answers_lead_through_the_gateway() {
    let passing =
        classify(&Rig::with(Auth::Passthrough), &Upstream::default(), request("PROPFIND refs/", ""))
            .await
            .unwrap();
    let answer = async |media_type: &str, text: &str| {
        let response = Response::builder().status(207).header("content-type", media_type);
        let response = response.header("location", "http://upstream.example/").header("content-length", "9");
        let response = response.body(pieces(text.as_bytes(), &[5])).unwrap();
        let answer = passing.dialect.answer(response).await.map_err(|refusal| refusal.kind)?;
        assert!(!answer.headers().contains_key("location"));
        Ok(String::from_utf8(read(answer.into_body()).await.to_vec()).unwrap())
    };
    let xml = "<a:href>/team/app.git/refs/é</a:href>";
    let here = "<a:href>/git/box/team/app.git/refs/é</a:href>";
    assert_eq!(answer("text/xml; charset=\"utf-8\"", xml).await, Ok(here.into()));
    assert_eq!(answer("application/xml", xml).await, Ok(here.into()));
    assert_eq!(answer("text/html", xml).await, Ok(xml.into()));
    assert_eq!(answer("text/xml", &" ".repeat((16 << 20) + 1)).await, Err(RefusalKind::UpstreamInvalid));
}
