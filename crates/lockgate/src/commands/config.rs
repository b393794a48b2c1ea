//! `lockgate config`.

use anyhow::Result;
use lockgate_core::policy::Policy;
use lockgate_recording::{OpenStoreError, open_store};

use super::Exit;
use crate::{
    advice::advice,
    cli::ConfigCommand,
    config::{Config, Tls, registries},
    output::say,
    serve::{self, POLICY_MAX, given},
    wiring,
};

pub(super) fn run(command: &ConfigCommand) -> Result<Exit> {
    let ConfigCommand::Check { file, config } = command;
    let config = Config::load(file.as_ref().unwrap_or(&config.config), &wiring::kinds())?;
    // Whatever the configuration refers to is read as at a start, and nothing is written or connected to.
    for upstream in &config.file.upstreams {
        upstream.resolve(&config)?;
    }
    registries(&config)?;
    wiring::authenticator(&config)?;
    if let Tls::Given(files) = &config.file.listen.tls {
        given(&config, &files.cert, &files.key)?;
    }
    let recording = &config.file.recording;
    serve::check(&config)?;
    if recording.store.is_some() {
        recording.open(&config, |url, options| match open_store(url, options) {
            // It is made at the first start.
            Err(OpenStoreError::NoDirectory { .. }) => Ok(()),
            opened => opened.map(drop),
        })?;
    }
    if let Some(path) = &config.file.policy {
        let text = config.text(path, POLICY_MAX)?;
        let path = config.resolve(&path.value);
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
