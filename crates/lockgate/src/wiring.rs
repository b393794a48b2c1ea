//! Puts the parts together: from a configuration to a gateway that serves. The only place that knows every
//! protocol.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use lockgate_core::{
    access::Schema,
    approval::Approvals,
    authn::{Authenticator, AuthnConfigError},
    client::Client,
    exchange::{Closing, Evidence},
    index::Index,
    layers::{Target, mask::Mask, route::Public},
    pipeline::{self, Gateway, Pipeline},
    policy::PolicyHandle,
    protocol::Protocol,
    spool::Spools,
    upstream::Auth,
};
use lockgate_detect::{RuleSet, TagKey};
use lockgate_git::Git;
use lockgate_k8s::Kubernetes;
use lockgate_oci::Registry;
use lockgate_recording::{Archive, Recorder, RecorderConfig, Recovered, Status, create_store, open_store};
use serde_saphyr::Location;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Tls, registries},
    folders,
    listen::Ready,
};

/// How long exchanges that are cut off may take to write down that they were.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Every protocol that this binary speaks: one line each.
pub(crate) fn protocols() -> Vec<Arc<dyn Protocol>> {
    with(Default::default(), Default::default(), Default::default())
}

fn with(
    git: lockgate_git::Config,
    k8s: lockgate_k8s::Config,
    oci: lockgate_oci::Config,
) -> Vec<Arc<dyn Protocol>> {
    vec![Arc::new(Git::new(git)), Arc::new(Kubernetes::new(k8s)), Arc::new(Registry::new(oci))]
}

/// The names that a policy may use.
pub(crate) fn schemas() -> Vec<&'static Schema> {
    protocols().iter().map(|protocol| protocol.schema()).collect()
}

/// The kinds of upstreams that a configuration may name.
pub(crate) fn kinds() -> Vec<&'static str> {
    schemas().iter().map(|schema| schema.protocol).collect()
}

/// Whom a gateway asks besides itself.
pub(crate) struct Asked {
    /// For approvals.
    pub(crate) approvals: Arc<dyn Approvals>,
    /// To keep the index.
    pub(crate) index: Arc<dyn Index>,
    /// The policy in force.
    pub(crate) policy: PolicyHandle,
    /// Says that the gateway ends.
    pub(crate) ending: CancellationToken,
}

/// A gateway that was put together.
pub(crate) struct Built {
    /// What answers requests.
    pub(crate) pipeline: Pipeline,
    /// Whether it can.
    pub(crate) ready: Ready,
    /// What records them.
    pub(crate) recorder: Recorder,
    /// What still has to be written.
    pub(crate) closing: Closing,
    /// Where the recordings are.
    pub(crate) archive: Archive,
    /// What a crash had left.
    pub(crate) recovered: Recovered,
}

/// Builds a gateway.
pub(crate) async fn gateway(config: &Config, name: &str, asked: Asked) -> Result<Built> {
    let limits = &config.file.limits;
    let data = config.data_dir();
    folders::private(&data)?;
    let mut git = lockgate_git::Config::default();
    git.lfs.key = Some(key(&data.join("lfs.key"))?.into());
    let tags = TagKey::new(&key(&data.join("mask.key"))?);
    let mut k8s = lockgate_k8s::Config::default();
    // What was masked in an answer is known again in a write.
    k8s.detector.key = tags.clone();
    let mut oci = limits.registries(key(&data.join("registry.key"))?);
    oci.scan.key = tags.clone();
    oci.registries = registries(config)?;
    let targets = targets(config, with(git, k8s, oci))?;
    let authenticator = authenticator(config)?;
    let (recorder, recovered) = recorder(config, name).await?;
    let closing = Closing::new();
    let evidence = Evidence { recorder: recorder.clone(), index: asked.index, closing: closing.clone() };
    let mask = Mask::new(RuleSet::builtin(), tags)?;
    let spools = Spools { dir: data.join("pushes"), memory: limits.push_memory.bytes(), max: limits.push.0 };
    folders::private(&spools.dir)?;
    let warmed = authenticator.clone();
    tokio::spawn(async move { warmed.warm().await });
    let ready = ready(asked.policy.clone(), recorder.clone());
    let public = Public {
        url: config.file.public_url.as_ref().map(|url| url.0.clone()),
        tls: config.file.listen.tls != Tls::Off,
    };
    let pipeline = pipeline::build(Gateway {
        targets,
        public,
        authenticator,
        policy: asked.policy,
        approvals: asked.approvals,
        evidence,
        spools,
        mask,
        client_idle: limits.client_idle.0,
        orphan: limits.orphan.0,
        ending: asked.ending,
    });
    Ok(Built { pipeline, ready, recorder, closing, archive: archive(config)?, recovered })
}

/// Verifies the tokens of the configured issuers.
pub(crate) fn authenticator(config: &Config) -> Result<Authenticator> {
    let issuers = config.file.issuers.iter().map(|issuer| issuer.resolve(config));
    let authenticator = Authenticator::new(issuers.collect::<Result<_, _>>()?);
    authenticator.map_err(|error| match place(config, &error) {
        Some(place) => config.error(format!("{:#}", anyhow::Error::from(error))).at(place).into(),
        None => error.into(),
    })
}

