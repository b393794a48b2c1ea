//! The log: on stderr, for people on a terminal and as JSON elsewhere.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::cli::LogFormat;

/// Starts the log, once per process.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<()> {
    let filter =
        EnvFilter::builder().parse(filter).with_context(|| format!("`--log {filter}` is not understood"))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let layer = fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        registry.with(layer).try_init()?;
    } else {
        let layer = fmt::layer().with_ansi(terminal).with_target(false).with_writer(std::io::stderr);
        registry.with(layer).try_init()?;
    }
    Ok(())
}
