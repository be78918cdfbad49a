//! What the process tells of itself: logs on standard error, and traces and measurements.

mod format;
mod lines;
mod measurements;
pub mod otlp;
mod recent;
pub mod trace;

use std::{any::Any, io::IsTerminal as _};

pub(crate) use self::lines::flush;
use self::{format::Traced, lines::Lines, trace::Tracer};
pub use self::{
    measurements::{Measurements, Render},
    recent::{Failed, Recent},
};
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
    /// Where measurements go, instead of a collection of the gateway's own.
    pub meter: Option<Meter>,
    /// Where traces go, unless it is to the collector.
    pub tracer: Option<Tracer>,
    /// The collector, if there is one.
    pub otlp: Option<otlp::Config>,
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

/// Whether logs can be written so.
///
/// # Errors
///
/// When the filter does not parse.
pub fn check(config: &Config) -> Result<(), Error> {
    filter(&config.level).map(drop)
}

/// Has panics told as log lines, with their place and without what they were given: that may hold what
/// must not be told.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        tracing::error!(panic.place = %place, panic.text = text(panic.payload()), "panicked");
    }));
}

/// What may be told of a panic. A fixed text was written by us; any other may quote anything.
fn text(panic: &(dyn Any + Send)) -> &'static str {
    let fixed = panic.downcast_ref::<&'static str>();
    fixed.copied().unwrap_or("its text is withheld")
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
    fn panic_tells_a_text_of_ours_and_nothing_that_it_was_given() {
        let secret = "hush-hush";
        assert_eq!(text(&"it cannot be"), "it cannot be");
        assert_eq!(text(&format!("wrong: {secret}")), "its text is withheld");
    }

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