/// Where the issuer stands that can't be used.
fn place(config: &Config, error: &AuthnConfigError) -> Option<Location> {
    let name = match error {
        AuthnConfigError::Issuer { issuer, .. }
        | AuthnConfigError::Url { issuer, .. }
        | AuthnConfigError::Keys { issuer, .. }
        | AuthnConfigError::Tls { issuer, .. } => issuer,
        AuthnConfigError::Http(_) => return None,
    };
    let issuer = config.file.issuers.iter().find(|issuer| issuer.name.value.0 == *name)?;
    Some(issuer.place(error))
}

/// Where the recordings are.
pub(crate) fn archive(config: &Config) -> Result<Archive> {
    let (store, prefix) = config.file.recording.open(config, open_store)?;
    Ok(Archive::new(store, prefix))
}

/// Where recordings wait for the store.
pub(crate) fn spool(config: &Config) -> PathBuf {
    config.data_dir().join("spool")
}

/// The upstreams with their protocols and connections. Says of each that is only recorded that it is.
fn targets(config: &Config, protocols: Vec<Arc<dyn Protocol>>) -> Result<Vec<Arc<Target>>> {
    let protocols: BTreeMap<_, _> =
        protocols.into_iter().map(|protocol| (protocol.schema().protocol, protocol)).collect();
    if config.file.upstreams.is_empty() {
        bail!(config.error("`upstreams` is empty: there is nothing to be a gateway to"));
    }
    let mut targets = Vec::new();
    for entry in &config.file.upstreams {
        let upstream = Arc::new(entry.resolve(config)?);
        let protocol = protocols.get(upstream.kind.as_str()).context("the kind was checked")?;
        if upstream.auth == Auth::Passthrough {
            tracing::warn!(
                upstream = upstream.name,
                "`auth: passthrough`: callers are not authenticated here, their own credentials go on to \
                 the upstream"
            );
        }
        let client = Client::new(&upstream, config.file.limits.timeouts()).map_err(anyhow::Error::from);
        let place = entry.ca.as_ref().map(|ca| ca.referenced);
        let place = place.or(entry.client_certificate.as_ref().map(|files| files.referenced));
        let place = place.unwrap_or(entry.name.referenced);
        let client = config.at(place, client)?;
        targets.push(Arc::new(Target { upstream, protocol: Arc::clone(protocol), client }));
    }
    Ok(targets)
}

async fn recorder(config: &Config, name: &str) -> Result<(Recorder, Recovered)> {
    let recording = &config.file.recording;
    let (store, prefix) = recording.open(config, create_store)?;
    let mut settings = RecorderConfig::new(spool(config), store, prefix, name);
    settings.store_dir = recording.folder(&config.data_dir());
    if let Some(size) = recording.bundle_size {
        settings.bundle_max_bytes = size.0;
    }
    if let Some(age) = recording.bundle_age {
        settings.bundle_max_age = age.0;
    }
    if let Some(size) = recording.spool {
        settings.spool_max_bytes = size.0;
    }
    let (recorder, recovered) = Recorder::open(settings).await?;
    for file in &recovered.unreadable {
        tracing::error!(file = %file.display(), "a file of the spool is no bundle; it was set aside");
    }
    Ok((recorder, recovered))
}

fn ready(policy: PolicyHandle, recorder: Recorder) -> Ready {
    Arc::new(move || {
        if policy.current().is_none() {
            return Err("there is no policy yet, so that every request is refused".into());
        }
        match recorder.status() {
            Status::Ok | Status::Delayed { .. } => Ok(()),
            Status::Failing { reason } => Err(format!("nothing can be recorded: {reason}")),
            Status::Closed => Err("the gateway is ending".into()),
        }
    })
}

/// Ends a gateway: what is under way was ended before, what is recorded is brought to safety now.
pub(crate) async fn close(recorder: &Recorder, closing: &Closing, limit: Duration) {
    if !closing.wait(limit).await {
        tracing::warn!(?limit, "exchanges under way are cut off");
        closing.cut_off();
        if !closing.wait(LAST_WORDS).await {
            tracing::error!("some exchanges are not in the index: `lockgate sessions reindex` adds them");
        }
    }
    match recorder.close().await {
        Ok(()) => tracing::info!("everything recorded is in the store"),
        Err(error) => tracing::warn!(error = %Chain(&error), "the rest of the recording waits in the spool"),
    }
}

/// An error with its causes, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// A key of this gateway's own; made at first, so that what was made with it stays good: the tags in the place of
/// masked secrets comparable, tickets of LFS and tokens for registries valid. Proxies behind one address share it by a copy of the file.
fn key(path: &Path) -> Result<[u8; 32]> {
    let context = || format!("cannot use {}", path.display());
    let mut key = [0; 32];
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            aws_lc_rs::rand::fill(&mut key).context("the system gives no random bytes")?;
            file.write_all(&key).and_then(|()| file.sync_all()).with_context(context)?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::File::open(path).and_then(|mut file| file.read_exact(&mut key)).with_context(context)?;
        }
        Err(error) => return Err(error).with_context(context),
    }
    Ok(key)
}
