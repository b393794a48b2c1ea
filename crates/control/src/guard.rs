//! The door of the control plane: no RPC is reached but through here.
//!
//! Who calls is decided by where they come in: on the proxies' side, whoever got through (a client
//! certificate, or the same process) is a proxy; on the people's side, whoever shows a token is a person with
//! the roles of their groups. [`crate::roles`] says who may call what.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use aws_lc_rs::digest::{SHA256, digest};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, header};
use lockgate_core::{authn::Authenticator, principal::Principal, secret::Secret};
use tonic::{
    Status,
    body::Body,
    service::Routes,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower::{Layer, Service};

use crate::{
    force::InForce,
    operator::{LOCAL_ISSUER, Operator},
    roles::{self, Allowed, Role, RoleGroups},
};

/// Which side of the control plane a connection came in on.
#[derive(Clone)]
pub(crate) enum Side {
    /// With a client certificate, which names the proxy.
    Proxies,
    /// From this very process.
    InProcess,
    /// With a token.
    People(Arc<People>),
}

/// How people are known.
pub(crate) struct People {
    pub(crate) operator: Option<Operator>,
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) roles: RoleGroups,
    pub(crate) in_force: InForce,
}

/// A verified person: what the services find in a request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Person(pub(crate) Principal);

/// A verified proxy: what the services find in a request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Proxy(pub(crate) String);

impl People {
    /// Who shows this token, and their roles.
    async fn know(&self, headers: &HeaderMap) -> Result<(Person, Vec<Role>), Status> {
        let token = bearer(headers)?;
        let mut roles = Vec::new();
        let mut principal = match &self.operator {
            Some(operator) if operator.knows(&token) => {
                roles.clone_from(&operator.roles);
                operator.principal()
            }
            Some(_) | None => self.verify(&token).await?,
        };
        principal.groups = self.in_force.groups(&principal);
        roles.extend(self.roles.roles(&principal.groups));
        Ok((Person(principal), roles))
    }

    async fn verify(&self, token: &Secret) -> Result<Principal, Status> {
        let Some(authenticator) = &self.authenticator else {
            return Err(Status::unauthenticated(
                "this is not the operator's token, and no other is taken here",
            ));
        };
        match authenticator.verify(token).await {
            // An issuer of that name could make another operator.
            Ok(caller) if caller.principal.issuer == LOCAL_ISSUER => {
                Err(Status::unauthenticated("the issuer's name `local` is taken: configure another"))
            }
            Ok(caller) => Ok((*caller.principal).clone()),
            Err(error) => Err(Status::unauthenticated(error.to_string())),
        }
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Result<Secret, Status> {
    let wanted = || Status::unauthenticated("send one header `authorization: Bearer <token>`");
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(wanted()) };
    let value = value.to_str().map_err(|_| wanted())?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => {
            Ok(Secret::new(token.trim()))
        }
        Some(_) | None => Err(wanted()),
    }
}

/// Puts [`Guard`] before the services.
#[derive(Clone)]
pub(crate) struct GuardLayer(pub(crate) Side);

impl Layer<Routes> for GuardLayer {
    type Service = Guard;

    fn layer(&self, inner: Routes) -> Guard {
        Guard { side: self.0.clone(), inner }
    }
}

/// The services behind the door.
#[derive(Clone)]
pub(crate) struct Guard {
    side: Side,
    inner: Routes,
}

impl Service<Request<Body>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that was ready is called; the clone stays for the next request.
        let mut inner = self.inner.clone();
        std::mem::swap(&mut inner, &mut self.inner);
        let side = self.side.clone();
        Box::pin(async move {
            match admit(&side, &mut request).await {
                Ok(()) => inner.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// Lets a request through or not; marks it with who calls.
async fn admit(side: &Side, request: &mut Request<Body>) -> Result<(), Status> {
    let path = request.uri().path();
    let Some(allowed) = roles::allowed(path) else {
        return Err(Status::unimplemented("there is no such RPC here"));
    };
    // Nobody but this door says who calls.
    request.extensions_mut().remove::<Person>();
    request.extensions_mut().remove::<Proxy>();
    if allowed.anyone {
        return Ok(());
    }
    match side {
        Side::InProcess => admit_proxy(allowed, request, "in-process".to_owned()),
        Side::Proxies => {
            let name = certificate(request)?;
            admit_proxy(allowed, request, name)
        }
        Side::People(people) => {
            let (person, roles) = people.know(request.headers()).await?;
            check_roles(allowed, &roles, request.uri().path())?;
            request.extensions_mut().insert(person);
            Ok(())
        }
    }
}

fn admit_proxy(allowed: Allowed, request: &mut Request<Body>, name: String) -> Result<(), Status> {
    if !allowed.proxies {
        return Err(Status::permission_denied("this is for people, not for proxies"));
    }
    request.extensions_mut().insert(Proxy(name));
    Ok(())
}

/// What names a proxy: the hash of the certificate that it came with.
fn certificate(request: &Request<Body>) -> Result<String, Status> {
    let info = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let certificates = info.and_then(TlsConnectInfo::peer_certs);
    let leaf = certificates.as_ref().and_then(|certificates| certificates.first());
    let leaf = leaf.ok_or_else(|| Status::unauthenticated("a proxy comes with a client certificate"))?;
    Ok(format!("sha256:{}", hex::encode(digest(&SHA256, leaf))))
}

fn check_roles(allowed: Allowed, roles: &[Role], path: &str) -> Result<(), Status> {
    if allowed.roles.iter().any(|role| roles.contains(role)) {
        return Ok(());
    }
    let rpc = path.rsplit('/').next().unwrap_or(path);
    if allowed.roles.is_empty() {
        return Err(Status::permission_denied(format!("{rpc} is for proxies, not for people")));
    }
    let list = |roles: &[Role]| roles.iter().map(Role::to_string).collect::<Vec<_>>().join(" or ");
    let (needed, own) = (list(allowed.roles), list(roles));
    let own = if own.is_empty() { "none".to_owned() } else { own.replace(" or ", ", ") };
    Err(Status::permission_denied(format!("{rpc} needs the role {needed}; yours: {own}")))
}
