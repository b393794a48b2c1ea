//! The address at which clients reach the gateway, with the certificate it shows them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Result;
use rustls::ServerConfig;
use serde_saphyr::Spanned;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

use super::Reload;
use crate::{
    certs,
    config::{Config, ConfigError, Tls},
    listen::{Listener, certificates, private_key, server_config},
};

/// A bound address. Nobody is served yet.
pub(super) struct Front {
    pub(super) listener: Listener,
    pub(super) reload: Reload,
    url: String,
}

impl Front {
    pub(super) fn bind(config: &Arc<Config>) -> Result<Self> {
        let listen = &config.file.listen;
        let reload = Reload::default();
        let tls = acceptor(config)?;
        let tls = tls.map(|acceptor| renewed(Arc::clone(config), acceptor, Arc::clone(&reload)));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = Listener::bind(listen.address.value.0, tls, config.file.limits.clone())?;
        let url = match &config.file.public_url {
            Some(url) => url.0.to_string().trim_end_matches('/').to_owned(),
            None => format!("{scheme}://{}", reachable(listener.address()?)),
        };
        Ok(Self { listener, reload, url })
    }

    /// How clients call it.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }
}

/// An address that can be called; all of this machine's are called by one that it certainly has.
fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    (std::net::Ipv4Addr::LOCALHOST, address.port()).into()
}

fn acceptor(config: &Config) -> Result<Option<TlsAcceptor>> {
    let listen = &config.file.listen;
    let tls = match &listen.tls {
        Tls::Off => return Ok(None),
        Tls::Given(files) => given(config, &files.cert, &files.key)?,
        Tls::Generated => {
            let more = listen.names.iter().map(|name| name.0.host().to_owned());
            let names = certs::names(listen.address.value.0.ip(), more);
            let files = certs::generate(&config.data_dir().join("tls"), &names)?;
            tracing::info!(ca = %files.ca.display(), "clients trust this gateway by its authority's certificate");
            server_config(certificates(&files.cert)?, private_key(&files.key)?)?
        }
    };
    Ok(Some(tls.into()))
}

/// TLS with files that the configuration names. An error says which of them can't be used.
pub(crate) fn given(
    config: &Config,
    cert: &Spanned<PathBuf>,
    key: &Spanned<PathBuf>,
) -> Result<Arc<ServerConfig>, ConfigError> {
    let chain = config.at(cert.referenced, certificates(&config.resolve(&cert.value)))?;
    let private = config.at(key.referenced, private_key(&config.resolve(&key.value)))?;
    config.at(key.referenced, server_config(chain, private))
}

/// The certificate, and again whenever it is to be looked at. One that can't be used changes nothing.
fn renewed(config: Arc<Config>, first: TlsAcceptor, reload: Arc<Notify>) -> watch::Receiver<TlsAcceptor> {
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = reload.notified() => {}
                () = sender.closed() => return,
            }
            match acceptor(&config) {
                Ok(Some(acceptor)) => {
                    sender.send_replace(acceptor);
                    tracing::info!("the certificate was read again");
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the certificate stays as it was")
                }
            }
        }
    });
    receiver
}
