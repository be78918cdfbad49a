//! Logs of one test, beside others that log nothing.

use std::{cell::Cell, sync::OnceLock};

use tracing::{
    Dispatch, Subscriber,
    subscriber::{DefaultGuard, NoSubscriber, set_default},
};

thread_local! {
    static HAS_ITS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Logs what this thread does, on which everything of a test runs, for the test itself.
pub(crate) fn log_into(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    HAS_ITS_OWN.set(true);
    watch_with(subscriber)
}

/// Whether the test of this thread looks at its log itself.
pub(crate) fn is_looked_at() -> bool {
    HAS_ITS_OWN.get()
}

/// Logs what this thread does.
///
/// While there is one subscriber alone, `tracing` asks the thread that comes first to a line whether
/// anybody wants it, and others' threads say no for all. So there is a second one, which wants nothing.
pub(crate) fn watch_with(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    let guard = set_default(subscriber);
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
    guard
}
