//! Serving: on which side a listener stands says who may come in.

use std::{io, net::SocketAddr, time::Duration};

use futures::{Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::{TcpListener, UnixListener},
    sync::mpsc,
};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{
        Certificate, Server, ServerTlsConfig,
        server::{Connected, TcpIncoming},
    },
};

use super::{CALL_WITHIN, CONNECT_WITHIN, Identity, KEEPALIVE_EVERY, KEEPALIVE_WITHIN, limit::limited};
use crate::guard::GuardLayer;

/// How many connections one listener takes at once.
const MAX_CONNECTIONS: usize = 1024;
/// How many streams one connection may have at once.
const MAX_STREAMS: u32 = 1024;
/// How large the headers of a call may be: they carry a token.
const MAX_HEADERS: u32 = 32 << 10;
/// How long a call in progress may go on when the control plane stops.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// Where the control plane is reached.
#[derive(Debug)]
pub enum Listener {
    /// By proxies: TLS with client certificates.
    Proxies {
        /// Where.
        listener: TcpListener,
        /// Who we are.
        identity: Identity,
        /// The authority that signs proxies' certificates: PEM.
        client_ca: String,
    },
    /// By people: TLS and tokens.
    People {
        /// Where.
        listener: TcpListener,
        /// Who we are.
        identity: Identity,
    },
    /// By people on this machine: tokens, without TLS.
    Loopback(TcpListener),
    /// By people on this machine: tokens, through a socket file.
    Unix(UnixListener),
}

impl Listener {
    /// Makes the socket file, in a folder that only its owner can enter. A file that an earlier run left
    /// behind is replaced; the caller holds whatever keeps two control planes from one folder.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn unix(path: &std::path::Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if let Some(folder) = path.parent() {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self::Unix(listener))
    }

    pub(crate) fn is_for_proxies(&self) -> bool {
        match self {
            Self::Proxies { .. } => true,
            Self::People { .. } | Self::Loopback(_) | Self::Unix(_) => false,
        }
    }
}

/// Why it can't be served. Always ours: the configuration, or the machine.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without TLS, on an address that others can reach.
    #[error("{0} can be reached from other machines: tokens go there by TLS only")]
    NotLoopback(SocketAddr),
    /// The listener does not work.
    #[error("the listener does not work")]
    Listener(#[from] io::Error),
    /// The certificates or keys are no such, or the server can't run.
    #[error("the control plane can't be served here")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until `stopped`, and then until what runs has ended.
pub(crate) async fn serve(
    listener: Listener,
    guard: GuardLayer,
    routes: Routes,
    stopped: CancellationToken,
) -> Result<(), ServeError> {
    match listener {
        Listener::Proxies { listener, identity, client_ca } => {
            let tls = tls(&identity).client_ca_root(Certificate::from_pem(client_ca));
            run(server().tls_config(tls)?, guard, routes, tcp(listener), stopped).await
        }
        Listener::People { listener, identity } => {
            run(server().tls_config(tls(&identity))?, guard, routes, tcp(listener), stopped).await
        }
        Listener::Loopback(listener) => {
            let address = listener.local_addr()?;
            if !address.ip().is_loopback() {
                return Err(ServeError::NotLoopback(address));
            }
            run(server(), guard, routes, tcp(listener), stopped).await
        }
        Listener::Unix(listener) => {
            run(server(), guard, routes, UnixListenerStream::new(listener), stopped).await
        }
    }
}

/// Serves connections that are made within this process.
pub(crate) async fn serve_in_memory(
    incoming: mpsc::Receiver<DuplexStream>,
    guard: GuardLayer,
    routes: Routes,
    stopped: CancellationToken,
) -> Result<(), ServeError> {
    run(server(), guard, routes, ReceiverStream::new(incoming).map(Ok), stopped).await
}

fn server() -> Server {
    Server::builder()
        .timeout(CALL_WITHIN)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
        .http2_max_header_list_size(MAX_HEADERS)
}

fn tls(identity: &Identity) -> ServerTlsConfig {
    ServerTlsConfig::new().identity(identity.tonic()).timeout(CONNECT_WITHIN)
}

fn tcp(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

async fn run<IO>(
    server: Server,
    guard: GuardLayer,
    routes: Routes,
    incoming: impl Stream<Item = io::Result<IO>> + Send,
    stopped: CancellationToken,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let drained = async {
        stopped.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    let server = server.layer(guard);
    let serving = server.serve_with_incoming_shutdown(
        routes,
        limited(incoming, MAX_CONNECTIONS),
        stopped.clone().cancelled_owned(),
    );
    tokio::select! {
        result = serving => Ok(result?),
        () = drained => {
            tracing::warn!("calls in progress were cut off");
            Ok(())
        }
    }
}
