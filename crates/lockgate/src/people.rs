//! A person at the command line: their connection to the control plane, and the recordings they look at.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use http::Uri;
use jiff::{SignedDuration, Timestamp};
use lockgate_control::{CallError, operator, people::Client, transport::Endpoint};
use lockgate_core::secret::Secret;
use lockgate_recording::Archive;

use crate::{
    cli::Reach,
    config::{Config, Tls, read_text},
    serve, wiring,
};

/// A token is smaller than this.
const TOKEN_MAX: u64 = 64 << 10;
/// The certificate of an authority is smaller than this.
const CA_MAX: u64 = 1 << 20;

/// Said where there are no recordings, because a proxy that runs apart keeps them.
pub(crate) const ELSEWHERE: &str = "its recording is at the proxy: set `recording.store`";

/// Who runs a command.
pub(crate) struct Person {
    /// Their connection.
    pub(crate) client: Client,
    config: Config,
    place: String,
}

impl Person {
    /// Reads the configuration and the token. Connects at the first call.
    pub(crate) fn connect(reach: &Reach) -> Result<Self> {
        let config = Config::load(&reach.config, &wiring::kinds())?;
        let (endpoint, place) = endpoint(&config)?;
        let token = match &reach.token_file {
            Some(file) => Secret::new(read_text(file, TOKEN_MAX)?.trim().to_owned()),
            None => operator::read_token(&config.data_dir())
                .context("without `--token-file`, this is for whoever runs lockgate on this machine")?,
        };
        Ok(Self { client: Client::connect(&endpoint, &token)?, config, place })
    }

    /// The recordings; `None` where they are on another machine, as far as this configuration says.
    pub(crate) fn archive(&self) -> Result<Option<Archive>> {
        let recording = &self.config.file.recording;
        let folder = recording.folder(&self.config.data_dir());
        if recording.store.is_none() && folder.is_some_and(|folder| !folder.is_dir()) {
            return Ok(None);
        }
        wiring::archive(&self.config).map(Some)
    }

    /// The recordings, or where they are.
    pub(crate) fn archive_here(&self) -> Result<Archive> {
        self.archive()?.context(ELSEWHERE)
    }

    /// Where recordings wait for the store, where that is on this machine.
    pub(crate) fn spool(&self) -> Option<PathBuf> {
        let spool = wiring::spool(&self.config);
        std::fs::read_dir(&spool).is_ok().then_some(spool)
    }

    /// A failed call, and what to do about it.
    pub(crate) fn explain(&self, error: CallError) -> anyhow::Error {
        match error {
            CallError::Unavailable(_) => {
                anyhow!(error).context(format!("is lockgate running? It was looked for at {}", self.place))
            }
            CallError::Unauthenticated(_)
            | CallError::Forbidden(_)
            | CallError::NotFound(_)
            | CallError::NotNow(_)
            | CallError::Invalid(_)
            | CallError::Policy(_)
            | CallError::Answer(_)
            | CallError::Failed(_) => error.into(),
        }
    }
}

/// Where the control plane is: the socket of one on this machine, else the URL of one elsewhere.
fn endpoint(config: &Config) -> Result<(Endpoint, String)> {
    let socket = serve::socket(&config.data_dir());
    let control = &config.file.control;
    if socket.exists() || (control.public_url.is_none() && control.listen.is_none()) {
        let place = socket.display().to_string();
        return Ok((Endpoint::Unix(socket), place));
    }
    let url = match (&control.public_url, &control.listen) {
        (Some(url), _) => url.0.clone(),
        (None, Some(listen)) => {
            let plain = control.tls.as_ref().is_none_or(|tls| *tls == Tls::Off);
            let scheme = if plain { "http" } else { "https" };
            format!("{scheme}://{}", listen.value.0).parse::<Uri>()?
        }
        (None, None) => bail!(config.error("`control` does not say where the control plane is")),
    };
    let place = url.to_string();
    if url.scheme_str() == Some("http") {
        return Ok((Endpoint::Loopback(url), place));
    }
    let own = config.data_dir().join("control-tls/ca.pem");
    let ca = match &control.ca {
        Some(file) => Some(config.text(file, CA_MAX)?),
        None if control.tls == Some(Tls::Generated) => Some(read_text(&own, CA_MAX)?),
        None => None,
    };
    Ok((Endpoint::Tls { url, ca, identity: None }, place))
}

/// A moment as people read it: UTC, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Microseconds since 1970, as people read them.
pub(crate) fn micros(micros: u64) -> String {
    let at = i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    at.map_or_else(|| "-".into(), time)
}

/// A moment as people write it: RFC 3339, or back from now as in `90s`, `24h`, `7d`.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let back = crate::config::scalar::span(text).ok();
    let back = back.and_then(|span| SignedDuration::try_from(span.0).ok());
    let at = back.and_then(|back| Timestamp::now().checked_sub(back).ok());
    at.with_context(|| format!("`{text}` is no time: write 2026-03-01T00:00:00Z, or 24h for so long ago"))
}
