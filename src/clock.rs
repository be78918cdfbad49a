//! The time of day, from one place.
//!
//! Durations come from tokio's clock, which tests can pause. The time of day comes from here: the
//! system's in production, tokio's clock on a fixed base in tests.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time of day. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy)]
enum Source {
    System,
    Tokio {
        base: Timestamp,
        started: Instant,
        /// Milliseconds that it was set forward.
        set: &'static AtomicI64,
    },
}

impl Clock {
    /// The system's clock, which may jump.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `base` now and moves with tokio's, so a paused runtime drives it.
    #[must_use]
    pub fn driven(base: Timestamp) -> Self {
        static NEVER_SET: AtomicI64 = AtomicI64::new(0);
        Self::settable(base, &NEVER_SET)
    }

    /// The same, and it jumps by as many milliseconds as are written there.
    #[must_use]
    pub fn settable(base: Timestamp, set: &'static AtomicI64) -> Self {
        Self(Source::Tokio {
            base,
            started: Instant::now(),
            set,
        })
    }

    /// The time of day at a moment of tokio's clock.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Timestamp {
        let (now, here) = (self.now(), Instant::now());
        let there = if instant >= here {
            now.saturating_add(instant - here)
        } else {
            now.saturating_sub(here - instant)
        };
        there.unwrap_or(now)
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => Timestamp::now(),
            Source::Tokio { base, started, set } => {
                let set = SignedDuration::from_millis(set.load(Ordering::Relaxed));
                base.saturating_add(started.elapsed())
                    .and_then(|time| time.checked_add(set))
                    .unwrap_or(base)
            }
        }
    }
}
