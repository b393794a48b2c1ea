//! The processes: everything in one ([`Up`]), a gateway alone ([`proxy`]), a control plane alone ([`control()`]).
//!
//! Each is started whole or not at all, and ends in order: no new requests, those under way to their end, the
//! recording closed, the index told.

mod control;
mod front;
mod gateway;
mod policy_file;

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use lockgate_control::{
    client::ControlClient,
    transport::{self, Endpoint, Identity},
};
use lockgate_core::secret::Secret;
use serde_saphyr::Spanned;
use tokio::signal::unix::{SignalKind, signal};

use self::{control::ControlPlane, front::Front, gateway::Gateway};
pub(crate) use self::{control::socket, front::given, policy_file::POLICY_MAX};
use crate::{
    config::{Config, ConfigError, Proxy, Tls},
    folders,
    listen::{PEM_MAX, certificates},
};

/// A gateway and its control plane, running.
pub(crate) struct Up {
    gateway: Gateway,
    control: ControlPlane,
}

impl Up {
    /// Starts both.
    pub(crate) async fn start(config: Config) -> Result<Self> {
        let config = Arc::new(config);
        folders::prepare(&config)?;
        let front = Front::bind(&config)?;
        let control = ControlPlane::start(Arc::clone(&config)).await?;
        let client = ControlClient::keeping(control.channel().await, &config.file.name.0, &config.data_dir());
        let gateway = Gateway::start(&config, front, client, None).await;
        match gateway {
            Ok(gateway) => Ok(Self { gateway, control }),
            Err(error) => {
                control.stop().await;
                Err(error)
            }
        }
    }

    /// Where clients reach the gateway.
    pub(crate) fn url(&self) -> &str {
        self.gateway.url()
    }

    /// Ends both.
    pub(crate) async fn stop(self) {
        self.gateway.stop().await;
        self.control.stop().await;
    }
}

/// Runs everything until a signal ends it.
pub(crate) async fn up(config: Config) -> Result<()> {
    let up = Up::start(config).await?;
    let ended = ended(&[up.gateway.reload(), up.control.reload()]).await;
    insist(up.stop()).await;
    ended
}

/// Runs a gateway until a signal ends it.
pub(crate) async fn proxy(config: Config) -> Result<()> {
    let config = Arc::new(config);
    let Some(proxy) = &config.file.proxy else {
        return Err(config.error("`proxy` is missing: it says where the control plane is").into());
    };
    folders::prepare(&config)?;
    let channel = transport::connect(&endpoint(&config, proxy)?)?;
    let client = ControlClient::keeping(channel, &config.file.name.0, &config.data_dir());
    let front = Front::bind(&config)?;
    let gateway = Gateway::start(&config, front, client, Some(&config.data_dir())).await?;
    let ended = ended(&[gateway.reload()]).await;
    insist(gateway.stop()).await;
    ended
}

/// Runs a control plane until a signal ends it.
pub(crate) async fn control(config: Config) -> Result<()> {
    if config.file.control.proxies.is_none() {
        return Err(config
            .error("`control.proxies` is missing: it says where proxies reach the control plane")
            .into());
    }
    folders::prepare(&config)?;
    let control = ControlPlane::start(Arc::new(config)).await?;
    let ended = ended(&[control.reload()]).await;
    insist(control.stop()).await;
    ended
}

/// What is to be looked at again on SIGHUP.
type Reload = Arc<tokio::sync::Notify>;

/// Waits for SIGTERM or SIGINT. SIGHUP has certificates and the policy's file looked at again.
async fn ended(reload: &[Reload]) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload.iter().for_each(|it| it.notify_one()),
        }
    }
    tracing::info!("ending: requests under way go to their end; once more to end at once");
    Ok(())
}

/// Ends in order, or at once when asked again. What is recorded is safe in both cases.
async fn insist(stop: impl Future<Output = ()>) {
    let again = async {
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::select! {
        () = stop => {}
        () = again => tracing::warn!("ended at once; the spool keeps what was recorded"),
    }
}

/// Reads, as at a start, the files by which the control plane, its proxies and people know each other.
pub(crate) fn check(config: &Config) -> Result<(), ConfigError> {
    let control = &config.file.control;
    if let Some(proxy) = &config.file.proxy {
        endpoint(config, proxy)?;
    }
    if let Some(proxies) = &control.proxies {
        identity(config, &proxies.cert, &proxies.key)?;
        authority(config, &proxies.ca)?;
    }
    if let Some(Tls::Given(files)) = &control.tls {
        identity(config, &files.cert, &files.key)?;
    }
    control.ca.as_ref().map_or(Ok(()), |file| authority(config, file).map(drop))
}

fn endpoint(config: &Config, proxy: &Proxy) -> Result<Endpoint, ConfigError> {
    Ok(Endpoint::Tls {
        url: proxy.control.0.clone(),
        ca: proxy.ca.as_ref().map(|file| authority(config, file)).transpose()?,
        identity: Some(identity(config, &proxy.cert, &proxy.key)?),
    })
}

fn identity(
    config: &Config,
    cert: &Spanned<PathBuf>,
    key: &Spanned<PathBuf>,
) -> Result<Identity, ConfigError> {
    // Here, where the error says which file it is.
    given(config, cert, key)?;
    Ok(Identity { certificate: config.text(cert, PEM_MAX)?, key: Secret::new(config.text(key, PEM_MAX)?) })
}

/// Certificates that vouch for others.
fn authority(config: &Config, file: &Spanned<PathBuf>) -> Result<String, ConfigError> {
    config.at(file.referenced, certificates(&config.resolve(&file.value)))?;
    config.text(file, PEM_MAX)
}
