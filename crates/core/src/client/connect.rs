//! Connects to an upstream: TCP, TLS with ALPN, and the first bytes of HTTP.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::{
    HeaderValue, Request, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    body::Body,
    origin::Origin,
    upstream::{ClientCertificate, Upstream},
};

/// How a connection to an upstream that has vanished is noticed.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// How much is read of an upstream's TLS at a time, of which rustls by itself asks for 4 KiB.
const READ: usize = 32 << 10;

/// The upstream's URL or certificates can't be used: an error of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The URL is not `http://host[:port]/...` or `https://...`.
    #[error("the URL {0} has no scheme http or https, or no host")]
    Url(Uri),
    /// The PEM does not hold certificates.
    #[error("the CA file holds no usable certificate")]
    Ca,
    /// The PEM does not hold a certificate and the key to it.
    #[error("the client certificate and its key are not usable together")]
    ClientCertificate,
    /// rustls refused the settings.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// A connection on which requests can be sent.
pub(super) enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

/// Opens connections to one origin.
pub(super) struct Connector {
    origin: Origin,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    port: u16,
    tls: Option<Tls>,
    /// Of storage: the upstream, on whose machine or link alone a near address is meant.
    upstream: Option<Box<Connector>>,
}

struct Tls {
    name: ServerName<'static>,
    /// Whichever version the upstream prefers.
    any: TlsConnector,
    /// For what only HTTP/1.1 can do.
    http1: TlsConnector,
}

impl Tls {
    async fn over(&self, tcp: TcpStream, by: &TlsConnector) -> io::Result<TlsStream<BufReader<TcpStream>>> {
        by.connect(self.name.clone(), BufReader::with_capacity(READ, tcp)).await
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Connector {
    /// To an upstream's own origin.
    pub(super) fn new(upstream: &Upstream, base: &Uri) -> Result<Self, TlsError> {
        let url = || TlsError::Url(base.clone());
        let origin = Origin::of(base).ok_or_else(url)?;
        let scheme = base.scheme().ok_or_else(url)?.clone();
        // Userinfo is no part of an address on the wire (RFC 9110, section 4.2.4).
        let authority = base.authority().ok_or_else(url)?;
        let authority = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(authority).map_err(|_| url())?;
        let authority = Authority::try_from(authority).map_err(|_| url())?;
        let (tls, default_port) = match scheme.as_str() {
            "http" => (None, 80),
            "https" => {
                let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).map_err(|_| url())?;
                let mut any = tls_config(upstream.ca.as_deref())?;
                // It is shown to the upstream alone, and not to where that keeps its content.
                if let Some(certificate) =
                    upstream.client_certificate.as_ref().filter(|_| upstream.is_own(&origin))
                {
                    any.client_auth_cert_resolver =
                        Arc::new(SingleCertAndKey::from(certified(certificate, &any)?));
                }
                let mut http1 = any.clone();
                http1.alpn_protocols = vec![b"http/1.1".to_vec()];
                let [any, http1] = [any, http1].map(|config| TlsConnector::from(Arc::new(config)));
                (Some(Tls { name, any, http1 }), 443)
            }
            _ => return Err(url()),
        };
        let port = authority.port_u16().unwrap_or(default_port);
        Ok(Self { origin, scheme, authority, host, port, tls, upstream: None })
    }

    /// To an origin where an upstream keeps content. Whatever its name resolves to, it is not on this
    /// machine or this link, where what trusts its neighbours answers, unless the upstream is there too.
    pub(super) fn to_storage(upstream: &Upstream, url: &Uri) -> Result<Self, TlsError> {
        let own = Box::new(Self::new(upstream, &upstream.url)?);
        Ok(Self { upstream: Some(own), ..Self::new(upstream, url)? })
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Addresses a request as the version wants it: HTTP/2 by `:authority`, in the URI, and without a `Host`
    /// that some servers take for a second one; HTTP/1.1 by `Host`.
    pub(super) fn address(&self, request: &mut Request<Body>, h2: bool) {
        let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path);
        if h2 {
            parts.scheme = Some(self.scheme.clone());
            parts.authority = Some(self.authority.clone());
            request.headers_mut().remove(header::HOST);
        } else {
            request.headers_mut().insert(header::HOST, self.host.clone());
        }
        // The parts are those of valid URIs, so this holds always.
        if let Ok(addressed) = Uri::from_parts(parts) {
            *request.uri_mut() = addressed;
        }
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(tokio::net::lookup_host((host, self.port)).await?.collect())
    }

    pub(super) async fn connect(&self) -> Result<Sender, BoxError> {
        let tcp = self.tcp().await?;
        let Some(tls) = &self.tls else {
            return Ok(Sender::H1(h1(tcp).await?));
        };
        let stream = tls.over(tcp, &tls.any).await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            h2(stream).await
        } else {
            Ok(Sender::H1(h1(stream).await?))
        }
    }

    /// A connection of HTTP/1.1 alone, which may become something else.
    pub(super) async fn connect_alone(&self) -> Result<http1::SendRequest<Body>, BoxError> {
        let tcp = self.tcp().await?;
        match &self.tls {
            Some(tls) => h1(tls.over(tcp, &tls.http1).await?).await,
            None => h1(tcp).await,
        }
    }

    async fn tcp(&self) -> Result<TcpStream, BoxError> {
        let addresses = self.resolve().await?;
        if let Some(upstream) = &self.upstream
            && addresses.iter().any(is_near)
            && !upstream.resolve().await?.iter().any(is_near)
        {
            return Err("the storage's name leads to this machine or link".into());
        }
        let tcp = TcpStream::connect(&*addresses).await?;
        tcp.set_nodelay(true)?;
        // How a long-running answer notices that its upstream has vanished.
        let keepalive = socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE);
        // A socket that can't be tuned still works.
        let _ = socket2::SockRef::from(&tcp).set_tcp_keepalive(&keepalive);
        Ok(tcp)
    }
}

/// This machine, or this link, where e.g. a cloud's metadata service answers.
fn is_near(address: &SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

async fn h1(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<http1::SendRequest<Body>, BoxError> {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

async fn h2(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, BoxError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(std::time::Duration::from_secs(20))
        .handshake(TokioIo::new(io))
        .await?;
    tokio::spawn(connection);
    Ok(Sender::H2(sender))
}

/// The gateway's certificate, with a key that fits.
fn certified(certificate: &ClientCertificate, config: &ClientConfig) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&certificate.chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::ClientCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.expose().as_bytes());
    let key = key.map_err(|_| TlsError::ClientCertificate)?;
    CertifiedKey::from_der(chain, key, config.crypto_provider()).map_err(|_| TlsError::ClientCertificate)
}

/// TLS to a server that the system's certificates, or these in PEM, vouch for.
pub(crate) fn tls_config(ca: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = ca {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(|_| TlsError::Ca)?).map_err(|_| TlsError::Ca)?;
        }
        if roots.is_empty() {
            return Err(TlsError::Ca);
        }
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
