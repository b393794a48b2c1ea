//! The services: each RPC takes its message apart, asks the store, and makes the answer. What they promise is
//! in the protos; who may call them is the door's matter ([`crate::guard`]).

mod approval;
mod audit;
mod policy;
mod session;
mod watch;

use lockgate_core::principal::Principal;
use lockgate_proto::v1::{
    approval_service_server::ApprovalServiceServer, audit_service_server::AuditServiceServer,
    policy_service_server::PolicyServiceServer, session_service_server::SessionServiceServer,
};
use tonic::{Request, Status, service::Routes};

use crate::{guard::Person, server::Shared, transport::MAX_REQUEST};

/// All services, health and reflection.
pub(crate) async fn routes(shared: &Shared) -> Routes {
    let limit = MAX_REQUEST;
    let (health, health_service) = tonic_health::server::health_reporter();
    let policy = PolicyServiceServer::new(policy::Service(shared.clone())).max_decoding_message_size(limit);
    let approval =
        ApprovalServiceServer::new(approval::Service(shared.clone())).max_decoding_message_size(limit);
    let session =
        SessionServiceServer::new(session::Service(shared.clone())).max_decoding_message_size(limit);
    let audit = AuditServiceServer::new(audit::Service(shared.clone())).max_decoding_message_size(limit);
    health.set_serving::<PolicyServiceServer<policy::Service>>().await;
    health.set_serving::<ApprovalServiceServer<approval::Service>>().await;
    health.set_serving::<SessionServiceServer<session::Service>>().await;
    health.set_serving::<AuditServiceServer<audit::Service>>().await;
    Routes::new(health_service)
        .add_service(reflection())
        .add_service(policy)
        .add_service(approval)
        .add_service(session)
        .add_service(audit)
}

fn reflection()
-> tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(lockgate_proto::v1::DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are generated with the code, and a test reads them")
}

/// Who calls, where only people can.
fn person<T>(request: &Request<T>) -> Result<Principal, Status> {
    let person = request.extensions().get::<Person>();
    let Person(principal) = person.ok_or_else(|| Status::permission_denied("this is for people"))?;
    Ok(principal.clone())
}
