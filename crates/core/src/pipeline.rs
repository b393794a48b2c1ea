//! The life of a request, in the one place where its order is written.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, util::BoxCloneSyncService};

use crate::{
    approval::Approvals,
    authn::Authenticator,
    body::{self, Body, BodyError},
    exchange::Evidence,
    layers::{
        Target,
        authenticate::Authenticate,
        classify::Classify,
        decide::Decide,
        forward::Forward,
        hold::Hold,
        mask::Mask,
        record::Record,
        route::{Public, Route},
    },
    policy::PolicyHandle,
    spool::Spools,
    step::StepLayer,
};

/// What a gateway is made of.
pub struct Gateway {
    /// The upstreams.
    pub targets: Vec<Arc<Target>>,
    /// How clients call it.
    pub public: Public,
    /// Verifies tokens.
    pub authenticator: Authenticator,
    /// The policy in force.
    pub policy: PolicyHandle,
    /// Who is asked for approvals.
    pub approvals: Arc<dyn Approvals>,
    /// Where exchanges are recorded and indexed.
    pub evidence: Evidence,
    /// Where bodies that must be seen whole are kept.
    pub spools: Spools,
    /// Finds secrets in responses.
    pub mask: Mask,
    /// A client that sends nothing for so long, while its request is read, is given up.
    pub client_idle: Duration,
    /// How long an upstream may still answer a change after its client has gone.
    pub orphan: Duration,
    /// Says that the gateway ends: requests that wait for people are refused with the place to approve.
    pub ending: CancellationToken,
}

/// A running gateway: a service from requests to responses that cannot fail.
pub type Pipeline = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Builds the pipeline. From the outside in:
pub fn build(gateway: Gateway) -> Pipeline {
    let Gateway { targets, public, authenticator, policy, approvals, evidence, spools, mask, .. } = gateway;
    let (client_idle, orphan, ending) = (gateway.client_idle, gateway.orphan, gateway.ending);
    let service = ServiceBuilder::new()
        // Nobody waits for a silent client for ever: not even whoever asks before it is known who calls.
        .map_request(move |request: Request<Body>| {
            request.map(|body| body::within(client_idle, body, BodyError::Client))
        })
        // Which upstream, and so which protocol and which way to know callers: all below depends on it.
        .layer(StepLayer::new(Route::new(targets, public)))
        // Who calls. The credential is stripped here; nobody unknown gets any further.
        .layer(StepLayer::new(Authenticate { authenticator }))
        // From here on every byte is evidence, as the client sees it: what is masked below is not in it.
        .layer(StepLayer::new(Record { evidence, policy: policy.clone(), orphan }))
        // What is asked for, on the decoded form that the upstream will see. Refusals of all that
        // follows are rendered here, in the client's own dialect.
        .layer(StepLayer::new(Classify { spools: spools.clone(), policy: policy.clone() }))
        // Whether it may be: nothing of it has happened yet.
        .layer(StepLayer::new(Decide { policy: policy.clone() }))
        // People, where the policy asks for them. What they approve is what is forwarded.
        .layer(StepLayer::new(Hold { approvals, policy, ending, spools }))
        // What comes back is masked before anything above can see, record or send it.
        .layer(StepLayer::new(mask))
        // And only with a permit upstream.
        .service(Forward);
    BoxCloneSyncService::new(service)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        sync::oneshot,
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::testing::{self, Rig};

    /// A secret, the second part of which is sent once the test says so.
    async fn upstream(listener: TcpListener, go_on: oneshot::Receiver<()>) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let first = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nid = AKIAZ7\r\n";
        stream.write_all(first).await.unwrap();
        go_on.await.unwrap();
        stream.write_all(b"17\r\nQ3XBVN5TWMPK2R and more\r\n0\r\n\r\n").await.unwrap();
    }

    #[tokio::test]
    async fn a_secret_split_over_two_frames_is_masked_for_the_client_and_in_the_recording() {
        let rig = Rig::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (go_on, wait) = oneshot::channel();
        let upstream = tokio::spawn(upstream(listener, wait));
        let request = testing::get("/toy/box/masked");
        let mut body = build(testing::gateway(&rig, &url)).oneshot(request).await.unwrap().into_body();

        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "id = ", "what is certain does not wait for the rest");
        go_on.send(()).unwrap();
        let rest = testing::read(body).await;
        assert!(rest.starts_with("[MASKED:aws-access-key-id:") && rest.ends_with("] and more"), "{rest}");

        upstream.await.unwrap();
        let (events, _) = rig.finish().await;
        assert_eq!(testing::response_bytes(&events), format!("id = {rest}"));
    }
}
