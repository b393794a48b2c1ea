//! Connecting to a control plane: a channel that connects when it is first used, and again when it was lost.

use std::path::PathBuf;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{io::DuplexStream, net::UnixStream, sync::mpsc};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint as TonicEndpoint};
use tower::service_fn;

use super::{CONNECT_WITHIN, Identity, KEEPALIVE_EVERY, KEEPALIVE_WITHIN};

/// How much a connection in memory holds in each direction.
const IN_MEMORY: usize = 64 << 10;

/// Where a control plane is.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A socket file on this machine.
    Unix(PathBuf),
    /// `http://127.0.0.1:port`: on this machine only.
    Loopback(Uri),
    /// `https://host:port`.
    Tls {
        /// Where.
        url: Uri,
        /// The authority that signs its certificate (PEM); the system's, where there is none.
        ca: Option<String>,
        /// Who we are: for proxies.
        identity: Option<Identity>,
    },
}

/// Why no connection can even be tried. Always ours: the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A token would be sent where others can read it.
    #[error("{0} is not on this machine: use https")]
    NotLoopback(Uri),
    /// A URL of another kind.
    #[error("{0} is no URL of a control plane: https://host:port")]
    Url(Uri),
    /// A token that can't be one: it has characters that no token has.
    #[error("the token has characters that no token has")]
    Token,
    /// A certificate or a key is not one.
    #[error("the certificates for {url} can't be used")]
    Tls {
        /// Where to.
        url: Uri,
        /// What is wrong.
        source: tonic::transport::Error,
    },
}

/// A channel to a control plane. Nothing is connected until it is used.
///
/// # Errors
/// When what is given can never work.
pub fn connect(endpoint: &Endpoint) -> Result<Channel, ConnectError> {
    match endpoint {
        Endpoint::Unix(path) => {
            let path = path.clone();
            let connector = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            Ok(local().connect_with_connector_lazy(connector))
        }
        Endpoint::Loopback(url) => {
            if url.scheme_str() != Some("http") {
                return Err(ConnectError::Url(url.clone()));
            }
            let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
            if host != "localhost" && !host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()) {
                return Err(ConnectError::NotLoopback(url.clone()));
            }
            Ok(patient(TonicEndpoint::from(url.clone())).connect_lazy())
        }
        Endpoint::Tls { url, ca, identity } => {
            if url.scheme_str() != Some("https") {
                return Err(ConnectError::Url(url.clone()));
            }
            let tls = tls(ca.as_deref(), identity.as_ref());
            let endpoint = patient(TonicEndpoint::from(url.clone())).tls_config(tls);
            let endpoint = endpoint.map_err(|source| ConnectError::Tls { url: url.clone(), source })?;
            Ok(endpoint.connect_lazy())
        }
    }
}

/// A channel within this process, and where its connections come out.
pub(crate) fn in_memory() -> (Channel, mpsc::Receiver<DuplexStream>) {
    let (connections, incoming) = mpsc::channel(1);
    let connector = service_fn(move |_: Uri| {
        let connections = connections.clone();
        async move {
            let (ours, theirs) = tokio::io::duplex(IN_MEMORY);
            let gone = |_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            connections.send(theirs).await.map_err(gone)?;
            Ok::<_, std::io::Error>(TokioIo::new(ours))
        }
    });
    (local().connect_with_connector_lazy(connector), incoming)
}

/// An endpoint whose name means nothing, since the connector knows where to go.
fn local() -> TonicEndpoint {
    patient(TonicEndpoint::from_static("http://lockgate.internal"))
}

fn patient(endpoint: TonicEndpoint) -> TonicEndpoint {
    endpoint
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_WITHIN)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

fn tls(ca: Option<&str>, identity: Option<&Identity>) -> ClientTlsConfig {
    let tls = ClientTlsConfig::new().timeout(CONNECT_WITHIN);
    let tls = match ca {
        Some(ca) => tls.ca_certificate(Certificate::from_pem(ca)),
        None => tls.with_enabled_roots(),
    };
    match identity {
        Some(identity) => tls.identity(identity.tonic()),
        None => tls,
    }
}
