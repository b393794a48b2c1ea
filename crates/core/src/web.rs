//! Plain HTTP questions to those who vouch for others: over TLS, without redirects and proxies, in bounded
//! size and time.

use std::time::Duration;

use reqwest::{Client, Response, Url, redirect::Policy};

use crate::client::{TlsError, tls_config};

/// The largest document that is read.
pub(crate) const MAX_DOCUMENT: usize = 1 << 20;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one document may take.
const WHOLE: Duration = Duration::from_secs(10);

/// Why there is no client: an error of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The certificates can't be used.
    #[error("TLS can't be set up")]
    Tls(#[from] TlsError),
    /// The client can't be made.
    #[error("the HTTP client can't be set up")]
    Http(#[source] reqwest::Error),
}

/// A client that trusts these certificates besides the system's.
pub(crate) fn client(ca: Option<&[u8]>) -> Result<Client, WebError> {
    Client::builder()
        .tls_backend_preconfigured(tls_config(ca)?)
        .redirect(Policy::none())
        // The environment is the binary's to read, not ours.
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .user_agent("lockgate")
        .build()
        .map_err(WebError::Http)
}

/// The whole of an answer; `None` where it is larger than [`MAX_DOCUMENT`].
pub(crate) async fn document(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if document.len() + chunk.len() > MAX_DOCUMENT {
            return Ok(None);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(Some(document))
}

/// Whether nobody is on the way to it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
