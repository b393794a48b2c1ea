//! `lockgate config`.

use anyhow::Result;
use lockgate_core::policy::Policy;
use lockgate_recording::open_store;
use serde_saphyr::Spanned;

use super::Exit;
use crate::{
    advice::advice,
    cli::ConfigCommand,
    config::{Config, Tls},
    output::say,
    serve::{POLICY_MAX, given},
    wiring,
};

pub(super) fn run(command: &ConfigCommand) -> Result<Exit> {
    let ConfigCommand::Check { file, config } = command;
    let config = Config::load(file.as_ref().unwrap_or(&config.config), &wiring::kinds())?;
    // Whatever the configuration refers to is read as at a start, and nothing is written or connected to.
    for upstream in &config.file.upstreams {
        upstream.resolve(&config)?;
    }
    wiring::authenticator(&config)?;
    if let Tls::Given(files) = &config.file.listen.tls {
        given(&config, &files.cert, &files.key)?;
    }
    let recording = &config.file.recording;
    let is_file = |store: &Spanned<String>| store.value.starts_with("file://");
    if recording.store.as_ref().is_some_and(|store| !is_file(store)) {
        recording.open(&config, open_store)?;
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
