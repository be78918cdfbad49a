//! Logs of one test, beside others that log nothing.

use std::sync::OnceLock;

use tracing::{
    Dispatch, Subscriber,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

/// Logs what this thread does, on which everything of a test runs.
///
/// While there is one subscriber alone, `tracing` asks the thread that comes first to a line whether
/// anybody wants it, and others' threads say no for all. So there is a second one, which wants nothing.
pub(crate) fn log_into(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    let guard = set_default(subscriber);
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
    guard
}
