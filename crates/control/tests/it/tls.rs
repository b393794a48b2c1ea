//! Two processes, as far as the wire can tell: certificates, listeners, restarts.

use std::net::SocketAddr;

use lockgate_control::{
    client::ControlClient,
    model::{Answer, PageRequest},
    operator,
    people::Client,
    transport::{Endpoint, Listener, ServeError, connect},
};
use lockgate_core::{
    approval::{ApprovalError, Approvals, TicketState},
    index::Index,
    policy::PolicyHandle,
};
use lockgate_testkit::{Ca, wait::PATIENCE};
use tokio::net::TcpListener;

use crate::support::{ANY, GIT, Plane, ask, entry, identity, policy, serve};

fn url(address: SocketAddr) -> http::Uri {
    format!("https://localhost:{}", address.port()).parse().unwrap()
}

/// A proxy that trusts `server`'s authority, with a certificate of `own`'s if one is given.
fn proxy(address: SocketAddr, server: &Ca, own: Option<&Ca>) -> ControlClient {
    let endpoint = Endpoint::Tls {
        url: url(address),
        ca: Some(server.pem()),
        identity: own.map(|ca| identity(&ca.client("edge").unwrap())),
    };
    ControlClient::new(connect(&endpoint).unwrap(), "edge")
}

#[tokio::test]
async fn only_a_proxy_with_our_certificate_comes_in() {
    let plane = Plane::start().await;
    let (ours, theirs) = (Ca::new().unwrap(), Ca::new().unwrap());
    let address = plane.serve_proxies(&ours, ANY).await;
    let known = proxy(address, &ours, Some(&ours));
    assert_eq!(known.ask(ask("c1")).await.unwrap().state, TicketState::Pending);
    let strangers = [
        proxy(address, &ours, None),
        proxy(address, &ours, Some(&theirs)),
        proxy(address, &theirs, Some(&ours)),
    ];
    for stranger in strangers {
        let refused = stranger.ask(ask("c2")).await.unwrap_err();
        assert!(matches!(refused, ApprovalError::Unavailable(_)), "{refused:?}");
    }
    let asked = plane.operator().approvals(&[], &PageRequest::default()).await.unwrap();
    assert_eq!(asked.items.len(), 1);
}

#[tokio::test]
async fn a_token_does_not_open_the_proxies_door() {
    let plane = Plane::start().await;
    let ca = Ca::new().unwrap();
    let address = plane.serve_proxies(&ca, ANY).await;
    let token = operator::read_token(plane.folder.path()).unwrap();
    for own in [None, Some(identity(&ca.client("edge").unwrap()))] {
        let endpoint = Endpoint::Tls { url: url(address), ca: Some(ca.pem()), identity: own };
        assert!(Client::connect(&endpoint, &token).unwrap().policy(None).await.is_err());
    }
}

#[tokio::test]
async fn people_come_by_tls_with_a_token() {
    let plane = Plane::start().await;
    let ca = Ca::new().unwrap();
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(&plane.control, Listener::People { listener, identity: identity(&ca.server().unwrap()) });
    let endpoint = Endpoint::Tls { url: url(address), ca: Some(ca.pem()), identity: None };
    let token = operator::read_token(plane.folder.path()).unwrap();
    let version = plane.publish(&policy("one")).await;
    let person = Client::connect(&endpoint, &token).unwrap();
    assert_eq!(person.policy(None).await.unwrap().version, version);
    // A proxy's certificate means nothing here.
    let proxy = proxy(address, &ca, Some(&ca));
    assert!(proxy.ask(ask("c1")).await.is_err());
}

#[tokio::test]
async fn plain_text_is_for_this_machine_only() {
    let plane = Plane::start().await;
    let listener = TcpListener::bind(ANY).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    serve(&plane.control, Listener::Loopback(listener));
    let token = operator::read_token(plane.folder.path()).unwrap();
    let version = plane.publish(&policy("one")).await;
    let person = Client::connect(&Endpoint::Loopback(url), &token).unwrap();
    assert_eq!(person.policy(None).await.unwrap().version, version);

    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = plane.control.serve(Listener::Loopback(everywhere)).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback(_))));
    for far in ["http://192.0.2.1:1", "http://gate.example:1", "https://127.0.0.1:1"] {
        assert!(connect(&Endpoint::Loopback(far.parse().unwrap())).is_err(), "{far}");
    }
}

#[tokio::test]
async fn a_restart_of_the_control_plane_is_survived() {
    let plane = Plane::start().await;
    let ca = Ca::new().unwrap();
    let address = plane.serve_proxies(&ca, ANY).await;
    let client = proxy(address, &ca, Some(&ca));
    let handle = PolicyHandle::new();
    let first = plane.publish(&policy("one")).await;
    let watch = client.watch_policy(handle.clone(), &[&GIT], None);
    watch.ready().await;
    assert_eq!(handle.current().unwrap().version(), first);
    let ticket = client.ask(ask("c1")).await.unwrap();
    let waiting = tokio::spawn({
        let (client, id) = (client.clone(), ticket.id.clone());
        async move { client.decided(&id).await }
    });

    let (folder, idp) = plane.stop().await;
    assert!(matches!(client.ask(ask("c2")).await, Err(ApprovalError::Unavailable(_))), "it is away");
    client.put(entry("ada", "team/app"));
    assert_eq!(handle.current().unwrap().version(), first, "the last good one stays");

    let plane = Plane::start_in(folder, idp).await;
    let second = plane.publish(&policy("two")).await;
    plane.serve_proxies(&ca, address).await;
    plane.person("bo", &["release"]).decide(&ticket.id, Answer::Approve, "").await.unwrap();
    let by = vec!["corp:bo".into()];
    assert_eq!(waiting.await.unwrap().unwrap(), TicketState::Approved { by });
    assert!(client.flush(PATIENCE).await);
    let reached = async || handle.current().filter(|policy| policy.version() == second).map(drop);
    lockgate_testkit::wait::until_async("the second policy", reached).await.unwrap();
}
