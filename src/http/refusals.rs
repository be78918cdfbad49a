//! Tells the operator what was turned away: why, and nothing of what was said.

use std::fmt;

use tokio::time::Instant;
use tracing::warn;

use crate::log_limit::LogLimit;

/// Lines in one second; who floods the door does not flood the log.
const LINES: u32 = 5;

/// What a stranger wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Callback,
    Event,
    Frame,
    Authorization,
}

/// Counts and tells what was refused.
#[derive(Debug)]
pub(super) struct Refusals(LogLimit);

impl Default for Refusals {
    fn default() -> Self {
        Self(LogLimit::new(LINES))
    }
}

impl Refusals {
    /// One more. `why` is in our own words.
    pub(super) fn tell(&self, what: What, why: &dyn fmt::Display) {
        if let Some(untold) = self.0.may_tell(Instant::now()) {
            warn!(http.request = %what, %why, untold, "refused");
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Callback => "callback",
            Self::Event => "event",
            Self::Frame => "application frame",
            Self::Authorization => "authorization",
        })
    }
}
