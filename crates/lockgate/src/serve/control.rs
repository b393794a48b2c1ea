//! A control plane that serves: on a socket in the data folder for people on this machine, on TCP where
//! configured, and to a proxy in the same process through memory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use lockgate_control::{
    operator::{self, Operator},
    server::{Control, Settings},
    store::SqliteStore,
    transport::{Identity, Listener},
};
use lockgate_core::secret::Secret;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::transport::Channel;

use super::{Reload, authority, identity, policy_file::PolicyFile};
use crate::{
    certs,
    config::{Config, Control as Settled, Tls, read_text},
    listen::PEM_MAX,
    wiring,
};

/// The socket for people on this machine, in the data folder.
pub(crate) fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// A control plane that serves, until it is stopped.
pub(super) struct ControlPlane {
    control: Control,
    reload: Reload,
    /// Listeners and the watch of the policy's file.
    tasks: JoinSet<()>,
    socket: PathBuf,
    /// Keeps a second one out of the data folder.
    _lock: File,
}

impl ControlPlane {
    /// Starts it.
    pub(super) async fn start(config: Arc<Config>) -> Result<Self> {
        let data = config.data_dir();
        let lock = lock(&data)?;
        let control = Control::open(store(&data).await?, settings(&config)?).await?;
        let reload = Reload::default();
        let mut tasks = JoinSet::new();
        if let Some(path) = config.file.policy.clone() {
            let (config, operator) = (Arc::clone(&config), operator(&config)?);
            let file = PolicyFile::publish(control.clone(), config, path, operator).await?;
            tasks.spawn(file.watch(Arc::clone(&reload)));
        }
        let socket = socket(&data);
        for listener in listeners(&config, &socket).await? {
            let control = control.clone();
            tasks.spawn(async move {
                if let Err(error) = control.serve(listener).await {
                    tracing::error!(error = %wiring::Chain(&error), "the control plane can't be reached here");
                }
            });
        }
        Ok(Self { control, reload, tasks, socket, _lock: lock })
    }

    /// A way to it for the proxy in this process.
    pub(super) async fn channel(&self) -> Channel {
        self.control.in_memory().await
    }

    pub(super) fn reload(&self) -> Reload {
        Arc::clone(&self.reload)
    }

    /// Ends it; what was answered is durable.
    pub(super) async fn stop(mut self) {
        self.control.shutdown().await;
        self.tasks.shutdown().await;
        // A socket file that is already gone is what is wanted.
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn lock(data: &Path) -> Result<File> {
    let path = data.join("control.lock");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot use {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another lockgate runs on {}", data.display()),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

async fn store(data: &Path) -> Result<Arc<SqliteStore>> {
    let path = data.join("control.sqlite");
    let store = SqliteStore::open(&path).await;
    Ok(Arc::new(store.with_context(|| format!("cannot use {}", path.display()))?))
}

fn settings(config: &Config) -> Result<Settings> {
    let control = &config.file.control;
    let authenticator =
        if config.file.issuers.is_empty() { None } else { Some(wiring::authenticator(config)?) };
    Ok(Settings {
        schemas: wiring::schemas(),
        approvals_url: control.approvals_url.as_ref().map(|url| url.0.to_string()),
        authenticator,
        operator: Some(operator(config)?),
        roles: control.roles.clone(),
    })
}

/// Whoever can read the data folder.
fn operator(config: &Config) -> Result<Operator> {
    let token = operator::read_or_make_token(&config.data_dir())?;
    let Settled { operator, .. } = &config.file.control;
    Ok(Operator { token, groups: operator.groups.clone(), roles: operator.roles.clone() })
}

async fn listeners(config: &Config, socket: &Path) -> Result<Vec<Listener>> {
    let here = Listener::unix(socket).with_context(|| format!("cannot make {}", socket.display()))?;
    let mut listeners = vec![here];
    let control = &config.file.control;
    if let Some(address) = &control.listen {
        let address = address.value.0;
        let listener = bind(address).await?;
        let people = match people_identity(config)? {
            Some(identity) => Listener::People { listener, identity },
            None => Listener::Loopback(listener),
        };
        tracing::info!(%address, "people reach the control plane here");
        listeners.push(people);
    }
    if let Some(proxies) = &control.proxies {
        let listener = bind(proxies.listen.0).await?;
        let identity = identity(config, &proxies.cert, &proxies.key)?;
        let client_ca = authority(config, &proxies.ca)?;
        tracing::info!(address = %proxies.listen.0, "proxies reach the control plane here");
        listeners.push(Listener::Proxies { listener, identity, client_ca });
    }
    Ok(listeners)
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

fn people_identity(config: &Config) -> Result<Option<Identity>> {
    let control = &config.file.control;
    let (Some(listen), Some(tls)) = (&control.listen, &control.tls) else { return Ok(None) };
    match tls {
        Tls::Off => Ok(None),
        Tls::Given(files) => Ok(Some(identity(config, &files.cert, &files.key)?)),
        Tls::Generated => {
            let names = certs::names(listen.value.0.ip(), []);
            let files = certs::generate(&config.data_dir().join("control-tls"), &names)?;
            let key = Secret::new(read_text(&files.key, PEM_MAX)?);
            Ok(Some(Identity { certificate: read_text(&files.cert, PEM_MAX)?, key }))
        }
    }
}
