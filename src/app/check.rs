//! Whether a configuration can be used, as far as that can be told without opening or binding anything.

use std::collections::BTreeSet;

use super::Error;
use crate::{
    bots,
    callers::{Callers, Roster},
    config::Config,
    events::subscriptions as named,
    grpc::{self, LIMITS, Limit, Most},
    portal::{self, transport::Transport},
    store, telemetry,
    telemetry::otlp,
    tls,
};

/// Builds what is built of the configuration alone, and leaves it.
///
/// # Errors
///
/// The first part that cannot be made.
pub async fn check(config: Config) -> Result<(), Error> {
    telemetry::check(&config.telemetry)?;
    if let Some(otlp) = &config.telemetry.otlp {
        otlp::check(otlp)?;
    }
    Transport::new(&config.portals.transport)?;
    let names: BTreeSet<_> = config.portals.portals.keys().cloned().collect();
    Callers::new(Roster {
        configured: config.callers,
        named: names,
        ..Roster::default()
    })?;
    if let Some(files) = config.grpc.door.tls {
        tls::check(files).await.map_err(grpc::Error::Tls)?;
    }
    if let Some(files) = config.http.and_then(|http| http.tls) {
        tls::check(files).await.map_err(crate::http::Error::Tls)?;
    }
    Ok(())
}

/// What is bounded, by nothing that can be set.
#[must_use]
pub fn limits() -> Vec<Limit> {
    let own = [
        (
            "an idempotency key is remembered",
            Most::Time(store::ledger::KEPT),
        ),
        (
            "answers are posted after a command, by the portal's clock",
            Most::Time(bots::ANSWER_WINDOW),
        ),
        (
            "calls of one caller that wait for a portal",
            Most::Count(portal::WAITING_CALLS_OF_A_CALLER),
        ),
        (
            "calls that wait for a portal",
            Most::Count(portal::WAITING_CALLS),
        ),
        ("bytes of them", Most::Bytes(portal::WAITING_BYTES)),
        (
            "calls in one request to a portal",
            Most::Count(portal::wire::batch::MOST_CALLS),
        ),
        ("named subscriptions of a caller", Most::Count(named::MOST)),
        (
            "time for a delivery, where nothing is said",
            Most::Time(named::MAX_PROCESSING),
        ),
        (
            "times an event is handed out, where nothing is said",
            Most::Count(named::MAX_ATTEMPTS as usize),
        ),
        (
            "age of a command that is handed out, where nothing is said",
            Most::Time(named::MAX_AGE),
        ),
        (
            "calls under way may take at a stop",
            Most::Time(crate::lifecycle::GRACE),
        ),
    ];
    let own = own.map(|(what, most)| Limit { what, most });
    LIMITS.into_iter().chain(own).collect()
}
