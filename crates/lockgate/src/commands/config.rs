//! `lockgate config`.

use anyhow::{Context as _, Result};
use lockgate_core::policy::Policy;
use lockgate_recording::open_store;

use super::Exit;
use crate::{
    advice::advice,
    cli::ConfigCommand,
    config::{Config, Tls, read_text},
    listen::server_config,
    output::say,
    serve::POLICY_MAX,
    wiring,
};

pub(super) fn run(command: &ConfigCommand) -> Result<Exit> {
    let ConfigCommand::Check { file, config } = command;
    let config = Config::load(file.as_ref().unwrap_or(&config.config), &wiring::kinds())?;
    // Whatever the configuration refers to is read as at a start, and nothing is written or connected to.
    for upstream in &config.file.upstreams {
        upstream.resolve(&config.base)?;
    }
    wiring::authenticator(&config)?;
    if let Tls::Given(files) = &config.file.listen.tls {
        server_config(&config.resolve(&files.cert), &config.resolve(&files.key)).context("listen.tls")?;
    }
    let recording = &config.file.recording;
    let options = recording.options(&config.base)?;
    if let Some(store) = recording.store.as_ref().filter(|store| !store.starts_with("file://")) {
        open_store(store, &options).context("recording.store")?;
    }
    if let Some(path) = &config.file.policy {
        let path = config.resolve(path);
        let text = read_text(&path, POLICY_MAX).context("policy")?;
        match Policy::load(&text, &wiring::schemas()) {
            Ok(policy) => {
                for advice in advice(&config, &policy) {
                    say!("{}: warning: {advice}", config.path.display());
                }
            }
            Err(errors) => {
                for error in errors.iter() {
                    say!("{}:{error}", path.display());
                }
                return Ok(Exit::Problem);
            }
        }
    }
    say!("{}: good", config.path.display());
    Ok(Exit::Ok)
}
