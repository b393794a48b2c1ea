//! Who comes in, and what they may call.

use std::collections::BTreeSet;

use http::{HeaderValue, Request};
use lockgate_control::{
    CallError,
    model::{EntryFilter, PageRequest},
    operator,
    transport::{Endpoint, connect},
};
use lockgate_proto::v1;
use prost::Message as _;
use serde_json::json;
use tonic::{
    Code,
    body::Body,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tower::{Service as _, ServiceExt as _};

use crate::support::{Plane, policy};

/// Every RPC of ours, by its path.
fn rpcs() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(v1::DESCRIPTOR_SET).unwrap();
    let mut paths = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    paths
}

/// Calls with an empty message; says with which code the call was refused at once, if it was.
async fn call(channel: &mut Channel, path: &str, authorization: &[&str]) -> Option<Code> {
    let mut request = Request::post(format!("http://lockgate.internal{path}"));
    request = request.header("content-type", "application/grpc").header("te", "trailers");
    for value in authorization {
        request = request.header("authorization", HeaderValue::from_str(value).unwrap());
    }
    let empty = http_body_util::Full::new(bytes::Bytes::from_static(&[0; 5]));
    let response =
        channel.ready().await.unwrap().call(request.body(Body::new(empty)).unwrap()).await.unwrap();
    response.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

#[tokio::test]
async fn who_may_call_what() {
    let plane = Plane::start().await;
    let mut people = connect(&Endpoint::Unix(plane.socket())).unwrap();
    let mut proxies = plane.control.in_memory().await;
    let token = |groups: &str| plane.idp.token("someone").claim("groups", json!([groups])).sign().unwrap();
    let columns = ["nobody", "stranger", "viewer", "approver", "auditor", "admin"];
    let cell = |text: &str| format!("{text:>10}");
    let heads: String = columns.iter().chain(&["proxy"]).map(|head| cell(head)).collect();
    let mut matrix = format!("{:<32}{heads}\n", "");
    for path in rpcs() {
        let mut row = format!("{:<32}", path.trim_start_matches("/lockgate.v1."));
        for who in columns {
            let bearer = format!("Bearer {}", token(&format!("{who}s")));
            let authorization: &[&str] = if who == "nobody" { &[] } else { &[&bearer] };
            row.push_str(&cell(match call(&mut people, &path, authorization).await {
                Some(Code::Unauthenticated) => "who?",
                Some(Code::PermissionDenied) => "-",
                _ => "yes",
            }));
        }
        row.push_str(&cell(match call(&mut proxies, &path, &[]).await {
            Some(Code::PermissionDenied) => "-",
            _ => "yes",
        }));
        matrix.push_str(&row);
        matrix.push('\n');
    }
    insta::assert_snapshot!(matrix, @r"
                                        nobody  stranger    viewer  approver   auditor     admin     proxy
    ApprovalService/DecideApproval        who?         -         -       yes         -       yes         -
    ApprovalService/GetApproval           who?         -       yes       yes       yes       yes       yes
    ApprovalService/ListApprovals         who?         -       yes       yes       yes       yes         -
    ApprovalService/RedeemApproval        who?         -         -         -         -         -       yes
    ApprovalService/RequestApproval       who?         -         -         -         -         -       yes
    ApprovalService/WatchApproval         who?         -       yes       yes       yes       yes       yes
    AuditService/ListAuditEvents          who?         -         -         -       yes       yes         -
    PolicyService/GetPolicy               who?         -       yes       yes       yes       yes         -
    PolicyService/ListPolicyVersions      who?         -       yes       yes       yes       yes         -
    PolicyService/PublishPolicy           who?         -         -         -         -       yes         -
    PolicyService/RollBackPolicy          who?         -         -         -         -       yes         -
    PolicyService/ValidatePolicy          who?         -       yes       yes       yes       yes         -
    PolicyService/WatchPolicy             who?         -         -         -         -         -       yes
    SessionService/GetEntry               who?         -       yes       yes       yes       yes         -
    SessionService/PutEntries             who?         -         -         -         -       yes       yes
    SessionService/SearchEntries          who?         -       yes       yes       yes       yes         -
    SessionService/SearchSessions         who?         -       yes       yes       yes       yes         -
    ");
}

#[tokio::test]
async fn a_token_must_be_one_of_ours() {
    let plane = Plane::start().await;
    let mut people = connect(&Endpoint::Unix(plane.socket())).unwrap();
    let path = "/lockgate.v1.PolicyService/GetPolicy";
    let good = plane.idp.token("vi").claim("groups", json!(["viewers"]));
    let bearer = |token: String| format!("Bearer {token}");
    let right = bearer(good.sign().unwrap());
    assert_eq!(call(&mut people, path, &[&right]).await, Some(Code::NotFound), "there is no policy yet");
    let cut = right[..right.len() - 2].to_owned();
    let refused = [
        vec![bearer(plane.idp.token("vi").expires_in(-100).sign().unwrap())],
        vec![bearer(good.claim("aud", json!("another")).sign().unwrap())],
        vec![bearer("lockgate_operator_00".into())],
        vec![cut],
        vec![right.replace("Bearer", "Basic")],
        vec!["Bearer".into()],
        vec!["Bearer ".into()],
        vec![right.clone(), right],
    ];
    for authorization in refused {
        let authorization: Vec<&str> = authorization.iter().map(String::as_str).collect();
        let code = call(&mut people, path, &authorization).await;
        assert_eq!(code, Some(Code::Unauthenticated), "{authorization:?}");
    }
}

#[tokio::test]
async fn what_is_not_an_rpc_is_not_reached() {
    let plane = Plane::start().await;
    let mut proxies = plane.control.in_memory().await;
    for path in ["/", "/lockgate.v1.PolicyService/", "/lockgate.v1.PolicyService/getPolicy", "/x.Y/Z"] {
        assert_eq!(call(&mut proxies, path, &[]).await, Some(Code::Unimplemented), "{path}");
    }
}

#[tokio::test]
async fn health_needs_no_token() {
    let plane = Plane::start().await;
    let channel = connect(&Endpoint::Unix(plane.socket())).unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    for service in ["", "lockgate.v1.PolicyService", "lockgate.v1.ApprovalService"] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        let status = health.check(request).await.unwrap().into_inner().status;
        assert_eq!(status, i32::from(tonic_health::pb::health_check_response::ServingStatus::Serving));
    }
}

#[tokio::test]
async fn whoever_may_look_sees_the_schema() {
    let plane = Plane::start().await;
    let channel = connect(&Endpoint::Unix(plane.socket())).unwrap();
    let token = operator::read_token(plane.folder.path()).unwrap();
    let bearer: MetadataValue<Ascii> = format!("Bearer {}", token.expose()).parse().unwrap();
    let mut reflection =
        ServerReflectionClient::with_interceptor(channel, |mut request: tonic::Request<()>| {
            request.metadata_mut().insert("authorization", bearer.clone());
            Ok(request)
        });
    let list = MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let answers = reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: BTreeSet<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["PolicyService", "ApprovalService", "SessionService", "AuditService"] {
        assert!(names.contains(&format!("lockgate.v1.{service}")), "{names:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_missing() {
    let plane = Plane::start().await;
    let vi = plane.person("vi", &["viewers"]);
    let refused = vi.roll_back(None, "").await.unwrap_err();
    insta::assert_snapshot!(refused, @"RollBackPolicy needs the role admin; yours: viewer");
    let refused = plane.person("x", &[]).entries(&EntryFilter::default(), &PageRequest::default()).await;
    insta::assert_snapshot!(refused.unwrap_err(), @"SearchEntries needs the role viewer or approver or auditor or admin; yours: none");
    let refused = plane.holder("nonsense").policy(None).await.unwrap_err();
    assert!(matches!(refused, CallError::Unauthenticated(_)), "{refused:?}");
}

#[tokio::test]
async fn roles_can_come_from_a_group_of_the_policy() {
    let plane = Plane::start().await;
    plane.publish(&policy("one")).await;
    let di = plane.person_with("di", &[("team", json!("release"))]);
    assert!(di.policy(None).await.is_ok());
    let ed = plane.person_with("ed", &[("team", json!("other"))]);
    assert!(matches!(ed.policy(None).await, Err(CallError::Forbidden(_))));
}
