//! Upstreams that read on, that answer early, and that break off.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    client::{Client, Timeouts},
    policy::Policy,
    spool::{SpoolWriter, Spools},
    testing::{self, Rig},
    upstream::{Auth, Upstream},
    verdict::Verdict,
};

const RED: &str = "{ id: red, match: { toy: { colors: red } }, decide: deny }";

/// A request of which the color is not known yet.
struct Asked {
    rig: Rig,
    listener: TcpListener,
    target: Arc<Target>,
    policy: PolicyHandle,
    caller: Caller,
    spool: SpoolWriter,
}

impl Asked {
    async fn new(rule: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let upstream = Upstream {
            url: url.parse().unwrap(),
            forward: Forwarding::Early,
            ..testing::upstream(Auth::Oidc)
        };
        let client = Client::new(&upstream, Timeouts::default()).unwrap();
        let (upstream, protocol) = (Arc::new(upstream), Arc::new(testing::Toy::default()));
        let policy = PolicyHandle::default();
        let text = format!("version: 1\nrules: [ {rule} ]\ndefaults: {{ decide: allow }}");
        policy.set(Policy::load(&text, &[&testing::SCHEMA]).unwrap());
        Self {
            rig: Rig::new().await,
            listener,
            target: Arc::new(Target { upstream, protocol, client }),
            policy,
            caller: testing::caller(),
            spool: Spools { dir: std::env::temp_dir(), memory: 1, max: 1 << 20 }.create(),
        }
    }

    async fn begin(&mut self) -> Option<(Gate, Begun)> {
        let exchange = self.rig.exchange().await;
        let starter = Starter::new(&self.target, &self.caller, None, &exchange, &self.policy).unwrap();
        let request = testing::post("/x", "");
        let outline = Outline { access: testing::access(&request), open: vec!["color"] };
        let (head, _) = request.into_parts();
        let gate = starter.begin(&[outline], &head, self.spool.follow())?;
        Some((gate, starter.begun().unwrap()))
    }

    async fn write(&mut self, text: &'static str) {
        self.spool.write(&Bytes::from(text)).await.unwrap();
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    fn permit(&self) -> Permit {
        let access = testing::access(&testing::post("/x", ""));
        match self.policy.current().unwrap().judge(&self.caller.principal, "box", &[access]) {
            Verdict::Permit(permit) => permit,
            Verdict::Hold(_) | Verdict::Denial(_) => panic!("it is not permitted"),
        }
    }
}

/// Reads until something was sent; says what comes before it.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        read.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap().to_lowercase()
}

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

#[tokio::test]
async fn the_end_waits_for_the_permit() {
    let mut asked = Asked::new(RED).await;
    let (gate, begun) = asked.begin().await.unwrap();
    asked.write("01234").await;
    gate.open(4);
    let mut stream = asked.accept().await;
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("post /base/x http/1.1\r\n"), "{head}");
    assert!(
        head.contains("transfer-encoding: chunked\r\n") && head.contains("authorization: basic "),
        "{head}"
    );
    until(&mut stream, "0123").await;
    asked.write("56789").await;
    let spool = std::mem::replace(&mut asked.spool, testing::spools().create());
    drop(spool.finish().await.unwrap());
    gate.open(8);
    until(&mut stream, "4567").await;
    assert!(!begun.over.load(Ordering::Acquire), "the end was not withheld");
    let completed = begun.complete(asked.permit());
    let upstream = async {
        until(&mut stream, "89\r\n0\r\n\r\n").await;
        stream.write_all(FINE).await.unwrap();
    };
    let (response, ()) = tokio::join!(completed, upstream);
    assert_eq!(testing::read(response.unwrap().unwrap().into_body()).await, "fine");
    let events = format!("{:?}", asked.rig.finish().await.0);
    assert!(events.contains("early") && events.contains("red"), "{events}");
}

#[tokio::test]
async fn what_is_not_permitted_has_no_end() {
    let mut asked = Asked::new(RED).await;
    let (gate, begun) = asked.begin().await.unwrap();
    asked.write("0123456789").await;
    gate.open(4);
    let mut stream = asked.accept().await;
    until(&mut stream, "0123").await;
    drop(begun);
    gate.open(10);
    let mut rest = Vec::new();
    // Cut off, by an end or a reset.
    while let Ok(byte) = stream.read_u8().await {
        rest.push(byte);
    }
    assert!(rest.is_empty() || rest == b"\r\n", "{rest:?}");
}

/// What of it was answered before its end, and whether that is the answer.
#[tokio::test]
async fn an_early_answer_is_one_where_the_upstream_goes_on() {
    let full = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
    for (answer, is_taken) in [(FINE, true), (&full[..], false), (b"", false)] {
        let mut asked = Asked::new(RED).await;
        let (gate, begun) = asked.begin().await.unwrap();
        asked.write("0123456789").await;
        gate.open(4);
        let mut stream = asked.accept().await;
        until(&mut stream, "0123").await;
        stream.write_all(answer).await.unwrap();
        if answer.is_empty() {
            drop(stream);
        }
        while !begun.response.is_finished() {
            tokio::task::yield_now().await;
        }
        let response = begun.complete(asked.permit()).await.unwrap();
        assert_eq!(response.is_some(), is_taken, "{answer:?}");
    }
}

#[tokio::test]
async fn nothing_goes_that_people_may_have_to_approve() {
    let mut asked =
        Asked::new("{ id: red, match: { toy: { colors: red } }, decide: require_approval }").await;
    assert!(asked.begin().await.is_none());
    let mut upstream = Upstream::clone(&asked.target.upstream);
    upstream.forward = Forwarding::AfterVerdict;
    let target = Arc::new(Target { upstream: Arc::new(upstream), ..Target::clone(&asked.target) });
    let exchange = asked.rig.exchange().await;
    assert!(Starter::new(&target, &asked.caller, None, &exchange, &asked.policy).is_none());
}
