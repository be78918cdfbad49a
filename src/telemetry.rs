//! What the process tells of itself: logs on standard error, and traces and measurements for a collector.

mod format;
mod lines;
pub mod otlp;
pub mod trace;

use std::io::IsTerminal as _;

pub(crate) use self::lines::flush;
use self::{format::Traced, lines::Lines, trace::Tracer};
use opentelemetry::metrics::Meter;
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What to log and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// A level or a filter, e.g. `info`.
    pub level: String,
    /// For people or for machines.
    pub format: Format,
    /// Where measurements go, unless it is where those of the whole process go.
    pub meter: Option<Meter>,
    /// Where traces go, unless it is to the collector.
    pub tracer: Option<Tracer>,
    /// The collector, if there is one.
    pub otlp: Option<otlp::Config>,
}

/// Where the measurements of this process go; nowhere until somebody collects them.
#[must_use]
pub fn meter() -> Meter {
    opentelemetry::global::meter(env!("CARGO_PKG_NAME"))
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
    let filter = filter(&config.level)?;
    let colours = std::io::stderr().is_terminal();
    let layer = fmt::layer()
        .with_writer(Lines::of_process())
        .with_ansi(colours);
    let registry = tracing_subscriber::registry().with(filter);
    // Fails only when logging runs already, as in tests that start many gateways.
    let _already_started = match config.format {
        Format::Text => {
            let lines = fmt::format().with_ansi(colours);
            let layer = layer.event_format(Traced::Text(lines));
            registry.with(layer).try_init()
        }
        Format::Json => {
            let lines = fmt::format().json();
            let layer = layer.json().event_format(Traced::Json(lines));
            registry.with(layer).try_init()
        }
    };
    Ok(())
}

/// The filter as the operator wishes it, but for two things.
fn filter(level: &str) -> Result<EnvFilter, Error> {
    let mut filter = EnvFilter::builder().parse(level)?;
    // Who did what is told at every level, unless the operator says otherwise in so many words.
    if !level.contains("audit") {
        filter = filter.add_directive("audit=info".parse()?);
    }
    // Headers, which hold credentials, are told at none.
    Ok(filter.add_directive("h2=info".parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_is_told_unless_it_is_named_and_headers_never() {
        for (level, told) in [
            ("error", "audit=info"),
            ("trace", "audit=info"),
            ("info,audit=off", "audit=off"),
        ] {
            let filter = filter(&format!("{level},h2=trace")).unwrap().to_string();
            let has = |directive: &str| filter.split(',').any(|part| part == directive);
            assert!(has(told) && has("h2=info") && !has("h2=trace"), "{filter}");
            assert!(told == "audit=info" || !has("audit=info"), "{filter}");
        }
    }
}
