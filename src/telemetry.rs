//! Logs of the process, on standard error.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What to log and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// A level or a filter, e.g. `info`.
    pub level: String,
    /// For people or for machines.
    pub format: Format,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logs cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error("configuration: `log.level` is not a level or filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
}

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
///
/// When the filter does not parse.
pub fn start(config: &Config) -> Result<(), Error> {
    let mut filter = EnvFilter::builder().parse(&config.level)?;
    // Who did what is told at every level, and headers, which hold credentials, at none.
    for always in ["audit=info", "h2=info"] {
        filter = filter.add_directive(always.parse()?);
    }
    let colours = std::io::stderr().is_terminal();
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only when logging runs already, as in tests that start many gateways.
    let _already_started = match config.format {
        Format::Text => registry.with(layer).try_init(),
        Format::Json => registry.with(layer.json()).try_init(),
    };
    Ok(())
}
